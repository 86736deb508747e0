//! The gradient of a dense layer's weights and their update in one operation.

use super::dense::{WeightsShuffle, slices};
use super::{Data, DenseBackwardWeights, Op, Slice, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Lanes, Step, Variant, variant};
use crate::shape::Layout;

/// `w -= learning_rate * (x^T * dy + weight_decay * w)` for a slice of the outputs: what
/// [`DenseBackwardWeights`] and [`SgdUpdate`](super::SgdUpdate) do, without a gradient in memory.
///
/// A dense layer's weights are many and used once, so that memory bounds both: here they are read and
/// written once in place of three times.
#[derive(Debug, Clone, Copy)]
pub struct DenseBackwardUpdate {
    /// The outputs whose weights are updated.
    pub slice: Slice,
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
        vec![
            Binding::quads("x", Layout::Rows(self.slice.inputs), Access::Read),
            Binding::quads("dy", Layout::Rows(self.slice.outputs), Access::Read),
            Binding::quads("w", self.slice.weights(), Access::Update),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let WeightsShuffle { constants, grid, supported } = WeightsShuffle::of(self.slice, facts);
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
        let [x, dy, w] = buffers else { unreachable!("three bindings") };
        let len = self.slice.weights().len(1);
        let mut gradient = [x.clone(), dy.clone(), Data::F(vec![0.0; len])];
        let whole = Step { accumulate: 0, ..*step };
        DenseBackwardWeights { slice: self.slice }.reference(&whole, &mut gradient);
        for i in 0..len {
            let decayed = gradient[2][i] + f64::from(step.weight_decay) * w[i];
            w[i] -= f64::from(step.learning_rate) * decayed;
        }
    }

    fn tolerance(&self, images: u64) -> f64 {
        rounding(images)
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    slices().into_iter().map(|slice| Box::new(DenseBackwardUpdate { slice }) as _).collect()
}
