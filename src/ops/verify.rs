//! A variant compared with its operation's reference on the device: what tests do for every example,
//! and whoever times a kernel does first.

use std::iter;

use thiserror::Error;

use super::{Data, Op, contents};
use crate::gpu::{AdapterFacts, BLOCK_BYTES, BufferRange, GpuError};
use crate::kernel::{Access, Binding, KernelError, Kernels, Recorder, Step, Variant};
use crate::shape::Layout;

/// What memory around bindings holds.
const GUARD: u32 = 0x7E57_6A8D;

/// A result that is not the reference's.
#[derive(Debug, Error)]
#[error(
    "wrong results of {variant} on {adapter}: with {images} images {binding}[{element}] of {op} is \
     {found}, not {wanted}"
)]
pub struct Difference {
    /// The adapter's name.
    pub adapter: String,
    /// The variant.
    pub variant: &'static str,
    /// The operation with its shape.
    pub op: String,
    /// Images it ran on.
    pub images: u32,
    /// The binding that differs first.
    pub binding: &'static str,
    /// The place in it.
    pub element: usize,
    /// What the variant computed there.
    pub found: String,
    /// What the reference computes there.
    pub wanted: String,
}

/// Why a variant is not to be trusted.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// A result is not the reference's.
    #[error(transparent)]
    Wrong(Box<Difference>),
    /// The variant wrote where it has nothing to write.
    #[error("{variant} wrote out of the bounds of {binding} on {adapter}, for {op}")]
    OutOfBounds {
        /// The adapter's name.
        adapter: String,
        /// The variant.
        variant: &'static str,
        /// The operation with its shape.
        op: String,
        /// The binding whose surroundings changed.
        binding: &'static str,
    },
    /// The kernel could not be built or run.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The device failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// How far a variant's results are from the reference, where that is near enough.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Deviation {
    /// The largest error in any output, relative to the largest magnitude in that output.
    pub relative: f64,
    /// What is allowed: [`Op::tolerance`].
    pub tolerance: f64,
}

/// An operation's inputs, drawn at random, and what its f64 reference makes of them.
#[derive(Debug)]
pub struct Case<'a> {
    op: &'a dyn Op,
    step: Step,
    given: Vec<Data>,
    wanted: Vec<Data>,
}

impl<'a> Case<'a> {
    /// Draws inputs from `seed` and computes the reference, which takes plain loops' time.
    pub fn new(op: &'a dyn Op, step: Step, seed: u64) -> Self {
        let contents = contents::of(op, &step, seed);
        let (given, mut wanted): (Vec<_>, Vec<_>) =
            contents.into_iter().map(|c| (c.device, c.reference)).unzip();
        op.reference(&step, &mut wanted);
        Self { op, step, given, wanted }
    }

    /// What the reference leaves in each binding.
    pub fn wanted(&self) -> &[Data] {
        &self.wanted
    }

    /// The place of the binding called `name`.
    pub fn place(&self, name: &str) -> usize {
        self.op.bindings().iter().position(|binding| binding.name == name).unwrap_or(0)
    }

    /// Runs `variant` with tensors in `storage` and returns what it leaves in each binding.
    ///
    /// # Errors
    /// [`VerifyError`] if it cannot run or writes out of bounds.
    pub fn run(
        &self,
        kernels: &Kernels,
        variant: &Variant,
        storage: Storage,
    ) -> Result<Vec<Data>, VerifyError> {
        let given: Vec<_> = self.given.iter().collect();
        Run { op: self.op, variant, step: &self.step, kernels, storage }.run(&given)
    }

    /// Compares what `variant` left in the bindings with the reference.
    ///
    /// # Errors
    /// [`VerifyError::Wrong`] with the first element that differs by more than is allowed.
    pub fn compare(
        &self,
        adapter: &str,
        variant: &Variant,
        found: &[Data],
    ) -> Result<Deviation, VerifyError> {
        let allowed = self.op.tolerance(u64::from(self.step.images));
        let mut deviation = Deviation { relative: 0.0, tolerance: allowed };
        for (i, binding) in self.op.bindings().iter().enumerate() {
            let (slots, tolerance) = match binding.access {
                Access::Read => (1, 0.0),
                Access::Write => (self.op.partial_slots(), allowed),
                Access::Update => (1, allowed),
            };
            let found = contents::summed(&found[i], slots);
            let wanted = contents::summed(&self.wanted[i], slots);
            if let Some(element) = contents::first_difference(&found, &wanted, tolerance) {
                return Err(VerifyError::Wrong(Box::new(Difference {
                    adapter: adapter.to_owned(),
                    variant: variant.name,
                    op: format!("{:?}", self.op),
                    images: self.step.images,
                    binding: binding.name,
                    element,
                    found: contents::element(&found, element),
                    wanted: contents::element(&wanted, element),
                })));
            }
            deviation.relative = deviation.relative.max(contents::deviation(&found, &wanted));
        }
        Ok(deviation)
    }
}

