//! Weights to measure with, made on the device.

use super::{GraphError, Network};
use crate::gpu::BufferRange;
use crate::kernel::{Recorder, Step};
use crate::ops::{Op as _, ProbeUniform};
use crate::shape::{Layout, PANEL};

/// Panels of a dense layer that are drawn, where it has at least twice as many.
const DRAWN: usize = 8;

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
    /// numbers need not be those of a paper. Of a dense layer of 512 outputs or more the first 256 are drawn
    /// and the others have the same weights, but for a last part of fewer than 32: a copy takes a tenth of the
    /// time. What is copied lies in buffers of its own until it is done.
    ///
    /// One submission for all: lavapipe takes the next one only when the last has ended, and so the host
    /// is free meanwhile.
    ///
    /// # Errors
    /// [`GraphError::Kernel`] or [`GraphError::Gpu`].
    pub fn fill_parameters(&self, fills: &[Fill]) -> Result<(), GraphError> {
        let mut recorder = Recorder::new(&self.kernels);
        let step = recorder.step(&Step::default())?;
        let mut copies = Vec::new();
        for &Fill { parameter, bound, seed } in fills {
            let (layout, range) = (self.parameters()[parameter].layout, self.weights_of(parameter));
            let mut draw = |layout, range: BufferRange, seed| -> Result<(), GraphError> {
                let op = ProbeUniform { layout, bound, seed };
                let variant = self.choose(&op)?;
                let launch = self.kernels.launch(&variant, &op.bindings(), &[range])?;
                recorder.launch(&launch, step, 1, 0);
                Ok(())
            };
            let Layout::Panels { inputs, outputs } = layout else {
                draw(layout, range, seed)?;
                continue;
            };
            let (whole, rest) = (outputs / PANEL, outputs % PANEL);
            if whole < 2 * DRAWN {
                draw(layout, range, seed)?;
                continue;
            }
            let panels = |count: usize| Layout::Panels { inputs, outputs: count * PANEL };
            let mut apart = |layout: Layout, seed| -> Result<BufferRange, GraphError> {
                let drawn = self.gpu().buffer("drawn", layout.bytes(1))?.whole();
                draw(layout, drawn.clone(), seed)?;
                Ok(drawn)
            };
            let drawn = apart(panels(DRAWN), seed)?;
            if rest > 0 {
                // Where it begins no binding may begin on every adapter.
                let last = Layout::Panels { inputs, outputs: rest };
                let place = range.part(panels(whole).bytes(1), last.bytes(1));
                copies.push((apart(last, !seed)?, place));
            }
            for first in (0..whole).step_by(DRAWN) {
                let bytes = panels(DRAWN.min(whole - first)).bytes(1);
                copies.push((drawn.part(0, bytes), range.part(panels(first).bytes(1), bytes)));
            }
        }
        for (drawn, range) in &copies {
            recorder.copy(drawn, range)?;
        }
        Ok(recorder.submit()?)
    }
}
