//! Batch normalisation with ReLU: the statistics of a batch, forward, and folding into the
//! convolution before it for inference (Ioffe and Szegedy, arXiv:1502.03167).
//!
//! Statistics are over the images of a launch, so a batch that must be normalised as a whole cannot
//! be cut into micro-batches.

use super::conv::pixels;
use super::{Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout, TAPS, padded};

/// Added to the variance, as in PyTorch.
pub const EPSILON: f32 = 1e-5;
/// Weight of a new batch in the running statistics, as in PyTorch.
pub const RUNNING_RATE: f32 = 0.1;

/// First pass of the statistics: mean and sum of squared differences of each slot's pixels.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormMoments {
    /// What is normalised, without halo.
    pub x: FeatureMap,
    /// Slots that the pixels of a launch are divided among; see [`slots`].
    pub slots: usize,
}

/// Second pass: mean and inverse deviation of the launch, and the running statistics.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormStatistics {
    /// What is normalised, without halo.
    pub x: FeatureMap,
    /// Slots of the first pass.
    pub slots: usize,
}

/// `y = max((x - mean) / deviation * scale + shift, 0)`.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormForward {
    /// What is normalised, without halo.
    pub x: FeatureMap,
    /// The result, with the halo of whoever reads it.
    pub y: FeatureMap,
}

/// The filters of a convolution with the normalisation after it, by its running statistics.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormFold {
    /// Input channels of the convolution.
    pub c: usize,
    /// Its output channels.
    pub k: usize,
}

/// Slots that keep an adapter busy with a map's pixels.
pub fn slots(map: FeatureMap, facts: &AdapterFacts) -> usize {
    let most = if facts.is_software() { 64 } else { 1024 };
    (map.height * map.width).div_ceil(16).clamp(1, most)
}

/// Elements of the tensor of moments: mean, then 1 / deviation of each stored channel.
pub const fn moments(map: FeatureMap) -> Layout {
    Layout::Flat(2 * padded(map.channels))
}

/// The running statistics: mean, variance and number of batches of each stored channel.
pub const fn statistics(channels: usize) -> Layout {
    Layout::Flat(3 * padded(channels))
}

/// Two values for each slot and stored channel.
pub(super) const fn partial(map: FeatureMap, slots: usize) -> Layout {
    Layout::Flat(slots * 2 * padded(map.channels))
}

/// The pixels of slot `slot`, as `common/slots.wgsl` has them.
pub(super) fn slot_pixels(slot: usize, slots: usize, pixels: usize) -> std::ops::Range<usize> {
    let begin = |slot: usize| slot * (pixels / slots) + slot.min(pixels % slots);
    begin(slot)..begin(slot + 1)
}

pub(super) fn slot_dims(map: FeatureMap, slots: usize) -> Vec<(&'static str, Dim)> {
    vec![
        ("pixels", Dim::U((map.height * map.width) as u32)),
        ("quads", Dim::U(map.quads() as u32)),
        ("slots", Dim::U(slots as u32)),
    ]
}

pub(super) fn slot_grid(map: FeatureMap, slots: usize) -> Grid {
    Grid::fixed((slots * map.quads()).div_ceil(64) as u64)
}

pub(super) fn map_dims(map: FeatureMap, halo: usize) -> Vec<(&'static str, Dim)> {
    vec![
        ("height", Dim::U(map.height as u32)),
        ("width", Dim::U(map.width as u32)),
        ("quads", Dim::U(map.quads() as u32)),
        ("out_halo", Dim::U(halo as u32)),
    ]
}

pub(super) fn map_grid(map: FeatureMap) -> Grid {
    Grid { tiles: 1, items: (map.height * map.width * map.quads()) as u64, per_group: 64 }
}