/// Runs `variant` of `op` on `images` images drawn from `seed` and compares all it leaves behind
/// with the f64 reference.
///
/// # Errors
/// [`VerifyError::Wrong`] or [`VerifyError::OutOfBounds`] of a variant that is not to be used, others
/// if it cannot run.
pub fn verify(
    kernels: &Kernels,
    op: &dyn Op,
    variant: &Variant,
    images: u32,
    seed: u64,
) -> Result<Deviation, VerifyError> {
    let case = Case::new(op, trial_step(images), seed);
    let found = case.run(kernels, variant, Storage::of(kernels.gpu().facts()))?;
    case.compare(&kernels.gpu().facts().name, variant, &found)
}

/// A step of `images` images with numbers that leave no factor of an operation at 0 or 1.
pub fn trial_step(images: u32) -> Step {
    Step {
        images,
        image_base: 0,
        sample_base: 0,
        slot: 0,
        accumulate: 0,
        seed: 0x1234_5678,
        number: 7,
        learning_rate: 0.1,
        momentum: 0.9,
        loss_scale: 0.125,
        weight_decay: 0.01,
        label_smoothing: 0.1,
        beta2: 0.99,
        adam_rate: 0.03,
        adam_epsilon: 1e-3,
        max_norm: 0.5,
    }
}

/// A variant to be run once on contents of one's own.
#[derive(Debug)]
pub struct Run<'a> {
    /// The operation.
    pub op: &'a dyn Op,
    /// One of its variants.
    pub variant: &'a Variant,
    /// What it runs with.
    pub step: &'a Step,
    /// The device.
    pub kernels: &'a Kernels,
    /// Where tensors lie.
    pub storage: Storage,
}

/// Where tensors of `vec4<f32>` lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Each in a buffer.
    Buffers,
    /// In texels, all in one texture, as they do in an arena.
    Texels,
    /// In texels, panels of dense weights in blocks, as where they are updated in place. Rendered variants
    /// run in no other.
    Blocks,
}

impl Storage {
    /// That of networks that are trained on an adapter.
    pub fn of(facts: &AdapterFacts) -> Self {
        match (facts.texels, facts.blocks) {
            (false, _) => Self::Buffers,
            (true, false) => Self::Texels,
            (true, true) => Self::Blocks,
        }
    }

    /// True of a binding that it has in blocks.
    pub fn has_in_blocks(self, binding: &Binding) -> bool {
        self == Self::Blocks && matches!(binding.layout, Layout::Panels { .. })
    }
}

impl Run<'_> {
    /// The contents of all bindings after the variant has run on those given, each with guards
    /// about it.
    ///
    /// # Errors
    /// [`VerifyError`] if it cannot run or a guard was overwritten.
    pub fn run(&self, given: &[&Data]) -> Result<Vec<Data>, VerifyError> {
        let (gpu, bindings) = (self.kernels.gpu(), self.op.bindings());
        // Words before and after each binding, which nothing may touch: in blocks a block.
        let guard = gpu.facts().storage_alignment.max(BLOCK_BYTES) as usize / 4;
        let around = || iter::repeat_n(GUARD, guard);
        let guarded = |data: &&Data| -> Vec<u32> {
            around().chain(contents::bits(data)).chain(around()).collect()
        };
        let contents: Vec<_> = given.iter().map(guarded).collect();
        let bytes: u64 = contents.iter().map(|words| words.len() as u64 * 4).sum();
        let in_texels = self.storage != Storage::Buffers;
        let arena = in_texels.then(|| gpu.tensors("tensors", bytes)).transpose()?;
        let in_blocks = self.storage == Storage::Blocks;
        let blocks = in_blocks.then(|| gpu.blocks("panels", bytes)).transpose()?;
        let (mut buffers, mut used) = (Vec::new(), [0, 0]);
        for (binding, words) in bindings.iter().zip(&contents) {
            let size = words.len() as u64 * 4;
            let (memory, used) = match self.storage.has_in_blocks(binding) {
                true => (&blocks, &mut used[1]),
                false => (&arena, &mut used[0]),
            };
            let range = match memory {
                Some(memory) if binding.is_quads() => memory.whole().part(*used, size),
                _ => gpu.buffer(binding.name, size)?.whole().part(0, size),
            };
            *used += size;
            gpu.write(&range, words)?;
            buffers.push(range);
        }
        let inner = |range: &BufferRange| {
            let guard = guard as u64 * 4;
            range.part(guard, range.size - 2 * guard)
        };
        let bound: Vec<_> = buffers.iter().map(inner).collect();
        let launch = self.kernels.launch(self.variant, &bindings, &bound)?;
        let mut recorder = Recorder::new(self.kernels);
        let place = recorder.step(self.step)?;
        recorder.launch(&launch, place, self.step.images, 0);
        recorder.submit()?;
        let mut found = Vec::new();
        for (binding, buffer) in bindings.iter().zip(&buffers) {
            let words: Vec<u32> = gpu.read(buffer)?;
            let (before, rest) = words.split_at(guard);
            let (words, after) = rest.split_at(rest.len() - guard);
            if before.iter().chain(after).any(|&word| word != GUARD) {
                return Err(VerifyError::OutOfBounds {
                    adapter: gpu.facts().name.clone(),
                    variant: self.variant.name,
                    op: format!("{:?}", self.op),
                    binding: binding.name,
                });
            }
            found.push(contents::data(binding.layout, words));
        }
        Ok(found)
    }
}
