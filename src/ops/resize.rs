//! Gathers a batch from a set of 8-bit images and resizes it.

use super::conv::pixels;
use super::{Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout};

/// `x[i]` = image `order[sample_base + i]` of a set, scaled to `[0, 1]` and resized bilinearly with
/// half-pixel centres and clamped edges (PyTorch's `interpolate` with `align_corners=False`).
///
/// The pixels bound are a shard of the set; images outside it are left to the shards' own launches.
#[derive(Debug, Clone, Copy)]
pub struct ResizeBilinear {
    /// Rows of a stored image.
    pub source_height: usize,
    /// Columns of a stored image.
    pub source_width: usize,
    /// Channels, 1 or 3.
    pub channels: usize,
    /// Place in the set of the shard's first image.
    pub first: usize,
    /// Images in the shard.
    pub count: usize,
    /// Length of the order of samples.
    pub samples: usize,
    /// The output, with the halo of whoever reads it.
    pub output: FeatureMap,
}

impl ResizeBilinear {
    fn image_bytes(&self) -> usize {
        self.source_height * self.source_width * self.channels
    }

    fn words(&self) -> usize {
        (self.count * self.image_bytes()).div_ceil(4)
    }
}

impl Op for ResizeBilinear {
    fn name(&self) -> &'static str {
        "resize_bilinear"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::words("order", Layout::Words(self.samples), Access::Read),
            Binding::words("pixels", Layout::Words(self.words()), Access::Read),
            // Not every image is overwritten: some may be another shard's.
            Binding::quads("x", Layout::Map(self.output), Access::Update),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let output = self.output;
        vec![variant! {
            "resize_bilinear",
            constants: vec![],
            dims: vec![
                ("source_height", Dim::U(self.source_height as u32)),
                ("source_width", Dim::U(self.source_width as u32)),
                ("channels", Dim::U(self.channels as u32)),
                ("first", Dim::U(self.first as u32)),
                ("count", Dim::U(self.count as u32)),
                ("height", Dim::U(output.height as u32)),
                ("width", Dim::U(output.width as u32)),
                ("out_halo", Dim::U(output.halo as u32)),
            ],
            grid: Grid { tiles: 1, items: (output.height * output.width) as u64, per_group: 64 },
            // The order of samples comes from outside.
            proven: false,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [order, bytes, x] = buffers else { unreachable!("three bindings") };
        let (order, words) = (order.words(), bytes.words());
        for (n, i, j, c) in pixels(step.images, self.output) {
            let sample = order[step.sample_base as usize + n] as usize;
            if sample < self.first || sample >= self.first + self.count {
                continue;
            }
            let base = (sample - self.first) * self.image_bytes();
            let byte = |row: usize, column: usize| {
                let at = base + (row * self.source_width + column) * self.channels + c;
                f64::from(words[at / 4].to_le_bytes()[at % 4])
            };
            let mut value = 0.0;
            for (row, row_weight) in corners(i, self.output.height, self.source_height) {
                for (column, weight) in corners(j, self.output.width, self.source_width) {
                    value += row_weight * weight * byte(row, column);
                }
            }
            x[self.output.index(n, i, j, c)] = value / 255.0;
        }
    }

    /// Source positions are computed in f32, to about 1e-6 of the source's size.
    fn tolerance(&self, _images: u64) -> f64 {
        2e-6 * self.source_height.max(self.source_width).max(4) as f64
    }

    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        // A set twice as large as the part up to the shard's end, so that some images are not here;
        // the whole shard where it is the first.
        let set = if self.first == 0 { self.count } else { self.first + 2 * self.count };
        let sample = |_| (random() * set as f64) as u32;
        (name == "order").then(|| Data::U((0..self.samples).map(sample).collect()))
    }
}

/// The two source positions that output position `i` lies between, with their weights.
fn corners(i: usize, size: usize, source: usize) -> [(usize, f64); 2] {
    let centre = (i as f64 + 0.5) * source as f64 / size as f64 - 0.5;
    let centre = centre.clamp(0.0, (source - 1) as f64);
    let low = centre.floor();
    let high = (low as usize + 1).min(source - 1);
    [(low as usize, 1.0 - (centre - low)), (high, centre - low)]
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    // ((source height, width), channels, (output height, width), first, count): equal, up, down,
    // smallest, odd, and a shard from the middle of a set.
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
    ];
    let op = |(i, ((source_height, source_width), channels, (h, w), first, count))| {
        let i: usize = i;
        let output = FeatureMap::new(h, w, channels).with_halo(i % 2);
        let samples = 80;
        Box::new(ResizeBilinear {
            source_height,
            source_width,
            channels,
            first,
            count,
            samples,
            output,
        }) as _
    };
    shapes.into_iter().enumerate().map(op).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_those_of_pytorch() {
        // torch.nn.functional.interpolate([0., 1.], size=4, mode="linear", align_corners=False)
        // gives 0, 0.25, 0.75, 1.
        let value = |i| corners(i, 4, 2).map(|(at, weight)| at as f64 * weight).iter().sum::<f64>();
        assert_eq!([0, 1, 2, 3].map(value), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(corners(2, 5, 5)[0], (2, 1.0));
        assert_eq!(corners(3, 9, 1), [(0, 1.0), (0, 0.0)]);
    }
}
