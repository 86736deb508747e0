//! Memory to time kernels in that belong to no network.

use crate::gpu::{BufferRange, Gpu, GpuError};
use crate::kernel::{Access, Binding, Kernels, Recorder, Step};
use crate::ops::{Op, ProbeUniform, choose};
use crate::shape::Layout;

use super::GraphError;

/// Bytes filled by one launch.
const FILLED: u64 = 64 << 20;

/// Memory in which any one of a number of operations finds room. What is read never lies where
/// something is written: numbers stay what they are however often kernels run.
#[derive(Debug)]
pub(super) struct Scratch {
    /// What is read, then what is written.
    tensors: BufferRange,
    words: BufferRange,
    /// Bytes of what is read.
    read: u64,
    align: u64,
}

/// Bytes that an operation reads and writes of tensors, and has of words.
#[derive(Debug, Clone, Copy, Default)]
struct Sizes {
    read: u64,
    written: u64,
    words: u64,
}

impl Sizes {
    /// Adds a binding and returns its place.
    fn add(&mut self, binding: &Binding, images: usize, align: u64) -> u64 {
        let part = match binding.access {
            _ if !binding.is_quads() => &mut self.words,
            Access::Read => &mut self.read,
            Access::Write | Access::Update => &mut self.written,
        };
        let place = *part;
        *part += binding.layout.bytes(images).next_multiple_of(align);
        place
    }
}

impl Scratch {
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
        let align = alignment(gpu);
        let mut most = Sizes::default();
        for op in ops {
            let mut sizes = Sizes::default();
            for binding in op.bindings() {
                sizes.add(&binding, images, align);
            }
            most.read = most.read.max(sizes.read);
            most.written = most.written.max(sizes.written);
            most.words = most.words.max(sizes.words);
        }
        let scratch = Self {
            tensors: gpu.tensors("tensors to tune with", most.read + most.written)?.whole(),
            words: gpu.buffer("words to tune with", most.words)?.whole(),
            read: most.read,
            align,
        };
        scratch.fill(kernels)?;
        Ok(scratch)
    }

    /// The memory of each binding of `op`.
    pub(super) fn buffers(&self, op: &dyn Op, images: usize) -> Vec<BufferRange> {
        let mut sizes = Sizes::default();
        let range = |binding: &Binding| {
            let place = sizes.add(binding, images, self.align);
            let bytes = binding.layout.bytes(images);
            match binding.access {
                _ if !binding.is_quads() => self.words.part(place, bytes),
                Access::Read => self.tensors.part(place, bytes),
                Access::Write | Access::Update => self.tensors.part(self.read + place, bytes),
            }
        };
        op.bindings().iter().map(range).collect()
    }

    fn fill(&self, kernels: &Kernels) -> Result<(), GraphError> {
        let most = FILLED.min(kernels.gpu().facts().max_binding) / self.align * self.align;
        for (seed, offset) in (0..).zip((0..self.read).step_by(most as usize)) {
            let bytes = most.min(self.read - offset);
            let layout = Layout::Flat(bytes as usize / 4);
            let op = ProbeUniform { layout, bound: 1.0, seed };
            let variant = choose(&op, kernels.gpu().facts(), &[])?;
            let part = self.tensors.part(offset, bytes);
            let launch = kernels.launch(&variant, &op.bindings(), &[part])?;
            let mut recorder = Recorder::new(kernels);
            let step = recorder.step(&Step::default())?;
            recorder.launch(&launch, step, 1, 0);
            recorder.submit()?;
        }
        Ok(kernels.gpu().wait()?)
    }
}

/// What places are multiples of: whole quads, and what a binding's offset has to be.
fn alignment(gpu: &Gpu) -> u64 {
    gpu.facts().storage_alignment.max(16)
}

/// True of an error after which the device answers nothing more.
pub(super) fn is_lost(error: &GpuError) -> bool {
    matches!(error, GpuError::Lost { .. })
}
