//! 2x2 max pooling with stride 2: forward with the positions of the maxima, and backward.

use super::conv::pixels;
use super::{Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout};

/// `y` = the largest of each 2x2 window, `positions` = which of the four it was: `(n, h, w, c)` to
/// `(n, h / 2, w / 2, c)`. An odd last row or column is dropped.
#[derive(Debug, Clone, Copy)]
pub struct MaxPoolForward {
    /// The input, without halo.
    pub input: FeatureMap,
    /// The output, [`FeatureMap::pooled`] with the halo of whoever reads it.
    pub output: FeatureMap,
}

/// `dx` = each gradient at the pixel its maximum came from, 0 elsewhere: `(n, h / 2, w / 2, c)` to
/// `(n, h, w, c)`.
#[derive(Debug, Clone, Copy)]
pub struct MaxPoolBackward {
    /// The gradient of the output, without halo.
    pub dy: FeatureMap,
    /// The gradient of the input, with the halo of whoever reads it.
    pub dx: FeatureMap,
}

impl MaxPoolForward {
    /// The operation in f64.
    pub(super) fn pool(&self, images: u32, x: &Data, y: &mut Data, positions: &mut Data) {
        let pooled = self.input.pooled();
        let words = positions.words_mut();
        let len = Layout::Positions(pooled).len(images as usize);
        words[..len].fill(0);
        for (n, i, j, c) in pixels(images, pooled) {
            let value = |p: usize| x[self.input.index(n, 2 * i + p / 2, 2 * j + p % 2, c)];
            let best = (1..4).fold(0, |best, p| if value(p) > value(best) { p } else { best });
            y[self.output.index(n, i, j, c)] = value(best);
            let at = pooled.index(n, i, j, c);
            words[at / 4] |= (best as u32) << (8 * (at % 4));
        }
    }
}

impl Op for MaxPoolForward {
    fn name(&self) -> &'static str {
        "maxpool_forward"
    }

    fn bindings(&self) -> Vec<Binding> {
        let positions = Layout::Positions(self.input.pooled());
        vec![
            Binding::quads("x", Layout::Map(self.input), Access::Read),
            Binding::quads("y", Layout::Map(self.output), Access::Write),
            Binding::words("positions", positions, Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let output = self.output;
        vec![variant! {
            "maxpool_forward",
            constants: vec![],
            dims: dims(output, self.input, output.halo),
            grid: grid(output.height * output.width * output.quads()),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, y, positions] = buffers else { unreachable!("three bindings") };
        self.pool(step.images, x, y, positions);
    }

    fn tolerance(&self, _images: u64) -> f64 {
        0.0
    }

    /// Few different values, so that many windows have ties.
    fn input(&self, name: &str, step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let layout = Layout::Map(self.input);
        let value = |i| if layout.is_padding(i) { 0.0 } else { (random() * 7.0).floor() - 3.0 };
        (name == "x").then(|| Data::F((0..layout.len(step.images as usize)).map(value).collect()))
    }
}

impl MaxPoolBackward {
    /// The operation in f64.
    fn unpool(&self, images: u32, dy: &Data, positions: &Data, dx: &mut Data) {
        for (n, i, j, c) in pixels(images, self.dx) {
            dx[self.dx.index(n, i, j, c)] = 0.0;
        }
        let words = positions.words();
        for (n, i, j, c) in pixels(images, self.dy) {
            let at = self.dy.index(n, i, j, c);
            let p = (words[at / 4] >> (8 * (at % 4)) & 255) as usize;
            dx[self.dx.index(n, 2 * i + p / 2, 2 * j + p % 2, c)] = dy[at];
        }
    }

    /// The gradient of `map` in f64, its halo zero, from that of its pooled map.
    pub(super) fn unpooled(map: FeatureMap, images: u32, dy: &Data, positions: &Data) -> Data {
        let mut dx = Data::F(vec![0.0; Layout::Map(map).len(images as usize)]);
        Self { dy: map.pooled(), dx: map }.unpool(images, dy, positions, &mut dx);
        dx
    }

    /// Positions at random for windows of the map `dy`.
    pub(super) fn any_positions(
        dy: FeatureMap,
        step: &Step,
        random: &mut dyn FnMut() -> f64,
    ) -> Data {
        let position = |_| (0..4).fold(0, |word, _| word << 8 | (random() * 4.0) as u32);
        let len = Layout::Positions(dy).len(step.images as usize);
        Data::U((0..len).map(position).collect())
    }
}

impl Op for MaxPoolBackward {
    fn name(&self) -> &'static str {
        "maxpool_backward"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("dy", Layout::Map(self.dy), Access::Read),
            Binding::words("positions", Layout::Positions(self.dy), Access::Read),
            Binding::quads("dx", Layout::Map(self.dx), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let dx = self.dx;
        vec![variant! {
            "maxpool_backward",
            constants: vec![],
            dims: dims(self.dy, dx, dx.halo),
            grid: grid(dx.height.div_ceil(2) * dx.width.div_ceil(2) * dx.quads()),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [dy, positions, dx] = buffers else { unreachable!("three bindings") };
        self.unpool(step.images, dy, positions, dx);
    }

    fn tolerance(&self, _images: u64) -> f64 {
        0.0
    }

    fn input(&self, name: &str, step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        (name == "positions").then(|| Self::any_positions(self.dy, step, random))
    }
}

fn dims(pooled: FeatureMap, full: FeatureMap, out_halo: usize) -> Vec<(&'static str, Dim)> {
    vec![
        ("height", Dim::U(pooled.height as u32)),
        ("width", Dim::U(pooled.width as u32)),
        ("in_height", Dim::U(full.height as u32)),
        ("in_width", Dim::U(full.width as u32)),
        ("quads", Dim::U(full.quads() as u32)),
        ("out_halo", Dim::U(out_halo as u32)),
    ]
}

fn grid(quads: usize) -> Grid {
    Grid { tiles: 1, items: quads as u64, per_group: 64 }
}

/// `(height, width, channels)` of the map before pooling: smallest, odd, and those of VGG.
const SHAPES: &[(usize, usize, usize)] =
    &[(2, 2, 1), (3, 2, 4), (2, 5, 3), (7, 9, 5), (13, 6, 17), (14, 14, 32), (28, 28, 16)];

pub(super) fn forward_examples() -> Vec<Box<dyn Op>> {
    let op = |(i, &(h, w, c)): (usize, &(usize, usize, usize))| {
        let input = FeatureMap::new(h, w, c);
        Box::new(MaxPoolForward { input, output: input.pooled().with_halo(i % 2) }) as _
    };
    SHAPES.iter().enumerate().map(op).collect()
}

pub(super) fn backward_examples() -> Vec<Box<dyn Op>> {
    let op = |(i, &(h, w, c)): (usize, &(usize, usize, usize))| {
        let dx = FeatureMap::new(h, w, c).with_halo(i % 2);
        Box::new(MaxPoolBackward { dy: dx.pooled(), dx }) as _
    };
    SHAPES.iter().enumerate().map(op).collect()
}
