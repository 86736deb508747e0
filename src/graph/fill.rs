//! Weights to measure with.

use std::iter;

use super::{GraphError, Network};
use crate::gpu::Order;
use crate::kernel::{Recorder, Step};
use crate::ops::{Op as _, ProbeUniform};
use crate::shape::{Layout, PANEL};

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

/// Numbers that large dense layers have over and over: a mebibyte.
const REPEATED: usize = 1 << 18;

impl Network {
    /// Fills parameters with random numbers, paddings zero: for measurements, where the numbers need not be
    /// those of a paper.
    ///
    /// They are drawn on the device, but for dense layers in blocks, if all parameters there are filled: these
    /// are copies of one mebibyte of numbers, in the smallest of their bounds, since a page that is first
    /// touched by a kernel takes longer. There the empty rows of panels, which nothing reads, are no zeros.
    ///
    /// One submission for all: lavapipe takes the next one only when the last has ended, and so the host
    /// is free meanwhile.
    ///
    /// # Errors
    /// [`GraphError::Kernel`] or [`GraphError::Gpu`].
    pub fn fill_parameters(&self, fills: &[Fill]) -> Result<(), GraphError> {
        let mut recorder = Recorder::new(&self.kernels);
        let step = recorder.step(&Step::default())?;
        let mut copied = Vec::new();
        for (place, buffer) in self.weights.iter().enumerate() {
            let lies_here = |parameter: usize| self.places.place(parameter).buffer == place;
            let here: Vec<&Fill> = fills.iter().filter(|fill| lies_here(fill.parameter)).collect();
            let all = (0..self.parameters().len()).filter(|&parameter| lies_here(parameter));
            let is_filled = |parameter: usize| here.iter().any(|fill| fill.parameter == parameter);
            let in_blocks = buffer.whole().order() == Some(Order::Blocks);
            let Some(first) = here.first().filter(|_| in_blocks && all.into_iter().all(is_filled))
            else {
                continue;
            };
            let bound = here.iter().fold(first.bound, |bound, fill| bound.min(fill.bound));
            let mut random = fastrand::Rng::with_seed(first.seed.into());
            let number = || bound * (2.0 * random.f32() - 1.0);
            let numbers: Vec<f32> = iter::repeat_with(number).take(REPEATED).collect();
            recorder.fill(buffer, &numbers)?;
            let whole = |fill: &&&Fill| fills_its_panels(self.parameters()[fill.parameter].layout);
            copied.extend(here.iter().filter(whole).map(|fill| fill.parameter));
        }
        for &Fill { parameter, bound, seed } in fills {
            if copied.contains(&parameter) {
                continue;
            }
            let (layout, range) = (self.parameters()[parameter].layout, self.weights_of(parameter));
            let op = ProbeUniform { layout, bound, seed };
            let launch = self.kernels.launch(&self.choose(&op)?, &op.bindings(), &[range])?;
            recorder.launch(&launch, step, 1, 0);
        }
        Ok(recorder.submit()?)
    }
}

/// True if a dense layer has no paddings but the empty rows of its panels.
fn fills_its_panels(layout: Layout) -> bool {
    matches!(layout, Layout::Panels { inputs, outputs } if inputs % 4 == 0 && outputs % PANEL == 0)
}
