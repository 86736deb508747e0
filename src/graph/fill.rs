//! Weights to measure with, made on the device.

use super::{GraphError, Network};
use crate::gpu::Order;
use crate::kernel::{Recorder, Step};
use crate::ops::{Op as _, ProbeUniform};

/// What a parameter is filled with: uniform random numbers in `[-bound, bound)` that follow from
/// `seed`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fill {
    /// Its place among [`Network::parameters`].
    pub parameter: usize,
    /// The largest magnitude.
    pub bound: f32,
    /// What the numbers follow from.
    pub seed: u32,
}

impl Network {
    /// Fills parameters with random numbers, paddings zero, on the device: for measurements, where the
    /// numbers need not be those of a paper.
    ///
    /// One submission for all: lavapipe takes the next one only when the last has ended, and so the host
    /// is free meanwhile.
    ///
    /// # Errors
    /// [`GraphError::Kernel`] or [`GraphError::Gpu`].
    pub fn fill_parameters(&self, fills: &[Fill]) -> Result<(), GraphError> {
        let mut recorder = Recorder::new(&self.kernels);
        let step = recorder.step(&Step::default())?;
        for &Fill { parameter, bound, seed } in fills {
            let (layout, range) = (self.parameters()[parameter].layout, self.weights_of(parameter));
            let op = ProbeUniform { layout, bound, seed };
            let in_blocks = range.order() == Some(Order::Blocks);
            let mut rendered = op.variants(self.gpu().facts()).into_iter();
            let variant = match rendered.find(|variant| variant.target.is_some() && in_blocks) {
                Some(variant) => variant,
                None => self.choose(&op)?,
            };
            let launch = self.kernels.launch(&variant, &op.bindings(), &[range])?;
            recorder.launch(&launch, step, 1, 0);
        }
        Ok(recorder.submit()?)
    }
}
