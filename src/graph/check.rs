//! Whether the kernels of a program compute what they should.

use super::{Network, Program};
use crate::gpu::AdapterFacts;
use crate::kernel::{Kernels, Variant};
use crate::ops::{Deviation, Op, REGISTRY, VerifyError, verify};

/// Images of a trial: more than one, odd.
const IMAGES: u32 = 3;
/// Multiply-adds and elements of a trial at most: the reference takes plain loops through them.
const MOST_FLOP: u64 = 1_500_000;
const MOST_ELEMENTS: usize = 100_000;

/// A kernel that was compared with its reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The operation.
    pub op: &'static str,
    /// The variant.
    pub variant: &'static str,
    /// How far apart they are.
    pub deviation: Deviation,
}

impl Program {
    /// Compares each kernel that the program runs on `network`, the one it was bound to, with its
    /// operation's f64 reference: on the largest of the registry's examples that takes no time, with
    /// the tiles that the network has. A kernel of which no example is small enough is left out.
    ///
    /// # Errors
    /// [`VerifyError`] of the first that is wrong.
    pub fn verify(&self, network: &Network, seed: u64) -> Result<Vec<Checked>, VerifyError> {
        let facts = network.gpu().facts();
        let mut seen: Vec<Variant> = Vec::new();
        let mut checked = Vec::new();
        for bound in self.all(network) {
            let mut variants = bound.op.variants(facts).into_iter();
            let Some(variant) = variants.find(|v| v.name == bound.launch.variant) else { continue };
            if seen.iter().any(|other| same_kernel(other, &variant)) {
                continue;
            }
            if let Some(deviation) = check(&network.kernels, &*bound.op, &variant, seed)? {
                let op = bound.op.name();
                checked.push(Checked { op, variant: variant.name, deviation });
            }
            seen.push(variant);
        }
        Ok(checked)
    }
}

/// Compares a variant of `op` with the reference on a small shape for which it is the same kernel;
/// `None` if the registry has no such shape.
pub(super) fn check(
    kernels: &Kernels,
    op: &dyn Op,
    variant: &Variant,
    seed: u64,
) -> Result<Option<Deviation>, VerifyError> {
    match trial(op, variant, kernels.gpu().facts()) {
        Some((op, variant)) => verify(kernels, &*op, &variant, IMAGES, seed).map(Some),
        None => Ok(None),
    }
}

/// The largest of the registry's small examples of `op` that `variant` computes with the same kernel.
fn trial(op: &dyn Op, variant: &Variant, facts: &AdapterFacts) -> Option<(Box<dyn Op>, Variant)> {
    let examples = REGISTRY.iter().filter(|entry| entry.name == op.name());
    let trials = examples.flat_map(|entry| (entry.examples)()).filter(|op| small(&**op));
    let as_here = |op: Box<dyn Op>| {
        let usable = |v: &Variant| same_kernel(v, variant) && v.supported.is_ok();
        let found = op.variants(facts).into_iter().find(usable)?;
        Some((op, found))
    };
    trials.filter_map(as_here).max_by_key(|(op, _)| work(&**op))
}

/// True if both are one pipeline.
pub(super) fn same_kernel(a: &Variant, b: &Variant) -> bool {
    a.name == b.name && a.constants == b.constants
}

fn elements(op: &dyn Op) -> usize {
    op.bindings().iter().map(|binding| binding.layout.len(IMAGES as usize)).sum()
}

fn work(op: &dyn Op) -> (u64, usize) {
    (op.flop(u64::from(IMAGES)), elements(op))
}

fn small(op: &dyn Op) -> bool {
    let (flop, elements) = work(op);
    flop <= MOST_FLOP && elements <= MOST_ELEMENTS
}
