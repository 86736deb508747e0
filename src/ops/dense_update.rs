//! The gradient of a dense layer's weights and their update in one operation.

use super::dense::{WeightsShuffle, slices};
use super::{Data, DenseBackwardWeights, Op, SgdMomentumUpdate, SgdUpdate, Slice, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Lanes, Step, Variant, variant};
use crate::shape::Layout;

/// `w -= learning_rate * (x^T * dy + weight_decay * w)` for a slice of the outputs, or with momentum
/// `v = momentum * v + x^T * dy + weight_decay * w; w -= learning_rate * v`: what
/// [`DenseBackwardWeights`] and then [`SgdUpdate`] or [`SgdMomentumUpdate`] do, without a gradient in
/// memory.
///
/// A dense layer's weights are many and used once, so that memory bounds both: here a gradient is
/// neither written nor read again, and the weights are read once.
#[derive(Debug, Clone, Copy)]
pub struct DenseBackwardUpdate {
    /// The outputs whose weights are updated.
    pub slice: Slice,
    /// True if there is momentum, and so a velocity for each weight.
    pub momentum: bool,
}

impl DenseBackwardUpdate {
    /// True on adapters that it is made for.
    pub fn suits(facts: &AdapterFacts) -> bool {
        facts.is_software() && Lanes::of(facts).is_ok()
    }
}

impl Op for DenseBackwardUpdate {
    fn name(&self) -> &'static str {
        "dense_backward_update"
    }

    fn bindings(&self) -> Vec<Binding> {
        let mut bindings = vec![
            Binding::quads("x", Layout::Rows(self.slice.inputs), Access::Read),
            Binding::quads("dy", Layout::Rows(self.slice.outputs), Access::Read),
            Binding::quads("w", self.slice.weights(), Access::Update),
        ];
        if self.momentum {
            bindings.push(Binding::quads("v", self.slice.weights(), Access::Update));
        }
        bindings
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let WeightsShuffle { mut constants, grid, supported } =
            WeightsShuffle::of(self.slice, facts);
        constants.push(("MOMENTUM", u32::from(self.momentum)));
        vec![variant! {
            "dense_backward_update_shuffle",
            constants,
            dims: self.slice.dims(None),
            grid,
            proven: true,
            supported,
        }]
    }

    fn flop(&self, images: u64) -> u64 {
        images * self.slice.flop()
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, dy, parameters @ ..] = buffers else { unreachable!("three bindings or four") };
        let len = self.slice.weights().len(1);
        let mut gradient = [x.clone(), dy.clone(), Data::F(vec![0.0; len])];
        let whole = Step { accumulate: 0, ..*step };
        DenseBackwardWeights { slice: self.slice }.reference(&whole, &mut gradient);
        let [.., gradient] = gradient;
        match parameters {
            [w, v] => {
                let mut buffers = [w.clone(), gradient, v.clone()];
                SgdMomentumUpdate { len }.reference(step, &mut buffers);
                [*w, _, *v] = buffers;
            }
            [w] => {
                let mut buffers = [w.clone(), gradient];
                SgdUpdate { len }.reference(step, &mut buffers);
                [*w, _] = buffers;
            }
            _ => unreachable!("weights, and with momentum velocities"),
        }
    }

    fn tolerance(&self, images: u64) -> f64 {
        rounding(images)
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let both = |slice| [false, true].map(|momentum| DenseBackwardUpdate { slice, momentum });
    slices().into_iter().flat_map(both).map(|op| Box::new(op) as _).collect()
}
