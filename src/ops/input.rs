//! What the operations that make a network's input from an image set share.

use super::Data;
use crate::kernel::{Access, Binding, Dim, Grid, Step};
use crate::shape::{FeatureMap, Layout, Normalisation};

/// The part of an image set that an operation binds. Images outside it are left to the launches of
/// the other shards.
#[derive(Debug, Clone, Copy)]
pub struct Shard {
    /// Place in the set of the shard's first image.
    pub first: usize,
    /// Images in the shard.
    pub count: usize,
    /// Length of the order of samples.
    pub samples: usize,
}

impl Shard {
    /// The place in the shard of image `n` of a micro-batch, if it is there.
    pub(super) fn place(&self, order: &[u32], step: &Step, n: usize) -> Option<usize> {
        let sample = order[step.sample_base as usize + n] as usize;
        sample.checked_sub(self.first).filter(|&place| place < self.count)
    }

    pub(super) fn order(&self) -> Binding {
        Binding::words("order", Layout::Words(self.samples), Access::Read)
    }

    /// An order of samples for tests: of a set twice as large as the part up to the shard's end, so
    /// that some images are not here; of the whole shard where it is the first.
    pub(super) fn any_order(&self, random: &mut dyn FnMut() -> f64) -> Data {
        let set = if self.first == 0 { self.count } else { self.first + 2 * self.count };
        Data::U((0..self.samples).map(|_| (random() * set as f64) as u32).collect())
    }
}

/// 8-bit images and what is made of them: the `channels` of the output, resized to it, scaled to
/// `[0, 1]` and normalised.
#[derive(Debug, Clone, Copy)]
pub struct Pictures {
    /// Rows of a stored image.
    pub source_height: usize,
    /// Columns of a stored image.
    pub source_width: usize,
    /// Which images are bound.
    pub shard: Shard,
    /// What is done to values in `[0, 1]`.
    pub normalisation: Normalisation,
    /// The output, with the halo of whoever reads it; 1 or 3 channels.
    pub output: FeatureMap,
}

impl Pictures {
    pub(super) fn image_bytes(&self) -> usize {
        self.source_height * self.source_width * self.output.channels
    }

    /// The layout of the shard's pixels, `(count, source_height, source_width, channels)` bytes.
    pub fn pixels(&self) -> Layout {
        Layout::Words((self.shard.count * self.image_bytes()).div_ceil(4))
    }

    /// The least bytes that `images` images move: their pixels are read, and they are written. The
    /// binding holds the whole shard.
    pub(super) fn bytes(&self, images: u64) -> u64 {
        images * (self.image_bytes() + 4 * self.output.with_halo(0).len()) as u64
    }

    /// The order of samples, the pixels, what the operation adds, and the output.
    pub(super) fn bindings(&self, more: &[Binding]) -> Vec<Binding> {
        let pixels = Binding::words("pixels", self.pixels(), Access::Read);
        // Not every image is overwritten: some may be another shard's.
        let x = Binding::quads("x", Layout::Map(self.output), Access::Update);
        [&[self.shard.order(), pixels], more, &[x]].concat()
    }

    /// The dimensions that `common/pictures.wgsl` and its users read, then `more`.
    pub(super) fn dims(&self, more: &[(&'static str, Dim)]) -> Vec<(&'static str, Dim)> {
        let output = self.output;
        let size = |name, value: usize| (name, Dim::U(value as u32));
        let mut dims = vec![
            size("source_height", self.source_height),
            size("source_width", self.source_width),
            size("channels", output.channels),
            size("first", self.shard.first),
            size("count", self.shard.count),
            size("height", output.height),
            size("width", output.width),
            size("out_halo", output.halo),
        ];
        dims.extend_from_slice(more);
        // Channels that are not there stay 0.
        let there = |c: usize| if c < output.channels { 1.0 } else { 0.0 };
        let deviation = |c: usize| f64::from(self.normalisation.deviation[c]);
        let mean = |c: usize| f64::from(self.normalisation.mean[c]);
        let factor = |name, value: f64| (name, Dim::F(value as f32));
        let scale = |name, c| factor(name, there(c) / deviation(c));
        // Not -0: adding it would be no mistake, but 0 is what is meant.
        let shift = |name, c| factor(name, 0.0 - there(c) * mean(c) / deviation(c));
        dims.extend([scale("scale_0", 0), scale("scale_1", 1), scale("scale_2", 2)]);
        dims.extend([shift("shift_0", 0), shift("shift_1", 1), shift("shift_2", 2)]);
        dims
    }

    /// One invocation a pixel of the output.
    pub(super) fn grid(&self) -> Grid {
        grid(self.output)
    }

    /// Writes to `x` the normalised `value` of each output `(image, y, x, c)`, of 0 to 255. The
    /// images are given by the place of their first byte.
    pub(super) fn write(
        &self,
        step: &Step,
        order: &[u32],
        x: &mut Data,
        value: impl Fn(usize, usize, usize, usize) -> f64,
    ) {
        for (n, i, j, c) in super::conv::pixels(step.images, self.output) {
            let Some(place) = self.shard.place(order, step, n) else { continue };
            let value = value(place * self.image_bytes(), i, j, c) / 255.0;
            let Normalisation { mean, deviation } = self.normalisation;
            let value = (value - f64::from(mean[c])) / f64::from(deviation[c]);
            x[self.output.index(n, i, j, c)] = value;
        }
    }

    /// Channel `c` of a stored pixel of the image at byte `base`.
    pub(super) fn byte(
        &self,
        words: &[u32],
        base: usize,
        row: usize,
        column: usize,
        c: usize,
    ) -> u8 {
        let at = base + (row * self.source_width + column) * self.output.channels + c;
        words[at / 4].to_le_bytes()[at % 4]
    }
}

/// One invocation a pixel of `output`.
pub(super) fn grid(output: FeatureMap) -> Grid {
    Grid { tiles: 1, items: (output.height * output.width) as u64, per_group: 64 }
}

/// Pictures of awkward shapes: equal sizes, up, down, smallest, odd, and shards from the middle of a
/// set; every other one with a halo, every third normalised.
pub(super) fn examples() -> Vec<Pictures> {
    // ((source height, width), channels, (output height, width), first, count)
    let shapes = [
        ((28, 28), 1, (28, 28), 0, 9),
        ((7, 7), 1, (56, 56), 0, 5),
        ((28, 28), 1, (32, 32), 0, 6),
        ((32, 32), 3, (12, 12), 0, 4),
        ((1, 1), 1, (4, 5), 0, 3),
        ((1, 1), 3, (1, 1), 0, 7),
        ((5, 3), 3, (7, 11), 0, 2),
        ((9, 13), 1, (2, 3), 0, 11),
        ((11, 5), 3, (8, 8), 6, 4),
        ((4, 6), 1, (9, 7), 3, 5),
        ((13, 17), 3, (13, 5), 0, 3),
        ((2, 509), 1, (3, 499), 0, 2),
        ((4096, 2), 1, (4093, 1), 0, 1),
        ((1, 4091), 3, (1, 4096), 1, 2),
    ];
    let picture = |(i, ((source_height, source_width), channels, (h, w), first, count))| {
        let i: usize = i;
        let output = FeatureMap::new(h, w, channels).with_halo(i % 2);
        let normalisation = match i % 3 {
            2 => Normalisation::IMAGENET,
            _ => Normalisation::default(),
        };
        let shard = Shard { first, count, samples: 80 };
        Pictures { source_height, source_width, shard, normalisation, output }
    };
    shapes.into_iter().enumerate().map(picture).collect()
}
