//! By what gradients are multiplied so that they are not longer than they may be.

use super::{Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::Layout;

/// Sums that the squares of a range of gradients are added up to, in vectors of four.
pub const SQUARE_SLOTS: usize = 8192;

/// Sums of squares of a range of gradients: slot `s` has those of every [`SQUARE_SLOTS`]-th vector of
/// four from the `s`-th on.
#[derive(Debug, Clone, Copy)]
pub struct SquareSums {
    /// Elements, a multiple of four.
    pub len: usize,
}

/// The factor of gradients, `min(1, max_norm / (norm + 1e-6))`, from sums of their squares: PyTorch's
/// `clip_grad_norm_`. With it the norm.
#[derive(Debug, Clone, Copy)]
pub struct ClipFactor {
    /// Ranges that there are sums of.
    pub ranges: usize,
}

impl Op for SquareSums {
    fn name(&self) -> &'static str {
        "square_sums"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("g", Layout::Flat(self.len), Access::Read),
            Binding::quads("partial", Layout::Flat(4 * SQUARE_SLOTS), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "square_sums",
            constants: vec![("SLOTS", SQUARE_SLOTS as u32)],
            dims: vec![("quads", Dim::U((self.len / 4) as u32))],
            grid: Grid::fixed((SQUARE_SLOTS / 64) as u64),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, _step: &Step, buffers: &mut [Data]) {
        let [g, partial] = buffers else { unreachable!("two bindings") };
        (0..4 * SQUARE_SLOTS).for_each(|slot| partial[slot] = 0.0);
        (0..self.len).for_each(|i| partial[i % (4 * SQUARE_SLOTS)] += g[i] * g[i]);
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(self.len.div_ceil(4 * SQUARE_SLOTS) as u64)
    }
}

impl Op for ClipFactor {
    fn name(&self) -> &'static str {
        "clip_factor"
    }

    fn bindings(&self) -> Vec<Binding> {
        let partial = Layout::Flat(4 * SQUARE_SLOTS * self.ranges);
        vec![
            Binding::quads("partial", partial, Access::Read),
            Binding::quads("clip", Layout::Flat(4), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "clip_factor",
            constants: vec![],
            dims: vec![("quads", Dim::U((SQUARE_SLOTS * self.ranges) as u32))],
            grid: Grid::fixed(1),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [partial, clip] = buffers else { unreachable!("two bindings") };
        let squares: f64 = (0..4 * SQUARE_SLOTS * self.ranges).map(|i| partial[i]).sum();
        let norm = squares.sqrt();
        clip[0] = (f64::from(step.max_norm) / (norm + 1e-6)).min(1.0);
        clip[1] = norm;
        (clip[2], clip[3]) = (0.0, 0.0);
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding((4 * SQUARE_SLOTS * self.ranges) as u64)
    }

    /// Sums of squares are not negative. Some examples are of gradients that are short enough.
    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let len = 4 * SQUARE_SLOTS * self.ranges;
        let scale = if self.ranges.is_multiple_of(2) { 1.0 } else { 1e-9 };
        let squares = |_| (scale * random()) as f32 as f64;
        (name == "partial").then(|| Data::F((0..len).map(squares).collect()))
    }
}

pub(super) fn sums_examples() -> Vec<Box<dyn Op>> {
    let whole = 4 * SQUARE_SLOTS;
    let lens = [4, 260, whole - 4, whole, whole + 4, 3 * whole + 520];
    lens.map(|len| Box::new(SquareSums { len }) as _).into()
}

pub(super) fn factor_examples() -> Vec<Box<dyn Op>> {
    [1, 2, 3].map(|ranges| Box::new(ClipFactor { ranges }) as _).into()
}