impl Op for BatchNormMoments {
    fn name(&self) -> &'static str {
        "batch_norm_moments"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("x", Layout::Map(self.x), Access::Read),
            Binding::quads("partial", partial(self.x, self.slots), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "batch_norm_moments",
            constants: vec![],
            dims: slot_dims(self.x, self.slots),
            grid: slot_grid(self.x, self.slots),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, partial] = buffers else { unreachable!("two bindings") };
        let stored = padded(self.x.channels);
        let pixels = step.images as usize * self.x.height * self.x.width;
        for (slot, c) in (0..self.slots).flat_map(|slot| (0..stored).map(move |c| (slot, c))) {
            let pixels = slot_pixels(slot, self.slots, pixels);
            let values = || pixels.clone().map(|pixel| x[pixel * stored + c]);
            let mean = values().sum::<f64>() / pixels.len().max(1) as f64;
            let squares = values().map(|value| (value - mean).powi(2)).sum();
            partial[slot * 2 * stored + c] = mean;
            partial[(slot * 2 + 1) * stored + c] = squares;
        }
    }

    /// The sum of squares of a slot is the largest value.
    fn tolerance(&self, images: u64) -> f64 {
        let pixels = images as usize * self.x.height * self.x.width;
        rounding(pixels.div_ceil(self.slots) as u64)
    }
}

