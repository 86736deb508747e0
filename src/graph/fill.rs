//! Weights to measure with, made on the device.

use super::{GraphError, Network};
use crate::kernel::{Recorder, Step};
use crate::ops::{Op as _, ProbeUniform};

impl Network {
    /// Fills parameter `i` with uniform random numbers in `[-bound, bound)` that follow from `seed`,
    /// paddings zero, on the device: for measurements, where the numbers need not be those of a paper.
    ///
    /// # Errors
    /// [`GraphError::Kernel`] or [`GraphError::Gpu`].
    pub fn fill_parameter(&self, i: usize, bound: f32, seed: u32) -> Result<(), GraphError> {
        let op = ProbeUniform { layout: self.parameters()[i].layout, bound, seed };
        let variant = self.choose(&op)?;
        let launch = self.kernels.launch(&variant, &op.bindings(), &[self.weights_of(i)])?;
        let mut recorder = Recorder::new(&self.kernels);
        let step = recorder.step(&Step::default())?;
        recorder.launch(&launch, step, 1, 0);
        Ok(recorder.submit()?)
    }
}
