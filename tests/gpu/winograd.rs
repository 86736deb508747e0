//! How far Winograd's filtering, its transforms included, is from the direct convolution in f64.

use vgg_wgpu::kernel::{Access, Kernels};
use vgg_wgpu::ops::{
    ConvBackwardData, ConvBackwardWeights, ConvFilterFlip, ConvForward, Data, Op, Run, Tile,
    WinogradBackwardData, WinogradBackwardWeights, WinogradFilter, WinogradFilterGradient,
    WinogradForward, trial_step,
};
use vgg_wgpu::shape::{FeatureMap, Layout};

use crate::device;

/// A tile is offered only while its error relative to the largest output stays below this.
const MOST: f64 = 1e-5;
const IMAGES: u32 = 3;

/// Maps as VGG has them, one odd and one whose channels are no multiple of four: height, width,
/// input and output channels.
const SHAPES: [(usize, usize, usize, usize); 3] =
    [(14, 14, 128, 128), (28, 28, 64, 32), (9, 13, 18, 33)];

/// Random numbers in `[-1, 1]`, paddings zero, each with the value that an f32 holds.
fn any(layout: Layout, seed: u64) -> Data {
    let mut random = uniform(seed);
    let value = |i| if layout.is_padding(i) { 0.0 } else { f64::from(random() as f32) };
    Data::F((0..layout.len(IMAGES as usize)).map(value).collect())
}

/// A linear congruential generator (Knuth's MMIX), its high bits as numbers in `[-1, 1]`.
fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    }
}

/// What an operation makes of `inputs`, given in the order of the bindings it reads.
fn run(kernels: &Kernels, op: &dyn Op, inputs: &[&Data]) -> Option<Vec<Data>> {
    let variants = op.variants(kernels.gpu().facts());
    let variant = variants.iter().find(|variant| variant.supported.is_ok())?;
    let step = trial_step(IMAGES);
    let mut inputs = inputs.iter();
    let bindings = op.bindings();
    let outputs: Vec<_> = bindings
        .iter()
        .map(|binding| Data::F(vec![0.0; binding.layout.len(IMAGES as usize)]))
        .collect();
    let given: Vec<&Data> = bindings
        .iter()
        .zip(&outputs)
        .map(|(binding, output)| match binding.access {
            Access::Read => *inputs.next().expect("an input for each binding that is read"),
            Access::Write | Access::Update => output,
        })
        .collect();
    let texels = kernels.gpu().facts().texels;
    Some(Run { op, variant, step: &step, kernels, texels }.run(&given).unwrap())
}

/// What the reference of an operation leaves in its last binding.
fn reference(op: &dyn Op, inputs: &[&Data]) -> Data {
    let last = op.bindings().last().expect("a binding").layout.len(IMAGES as usize);
    let mut buffers: Vec<Data> = inputs.iter().map(|&data| data.clone()).collect();
    buffers.push(Data::F(vec![0.0; last]));
    op.reference(&trial_step(IMAGES), &mut buffers);
    buffers.pop().expect("the last binding")
}

/// The largest difference relative to the largest number wanted, over `len` elements from `first`.
fn error(found: &Data, wanted: &Data, len: usize) -> f64 {
    let largest = (0..len).map(|i| wanted[i].abs()).fold(0.0, f64::max);
    let difference = (0..len).map(|i| (found[i] - wanted[i]).abs()).fold(0.0, f64::max);
    difference / largest
}

fn report(what: &str, error: f64) {
    println!("{what}: {error:.2e}");
    assert!(error > 0.0 && error < MOST, "{what}: {error:e} of the largest, allowed are {MOST:e}");
}

#[test]
fn both_tiles_are_near_the_direct_convolution() {
    let Some(devices) = device::open() else { return };
    let kernels = &devices.usual;
    for (h, w, c, k) in SHAPES {
        let input = FeatureMap::new(h, w, c).with_halo(1);
        let output = input.with_channels(k).with_halo(1);
        let x = any(Layout::Map(input), 1);
        let filters = any(Layout::Filter { c, k }, 2);
        let dy = any(Layout::Map(output), 3);
        let direct = reference(&ConvForward { input, output, relu: false }, &[&x, &filters]);
        let flipped = reference(&ConvFilterFlip { c, k }, &[&filters]);
        let direct_dx = ConvBackwardData { dy: output, dx: input };
        let direct_dx = reference(&direct_dx, &[&dy, &flipped, &x]);
        for tile in [Tile::Two, Tile::Four] {
            let name = format!("{tile:?}, {h}x{w}, {c} to {k} channels");
            let filter = WinogradFilter { c, k, tile, flip: false };
            let u = run(kernels, &filter, &[&filters]).unwrap().remove(1);
            let forward = WinogradForward { input, output, relu: false, tile };
            let Some(mut found) = run(kernels, &forward, &[&x, &u, &x]) else { return };
            let images = IMAGES as usize;
            let y = found.remove(3);
            report(&format!("{name}, forward"), error(&y, &direct, images * output.len()));

            let filter = WinogradFilter { c, k, tile, flip: true };
            let u = run(kernels, &filter, &[&filters]).unwrap().remove(1);
            let backward = WinogradBackwardData { dy: output, dx: input, tile };
            let dx = run(kernels, &backward, &[&dy, &u, &x]).unwrap().remove(3);
            report(&format!("{name}, backward"), error(&dx, &direct_dx, images * input.len()));
        }
    }
}

#[test]
fn the_gradient_of_filters_is_near_the_direct_sum() {
    let Some(devices) = device::open() else { return };
    let kernels = &devices.usual;
    for (h, w, c, k) in SHAPES {
        let x_map = FeatureMap::new(h, w, c).with_halo(1);
        let dy_map = x_map.with_channels(k).with_halo(1);
        let (x, dy) = (any(Layout::Map(x_map), 4), any(Layout::Map(dy_map), 5));
        let direct = ConvBackwardWeights { x: x_map, dy: dy_map, slots: 16 };
        // The reference puts the whole sum into the first slot.
        let direct = reference(&direct, &[&x, &dy]);
        let first = WinogradBackwardWeights { x: x_map, dy: dy_map, slots: 16 };
        let Some(mut found) = run(kernels, &first, &[&x, &dy]) else { return };
        let second = WinogradFilterGradient { c, k, slots: 16 };
        let grad = run(kernels, &second, &[&found.remove(2)]).unwrap().remove(1);
        let what = format!("gradient of filters, {h}x{w}, {c} to {k} channels");
        report(&what, error(&grad, &direct, Layout::Filter { c, k }.len(1)));
    }
}
