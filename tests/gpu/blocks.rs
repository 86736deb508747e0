//! Tensors in blocks of texels: what is written is read, wherever ranges begin and end, and what is
//! rendered adds to it.

use vgg_wgpu::gpu::{BLOCK_BYTES, Gpu, GpuError, ReadRing};
use vgg_wgpu::kernel::{KernelError, Kernels, Recorder};
use vgg_wgpu::ops::{Decay, DenseBackwardUpdate, Form, Op as _, Slice, trial_step};

use crate::device;

/// Blocks beside each other: ranges are tried about the ends of such bands.
const BAND: u64 = 256;

/// Different numbers in each element of `bytes` bytes.
fn numbers(bytes: u64, first: u32) -> Vec<u32> {
    (first..).take(bytes as usize / 4).collect()
}

#[test]
fn ranges_are_read_as_they_were_written() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let size = 5 * BAND * BLOCK_BYTES;
    let memory = gpu.blocks("test", size).unwrap().whole();
    let all = numbers(size, 1);
    gpu.write(&memory, &all).unwrap();
    let ranges = [(0, 1), (3, 9), (BAND - 1, 2), (BAND, BAND), (7, 3 * BAND), (2 * BAND + 5, BAND)];
    for (i, (first, count)) in (1u32..).zip(ranges) {
        // The last block of a range may not be whole.
        let range = memory.part(first * BLOCK_BYTES, count * BLOCK_BYTES - 16 * u64::from(i % 3));
        let place = range.offset as usize / 4..(range.offset + range.size) as usize / 4;
        assert_eq!(gpu.read::<u32>(&range).unwrap(), all[place.clone()], "{first} {count}");
        let other = numbers(range.size, i << 24);
        gpu.write(&range, &other).unwrap();
        assert_eq!(gpu.read::<u32>(&range).unwrap(), other, "{first} {count}");
        gpu.write(&memory, &all).unwrap();
    }
    assert_eq!(gpu.read::<u32>(&memory).unwrap(), all);
}

#[test]
fn what_blocks_do_not_allow_is_refused() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let memory = gpu.blocks("test", 4 * BLOCK_BYTES).unwrap().whole();
    if !gpu.facts().blocks {
        println!("{} has no blocks", gpu.facts());
        return;
    }
    let refused = |result: Result<(), GpuError>, word: &str| {
        let text = result.unwrap_err().to_string();
        assert!(text.contains(word), "no '{word}' in: {text}");
    };
    refused(gpu.write(&memory.part(16, 16), &[0u32; 4]), "no block begins");
    let mut ring = ReadRing::new(gpu, 1, BLOCK_BYTES).unwrap();
    refused(ring.push::<u32>(gpu, &memory.part(0, 16)).map(|_| ()), "ring");
    let buffer = gpu.buffer("test", 64).unwrap().whole();
    refused(gpu.copy(&buffer, &memory), "texels");
}

/// The update of a small layer, rendered to `weights`, after which they are read.
fn rendered(kernels: &Kernels, weights: &vgg_wgpu::gpu::BufferRange) -> Result<Vec<f32>, String> {
    let text = |error: KernelError| error.to_string();
    let gpu: &Gpu = kernels.gpu();
    let slice = Slice::whole(8, 32);
    let op = DenseBackwardUpdate { slice, form: Form::Sgd, decay: Decay::None };
    let variants = op.variants(gpu.facts());
    let variant =
        variants.iter().find(|variant| variant.target.is_some()).expect("one is rendered");
    let arena = gpu.tensors("test", 4096).unwrap().whole();
    // A single image with inputs of 1 and gradients of 0.5.
    let (x, dy) = (arena.part(0, 32), arena.part(1024, 128));
    gpu.write(&x, &[1.0f32; 8]).unwrap();
    gpu.write(&dy, &[0.5f32; 32]).unwrap();
    let launch =
        kernels.launch(variant, &op.bindings(), &[x, dy, weights.clone()]).map_err(text)?;
    let mut recorder = Recorder::new(kernels);
    let step = recorder.step(&trial_step(1)).unwrap();
    (0..2).for_each(|_| recorder.launch(&launch, step, 1, 0));
    recorder.submit().unwrap();
    Ok(gpu.read(weights).unwrap())
}

#[test]
fn two_renderings_add_up_on_zeros_and_on_what_was_written() {
    let Some(devices) = device::open() else { return };
    let kernels = &devices.usual;
    let gpu = kernels.gpu();
    if !gpu.facts().blocks {
        println!("{} has no blocks", gpu.facts());
        return;
    }
    let bytes = Slice::whole(8, 32).weights().bytes(1);
    // Eight inputs and the bias of 32 outputs, then paddings.
    let used = 9 * 32;
    // Twice the learning rate of 0.1 times the gradient.
    let change = [0.1f32 * 0.5; 2];
    for first in [0.0f32, 3.0] {
        let memory = gpu.blocks("test", 3 * bytes).unwrap().whole();
        if first != 0.0 {
            gpu.write(&memory, &vec![first; 3 * bytes as usize / 4]).unwrap();
        }
        let found = rendered(kernels, &memory.part(bytes, bytes)).unwrap();
        let wanted = change.iter().fold(first, |weight, change| weight - change);
        assert_eq!(found[..used], vec![wanted; used]);
        assert_eq!(found[used..], vec![first; found.len() - used]);
        for around in [memory.part(0, bytes), memory.part(2 * bytes, bytes)] {
            let found: Vec<f32> = gpu.read(&around).unwrap();
            assert_eq!(found, vec![first; bytes as usize / 4]);
        }
    }
    let rows = gpu.tensors("test", bytes).unwrap().whole();
    let error = rendered(kernels, &rows).unwrap_err();
    assert!(error.contains("p has to lie in blocks"), "{error}");
}
