//! Gathers a batch from a set of f32 tensors.

use super::conv::pixels;
use super::input::{self, Shard};
use super::{Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout};

/// `x[i]` = tensor `order[sample_base + i]` of a set, from `(channels, height, width)` to
/// channels-last, its values as they are.
#[derive(Debug, Clone, Copy)]
pub struct LoadRaw {
    /// Which tensors are bound.
    pub shard: Shard,
    /// The output, with the halo of whoever reads it; 1 or 3 channels.
    pub output: FeatureMap,
}

impl LoadRaw {
    fn elements(&self) -> usize {
        self.output.channels * self.output.height * self.output.width
    }

    /// The layout of the shard's values, `(count, channels, height, width)` f32.
    pub fn values(&self) -> Layout {
        Layout::Flat(self.shard.count * self.elements())
    }
}

impl Op for LoadRaw {
    fn name(&self) -> &'static str {
        "load_raw"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            self.shard.order(),
            Binding::floats("values", self.values(), Access::Read),
            // Not every image is overwritten: some may be another shard's.
            Binding::quads("x", Layout::Map(self.output), Access::Update),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let output = self.output;
        vec![variant! {
            "load_raw",
            constants: vec![],
            dims: vec![
                ("channels", Dim::U(output.channels as u32)),
                ("first", Dim::U(self.shard.first as u32)),
                ("count", Dim::U(self.shard.count as u32)),
                ("height", Dim::U(output.height as u32)),
                ("width", Dim::U(output.width as u32)),
                ("out_halo", Dim::U(output.halo as u32)),
            ],
            grid: input::grid(output),
            // The order of samples comes from outside.
            proven: false,
            supported: Ok(()),
        }]
    }

    /// The binding holds the whole shard; what is read of it and written are the images' values.
    fn bytes(&self, images: u64) -> u64 {
        images * 4 * (self.elements() + self.output.with_halo(0).len()) as u64
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [order, values, x] = buffers else { unreachable!("three bindings") };
        let FeatureMap { height, width, channels, .. } = self.output;
        for (n, i, j, c) in pixels(step.images, self.output) {
            let Some(place) = self.shard.place(order.words(), step, n) else { continue };
            let at = ((place * channels + c) * height + i) * width + j;
            x[self.output.index(n, i, j, c)] = values[at];
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        0.0
    }

    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        (name == "order").then(|| self.shard.any_order(random))
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    // ((channels, height, width), first, count): smallest, odd, and shards from the middle of a set.
    let shapes = [
        ((1, 28, 28), 0, 9),
        ((1, 1, 1), 0, 3),
        ((3, 1, 1), 0, 7),
        ((3, 13, 7), 0, 4),
        ((1, 5, 11), 3, 5),
        ((3, 8, 9), 6, 2),
    ];
    let op = |(i, ((channels, height, width), first, count))| {
        let i: usize = i;
        let output = FeatureMap::new(height, width, channels).with_halo(i % 2);
        Box::new(LoadRaw { shard: Shard { first, count, samples: 80 }, output }) as _
    };
    shapes.into_iter().enumerate().map(op).collect()
}
