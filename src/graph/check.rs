//! Whether the kernels of a program compute what they should.

use super::{Network, Program};
use crate::kernel::Variant;
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
            let op = bound.op.name();
            let examples = REGISTRY.iter().filter(|entry| entry.name == op);
            let trials = examples.flat_map(|entry| (entry.examples)()).filter(|op| small(&**op));
            let as_here = |op: Box<dyn Op>| {
                let found = op.variants(facts).into_iter().find(|v| same_kernel(v, &variant))?;
                Some((op, found))
            };
            let trials = trials.filter_map(as_here);
            if let Some((op, trial)) = trials.max_by_key(|(op, _)| work(&**op)) {
                let deviation = verify(&network.kernels, &*op, &trial, IMAGES, seed)?;
                checked.push(Checked { op: op.name(), variant: trial.name, deviation });
            }
            seen.push(variant);
        }
        Ok(checked)
    }
}

/// True if both are one pipeline.
fn same_kernel(a: &Variant, b: &Variant) -> bool {
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
