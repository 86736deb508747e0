//! Gradients of batch normalisation: of its scale and shift in two fixed passes, and of its input.

use super::batch_norm::{examples, map_dims, map_grid, moments, partial};
use super::batch_norm::{slot_dims, slot_grid, slot_pixels};
use super::conv::pixels;
use super::{Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout, padded};

/// First pass: sums of `dy * normal` and of `dy` over each slot's pixels, where `normal` is the
/// normalised input.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormBackwardSums {
    /// What is normalised, without halo; its gradient has the same shape.
    pub x: FeatureMap,
    /// Slots that the pixels of a launch are divided among.
    pub slots: usize,
}

/// Second pass: the sums of all slots, and the gradients of scale and shift.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormGradients {
    /// What is normalised.
    pub x: FeatureMap,
    /// Slots of the first pass.
    pub slots: usize,
}

/// `dx = scale / deviation * (dy - (sum of dy + normal * sum of dy * normal) / pixels)`.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormBackward {
    /// What is normalised, without halo.
    pub x: FeatureMap,
    /// Its gradient, with the halo of whoever reads it.
    pub dx: FeatureMap,
}

impl Op for BatchNormBackwardSums {
    fn name(&self) -> &'static str {
        "batch_norm_backward_sums"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("x", Layout::Map(self.x), Access::Read),
            Binding::quads("dy", Layout::Map(self.x), Access::Read),
            Binding::quads("moments", moments(self.x), Access::Read),
            Binding::quads("partial", partial(self.x, self.slots), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "batch_norm_backward_sums",
            constants: vec![],
            dims: slot_dims(self.x, self.slots),
            grid: slot_grid(self.x, self.slots),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, dy, moments, partial] = buffers else { unreachable!("four bindings") };
        let stored = padded(self.x.channels);
        let pixels = step.images as usize * self.x.height * self.x.width;
        for (slot, c) in (0..self.slots).flat_map(|slot| (0..stored).map(move |c| (slot, c))) {
            let (mut products, mut sum) = (0.0, 0.0);
            for pixel in slot_pixels(slot, self.slots, pixels) {
                let normal = (x[pixel * stored + c] - moments[c]) * moments[stored + c];
                products += dy[pixel * stored + c] * normal;
                sum += dy[pixel * stored + c];
            }
            partial[slot * 2 * stored + c] = products;
            partial[(slot * 2 + 1) * stored + c] = sum;
        }
    }

    fn tolerance(&self, images: u64) -> f64 {
        let pixels = images as usize * self.x.height * self.x.width;
        rounding(pixels.div_ceil(self.slots) as u64)
    }
}

impl Op for BatchNormGradients {
    fn name(&self) -> &'static str {
        "batch_norm_gradients"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("partial", partial(self.x, self.slots), Access::Read),
            Binding::quads("sums", moments(self.x), Access::Write),
            Binding::quads("grad", Layout::Norm { c: self.x.channels }, Access::Update),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "batch_norm_gradients",
            constants: vec![],
            dims: vec![
                ("quads", Dim::U(self.x.quads() as u32)),
                ("slots", Dim::U(self.slots as u32)),
            ],
            grid: Grid::fixed((2 * self.x.quads()).div_ceil(64) as u64),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [partial, sums, grad] = buffers else { unreachable!("three bindings") };
        let stored = 2 * padded(self.x.channels);
        for i in 0..stored {
            let sum: f64 = (0..self.slots).map(|slot| partial[slot * stored + i]).sum();
            sums[i] = sum;
            grad[i] = sum + if step.accumulate == 1 { grad[i] } else { 0.0 };
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(self.slots as u64)
    }

    /// Channels past the last have neither sums nor gradients.
    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let (stored, channels) = (padded(self.x.channels), self.x.channels);
        let len = partial(self.x, self.slots).len(1);
        let mut value = |i: usize| match i % stored < channels {
            true => 2.0 * random() - 1.0,
            false => 0.0,
        };
        (name == "partial").then(|| Data::F((0..len).map(&mut value).collect()))
    }
}

impl Op for BatchNormBackward {
    fn name(&self) -> &'static str {
        "batch_norm_backward"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("x", Layout::Map(self.x), Access::Read),
            Binding::quads("dy", Layout::Map(self.x), Access::Read),
            Binding::quads("norm", Layout::Norm { c: self.x.channels }, Access::Read),
            Binding::quads("moments", moments(self.x), Access::Read),
            Binding::quads("sums", moments(self.x), Access::Read),
            Binding::quads("dx", Layout::Map(self.dx), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "batch_norm_backward",
            constants: vec![],
            dims: map_dims(self.dx, self.dx.halo),
            grid: map_grid(self.dx),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, dy, norm, moments, sums, dx] = buffers else { unreachable!("six bindings") };
        let stored = padded(self.x.channels);
        let count = (step.images as usize * self.x.height * self.x.width) as f64;
        for (n, i, j, c) in pixels(step.images, self.x) {
            let at = self.x.index(n, i, j, c);
            let normal = (x[at] - moments[c]) * moments[stored + c];
            let mean = (sums[stored + c] + normal * sums[c]) / count;
            dx[self.dx.index(n, i, j, c)] = norm[c] * moments[stored + c] * (dy[at] - mean);
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(1)
    }
}

pub(super) fn sums_examples() -> Vec<Box<dyn Op>> {
    examples(|x, slots, _| Box::new(BatchNormBackwardSums { x, slots }))
}

pub(super) fn gradients_examples() -> Vec<Box<dyn Op>> {
    examples(|x, slots, _| Box::new(BatchNormGradients { x, slots }))
}

pub(super) fn backward_examples() -> Vec<Box<dyn Op>> {
    examples(|x, _, halo| Box::new(BatchNormBackward { x, dx: x.with_halo(halo) }))
}
