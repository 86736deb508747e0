//! Memory to time kernels in that belong to no network.

use crate::gpu::{BufferRange, Gpu, GpuError};
use crate::kernel::{Access, Binding, Kernels, Recorder, Step};
use crate::ops::{Op, ProbeUniform, Storage, choose};
use crate::shape::Layout;

use super::GraphError;

/// Bytes filled by one launch.
const FILLED: u64 = 64 << 20;

/// Memory in which any one of a number of operations finds room. What is read never lies where
/// something is written: numbers stay what they are however often kernels run.
#[derive(Debug)]
pub(super) struct Scratch {
    read: BufferRange,
    written: BufferRange,
    words: BufferRange,
    /// What is read, and written, in blocks.
    blocks: [BufferRange; 2],
    storage: Storage,
    align: u64,
}

/// Bytes that an operation reads and writes of tensors, has of words, and reads and writes in blocks.
#[derive(Debug, Clone, Copy, Default)]
struct Sizes {
    read: u64,
    written: u64,
    words: u64,
    blocks: [u64; 2],
}

impl Sizes {
    /// Adds a binding and returns its place.
    fn add(&mut self, binding: &Binding, images: usize, storage: Storage, align: u64) -> u64 {
        let part = match binding.access {
            _ if !binding.is_quads() => &mut self.words,
            access if storage.has_in_blocks(binding) => {
                &mut self.blocks[usize::from(access != Access::Read)]
            }
            Access::Read => &mut self.read,
            Access::Write | Access::Update => &mut self.written,
        };
        let place = *part;
        *part += binding.layout.bytes(images).next_multiple_of(align);
        place
    }
}

impl Scratch {
    /// Why there cannot be room for `op` on an adapter: a binding, or the pieces that memory comes in.
    pub(super) fn refuses(op: &dyn Op, images: usize, gpu: &Gpu) -> Option<String> {
        let facts = gpu.facts();
        let mut sizes = Sizes::default();
        let mut binding = 0;
        for one in op.bindings() {
            sizes.add(&one, images, Storage::of(facts), gpu.facts().tensor_alignment());
            binding = one.layout.bytes(images).max(binding);
        }
        let [read, written] = sizes.blocks;
        let piece = sizes.read.max(sizes.written).max(read).max(written);
        let limits = [(binding, facts.max_binding), (piece, facts.max_tensors)];
        let exceeded = limits.into_iter().find(|(bytes, limit)| bytes > limit);
        exceeded
            .map(|(bytes, limit)| format!("it needs {bytes} bytes at once, {limit} are offered"))
    }

    /// Room for each of `ops` with `images` images, what is read filled with numbers in `[-1, 1)`.
    ///
    /// # Errors
    /// [`GraphError`] if memory is short or the device fails.
    pub(super) fn new<'a>(
        kernels: &Kernels,
        ops: impl Iterator<Item = &'a dyn Op>,
        images: usize,
    ) -> Result<Self, GraphError> {
        let gpu = kernels.gpu();
        let (align, storage) = (gpu.facts().tensor_alignment(), Storage::of(gpu.facts()));
        let mut most = Sizes::default();
        for op in ops {
            let mut sizes = Sizes::default();
            for binding in op.bindings() {
                sizes.add(&binding, images, storage, align);
            }
            most.read = most.read.max(sizes.read);
            most.written = most.written.max(sizes.written);
            most.words = most.words.max(sizes.words);
            for (most, size) in most.blocks.iter_mut().zip(sizes.blocks) {
                *most = size.max(*most);
            }
        }
        let words = gpu.buffer("words to tune with", most.words)?.whole();
        let tensors =
            |bytes| Ok::<_, GpuError>(gpu.tensors("tensors to tune with", bytes)?.whole());
        let both = most.read + most.written;
        // In one texture, as where variants are verified, each kernel is compiled only once.
        let (read, written) = match gpu.facts().texels && both <= gpu.facts().max_tensors {
            true => {
                let both = tensors(both)?;
                (both.part(0, most.read), both.part(most.read, most.written))
            }
            false => (tensors(most.read)?, tensors(most.written)?),
        };
        let blocks = |bytes| Ok::<_, GpuError>(gpu.blocks("panels to tune with", bytes)?.whole());
        let blocks = [blocks(most.blocks[0])?, blocks(most.blocks[1])?];
        let scratch = Self { read, written, words, blocks, storage, align };
        scratch.fill(kernels)?;
        Ok(scratch)
    }

    /// The memory of each binding of `op`.
    pub(super) fn buffers(&self, op: &dyn Op, images: usize) -> Vec<BufferRange> {
        let mut sizes = Sizes::default();
        let range = |binding: &Binding| {
            let place = sizes.add(binding, images, self.storage, self.align);
            let bytes = binding.layout.bytes(images);
            match binding.access {
                _ if !binding.is_quads() => self.words.part(place, bytes),
                access if self.storage.has_in_blocks(binding) => {
                    self.blocks[usize::from(access != Access::Read)].part(place, bytes)
                }
                Access::Read => self.read.part(place, bytes),
                Access::Write | Access::Update => self.written.part(place, bytes),
            }
        };
        op.bindings().iter().map(range).collect()
    }

    fn fill(&self, kernels: &Kernels) -> Result<(), GraphError> {
        let most = FILLED.min(kernels.gpu().facts().max_binding) / self.align * self.align;
        let mut recorder = Recorder::new(kernels);
        let step = recorder.step(&Step::default())?;
        let parts = |of: &BufferRange| {
            let (whole, size) = (of.clone(), of.size);
            let part = move |offset| whole.part(offset, most.min(size - offset));
            (0..size).step_by(most as usize).map(part)
        };
        let all = parts(&self.read).chain(parts(&self.blocks[0]));
        for (seed, part) in (0..).zip(all) {
            let bytes = part.size;
            let layout = Layout::Flat(bytes as usize / 4);
            let op = ProbeUniform { layout, bound: 1.0, seed };
            let variant = choose(&op, kernels.gpu().facts(), &[])?;
            let launch = kernels.launch(&variant, &op.bindings(), &[part])?;
            recorder.launch(&launch, step, 1, 0);
        }
        recorder.submit()?;
        Ok(kernels.gpu().wait()?)
    }
}
