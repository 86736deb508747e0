//! Stochastic gradient descent over the parameter arena, with and without momentum.

use super::{Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::Layout;

/// `p -= learning_rate * (g + weight_decay * p)`.
#[derive(Debug, Clone, Copy)]
pub struct SgdUpdate {
    /// Elements, a multiple of four.
    pub len: usize,
}

/// `v = momentum * v + g + weight_decay * p; p -= learning_rate * v`: PyTorch's SGD without dampening.
#[derive(Debug, Clone, Copy)]
pub struct SgdMomentumUpdate {
    /// Elements, a multiple of four.
    pub len: usize,
}

impl Op for SgdUpdate {
    fn name(&self) -> &'static str {
        "sgd_update"
    }

    fn bindings(&self) -> Vec<Binding> {
        let layout = Layout::Flat(self.len);
        vec![Binding::quads("p", layout, Access::Update), Binding::quads("g", layout, Access::Read)]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "sgd_update",
            constants: vec![],
            dims: vec![("quads", Dim::U((self.len / 4) as u32))],
            grid: grid(self.len),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [p, g] = buffers else { unreachable!("two bindings") };
        for i in 0..self.len {
            let gradient = g[i] + f64::from(step.weight_decay) * p[i];
            p[i] -= f64::from(step.learning_rate) * gradient;
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(1)
    }
}

impl Op for SgdMomentumUpdate {
    fn name(&self) -> &'static str {
        "sgd_momentum_update"
    }

    fn bindings(&self) -> Vec<Binding> {
        let layout = Layout::Flat(self.len);
        vec![
            Binding::quads("p", layout, Access::Update),
            Binding::quads("g", layout, Access::Read),
            Binding::quads("v", layout, Access::Update),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "sgd_momentum_update",
            constants: vec![],
            dims: vec![("quads", Dim::U((self.len / 4) as u32))],
            grid: grid(self.len),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [p, g, v] = buffers else { unreachable!("three bindings") };
        for i in 0..self.len {
            let gradient = g[i] + f64::from(step.weight_decay) * p[i];
            v[i] = f64::from(step.momentum) * v[i] + gradient;
            p[i] -= f64::from(step.learning_rate) * v[i];
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(1)
    }
}

fn grid(len: usize) -> Grid {
    Grid::fixed((len / 4).div_ceil(64) as u64)
}

/// Smallest, about a workgroup of 64 quads, and a parameter tensor's.
const LENS: [usize; 5] = [4, 252, 256, 260, 147_712];

/// One workgroup more than a dimension of a dispatch can have, and a part of it.
const FOLDED: usize = 65_536 * 64 * 4 + 8;

pub(super) fn plain_examples() -> Vec<Box<dyn Op>> {
    LENS.into_iter().chain([FOLDED]).map(|len| Box::new(SgdUpdate { len }) as _).collect()
}

pub(super) fn momentum_examples() -> Vec<Box<dyn Op>> {
    LENS.into_iter().map(|len| Box::new(SgdMomentumUpdate { len }) as _).collect()
}