impl Op for BatchNormStatistics {
    fn name(&self) -> &'static str {
        "batch_norm_statistics"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("partial", partial(self.x, self.slots), Access::Read),
            Binding::quads("statistics", statistics(self.x.channels), Access::Update),
            Binding::quads("moments", moments(self.x), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let mut dims = slot_dims(self.x, self.slots);
        dims.extend([("epsilon", Dim::F(EPSILON)), ("rate", Dim::F(RUNNING_RATE))]);
        vec![variant! {
            "batch_norm_statistics",
            constants: vec![],
            dims,
            grid: Grid::fixed(self.x.quads().div_ceil(64) as u64),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [partial, statistics, moments] = buffers else { unreachable!("three bindings") };
        let stored = padded(self.x.channels);
        let pixels = step.images as usize * self.x.height * self.x.width;
        let count = |slot| slot_pixels(slot, self.slots, pixels).len() as f64;
        let n = pixels as f64;
        for c in 0..stored {
            let mean_of = |slot: usize| partial[slot * 2 * stored + c];
            let weighted = (0..self.slots).map(|slot| mean_of(slot) * count(slot));
            let mean = weighted.sum::<f64>() / n;
            let squares = (0..self.slots).filter(|&slot| count(slot) > 0.0).map(|slot| {
                let within = partial[(slot * 2 + 1) * stored + c];
                within + count(slot) * (mean_of(slot) - mean).powi(2)
            });
            let squares = squares.sum::<f64>();
            moments[c] = mean;
            moments[stored + c] = 1.0 / (squares / n + f64::from(EPSILON)).sqrt();
            let rate = f64::from(RUNNING_RATE);
            statistics[c] += rate * (mean - statistics[c]);
            let unbiased = squares / (n - 1.0).max(1.0);
            statistics[stored + c] += rate * (unbiased - statistics[stored + c]);
            statistics[2 * stored + c] += 1.0;
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(self.slots as u64)
    }

    /// Sums of squares are not negative.
    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let len = partial(self.x, self.slots).len(1);
        let stored = padded(self.x.channels);
        let mut value = |i: usize| match i / stored % 2 {
            0 => 2.0 * random() - 1.0,
            _ => 4.0 * random(),
        };
        (name == "partial").then(|| Data::F((0..len).map(&mut value).collect()))
    }
}

impl Op for BatchNormForward {
    fn name(&self) -> &'static str {
        "batch_norm_forward"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("x", Layout::Map(self.x), Access::Read),
            Binding::quads("norm", Layout::Norm { c: self.x.channels }, Access::Read),
            Binding::quads("moments", moments(self.x), Access::Read),
            Binding::quads("y", Layout::Map(self.y), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "batch_norm_forward",
            constants: vec![],
            dims: map_dims(self.y, self.y.halo),
            grid: map_grid(self.y),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, norm, moments, y] = buffers else { unreachable!("four bindings") };
        let stored = padded(self.x.channels);
        for (n, i, j, c) in pixels(step.images, self.x) {
            let normal = (x[self.x.index(n, i, j, c)] - moments[c]) * moments[stored + c];
            y[self.y.index(n, i, j, c)] = (normal * norm[c] + norm[stored + c]).max(0.0);
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(1)
    }
}

impl Op for BatchNormFold {
    fn name(&self) -> &'static str {
        "batch_norm_fold"
    }

    fn bindings(&self) -> Vec<Binding> {
        let filter = Layout::Filter { c: self.c, k: self.k };
        vec![
            Binding::quads("w", filter, Access::Read),
            Binding::quads("norm", Layout::Norm { c: self.k }, Access::Read),
            Binding::quads("statistics", statistics(self.k), Access::Read),
            Binding::quads("folded", filter, Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let (rows, quads) = (TAPS * padded(self.c) + 1, self.k.div_ceil(4));
        vec![variant! {
            "batch_norm_fold",
            constants: vec![],
            dims: vec![
                ("rows", Dim::U(rows as u32)),
                ("quads", Dim::U(quads as u32)),
                ("epsilon", Dim::F(EPSILON)),
            ],
            grid: Grid::fixed((rows * quads).div_ceil(64) as u64),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, _step: &Step, buffers: &mut [Data]) {
        let [w, norm, statistics, folded] = buffers else { unreachable!("four bindings") };
        let (rows, stored) = (TAPS * padded(self.c) + 1, padded(self.k));
        for (row, k) in (0..rows).flat_map(|row| (0..stored).map(move |k| (row, k))) {
            let variance = statistics[stored + k] + f64::from(EPSILON);
            let factor = norm[k] / variance.sqrt();
            let value = w[row * stored + k];
            folded[row * stored + k] = match row == rows - 1 {
                true => (value - statistics[k]) * factor + norm[stored + k],
                false => value * factor,
            };
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(1)
    }

    /// Variances are not negative.
    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let len = statistics(self.k).len(1);
        (name == "statistics").then(|| Data::F((0..len).map(|_| random() + 0.05).collect()))
    }
}

/// `(height, width, channels, slots)`: one pixel, fewer pixels than slots, odd, prime, VGG's.
const SHAPES: &[(usize, usize, usize, usize)] = &[
    (1, 1, 1, 1),
    (1, 1, 5, 7),
    (2, 3, 4, 4),
    (5, 7, 3, 3),
    (9, 15, 13, 16),
    (14, 14, 128, 13),
    (28, 28, 64, 49),
    (56, 56, 16, 64),
];

/// An operation for each of the shapes: `make(map, slots, halo)`.
pub(super) fn examples(make: impl Fn(FeatureMap, usize, usize) -> Box<dyn Op>) -> Vec<Box<dyn Op>> {
    let op = |(i, &(h, w, c, slots)): (usize, &(usize, usize, usize, usize))| {
        make(FeatureMap::new(h, w, c), slots, i % 2)
    };
    SHAPES.iter().enumerate().map(op).collect()
}

pub(super) fn moments_examples() -> Vec<Box<dyn Op>> {
    examples(|x, slots, _| Box::new(BatchNormMoments { x, slots }))
}

pub(super) fn statistics_examples() -> Vec<Box<dyn Op>> {
    examples(|x, slots, _| Box::new(BatchNormStatistics { x, slots }))
}

pub(super) fn forward_examples() -> Vec<Box<dyn Op>> {
    examples(|x, _, halo| Box::new(BatchNormForward { x, y: x.with_halo(halo) }))
}

pub(super) fn fold_examples() -> Vec<Box<dyn Op>> {
    let shapes = [(1, 1), (3, 5), (4, 16), (13, 31), (64, 128)];
    shapes.map(|(c, k)| Box::new(BatchNormFold { c, k }) as _).into()
}
