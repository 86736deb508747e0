//! 3x3 convolution with padding 1 and stride 1: forward with bias and ReLU, and backward to data.

use super::{ConvPass, ConvTask, Data, Op, rounding, tiles};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Lanes, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout, TAPS, padded};

/// Rows of one column that an invocation of a shuffle variant computes: the fewest rows read in all,
/// of which each block of `rows` reads two more than it computes. 7 divides 224, 112, ... 7.
fn rows_at_once(height: usize) -> u32 {
    let read = |rows: &usize| height.div_ceil(*rows) * (rows + 2);
    [7, 8, 4, 2].into_iter().min_by_key(read).map_or(7, |rows| rows as u32)
}

/// `y = x * w + bias`, then ReLU if wanted: `(n, h, w, c)` with a halo to `(n, h, w, k)`.
#[derive(Debug, Clone, Copy)]
pub struct ConvForward {
    /// The input, with a halo.
    pub input: FeatureMap,
    /// The output, with the halo of whoever reads it.
    pub output: FeatureMap,
    /// True if negative outputs become 0; false where a batch normalisation follows.
    pub relu: bool,
}

/// `dx = (x > 0) * (dy * flipped filters)`: `(n, h, w, k)` with a halo to `(n, h, w, c)`.
#[derive(Debug, Clone, Copy)]
pub struct ConvBackwardData {
    /// The gradient of the convolution's output, with a halo.
    pub dy: FeatureMap,
    /// The gradient of its input, with the halo of whoever reads it.
    pub dx: FeatureMap,
}

/// Filters turned by 180 degrees with channels exchanged, as [`ConvBackwardData`] reads them.
#[derive(Debug, Clone, Copy)]
pub struct ConvFilterFlip {
    /// Input channels of the convolution.
    pub c: usize,
    /// Its output channels.
    pub k: usize,
}

impl Op for ConvForward {
    fn name(&self) -> &'static str {
        "conv_forward"
    }

    fn bindings(&self) -> Vec<Binding> {
        let (c, k) = (self.input.channels, self.output.channels);
        vec![
            Binding::quads("x", Layout::Map(self.input), Access::Read),
            Binding::quads("w", Layout::Filter { c, k }, Access::Read),
            Binding::quads("y", Layout::Map(self.output), Access::Write),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let (shuffle, tiled) = (Plan::shuffle(facts), Plan::tiled());
        let (source, target) = (self.input, self.output);
        // The least value that an output may have.
        let floor = if self.relu { 0.0 } else { f32::MIN };
        let with_floor = |mut dims: Vec<_>| {
            dims.push(("floor", Dim::F(floor)));
            dims
        };
        vec![
            variant! {
                "conv_forward_tiled",
                constants: tiled.constants(source, target),
                dims: with_floor(tiled.dims(source, target)),
                grid: tiled.grid(target),
                proven: true,
                supported: Ok(()),
            },
            variant! {
                "conv_forward_shuffle",
                constants: shuffle.constants(source, target),
                dims: with_floor(shuffle.dims(source, target)),
                grid: shuffle.grid(target),
                proven: true,
                supported: Lanes::of(facts).map(|_| ()),
            },
        ]
    }

    fn conv(&self) -> Option<ConvTask> {
        Some(ConvTask::new(ConvPass::Forward, self.input, self.output))
    }

    fn flop(&self, images: u64) -> u64 {
        images * flop(self.input, self.output)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, w, y] = buffers else { unreachable!("three bindings") };
        let (stored_c, stored_k) = (padded(self.input.channels), padded(self.output.channels));
        for (n, i, j, k) in pixels(step.images, self.output) {
            let mut sum = w[TAPS * stored_c * stored_k + k];
            for (r, s) in taps() {
                for c in 0..self.input.channels {
                    // One row and column of halo: never negative.
                    let at =
                        self.input.index(n, i, j, c) + (r * self.input.columns() + s) * stored_c;
                    let at = at - (self.input.columns() + 1) * stored_c;
                    sum += x[at] * w[((r * 3 + s) * stored_c + c) * stored_k + k];
                }
            }
            y[self.output.index(n, i, j, k)] = if self.relu { sum.max(0.0) } else { sum };
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding((TAPS * self.input.channels) as u64)
    }
}

impl Op for ConvBackwardData {
    fn name(&self) -> &'static str {
        "conv_backward_data"
    }

    fn bindings(&self) -> Vec<Binding> {
        let flipped = Layout::Flat(TAPS * padded(self.dy.channels) * padded(self.dx.channels));
        vec![
            Binding::quads("dy", Layout::Map(self.dy), Access::Read),
            Binding::quads("flipped", flipped, Access::Read),
            Binding::quads("x", Layout::Map(self.dx.with_halo(1)), Access::Read),
            Binding::quads("dx", Layout::Map(self.dx), Access::Write),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let (shuffle, tiled) = (Plan::shuffle(facts), Plan::tiled());
        let (source, target) = (self.dy, self.dx);
        vec![
            variant! {
                "conv_backward_data_tiled",
                constants: tiled.constants(source, target),
                dims: tiled.dims(source, target),
                grid: tiled.grid(target),
                proven: true,
                supported: Ok(()),
            },
            variant! {
                "conv_backward_data_shuffle",
                constants: shuffle.constants(source, target),
                dims: shuffle.dims(source, target),
                grid: shuffle.grid(target),
                proven: true,
                supported: Lanes::of(facts).map(|_| ()),
            },
        ]
    }

    fn conv(&self) -> Option<ConvTask> {
        Some(ConvTask::new(ConvPass::BackwardData, self.dy, self.dx))
    }

    fn flop(&self, images: u64) -> u64 {
        images * flop(self.dy, self.dx)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [dy, flipped, x, dx] = buffers else { unreachable!("four bindings") };
        let (stored_k, stored_c) = (padded(self.dy.channels), padded(self.dx.channels));
        for (n, i, j, c) in pixels(step.images, self.dx) {
            let mut sum = 0.0;
            for (r, s) in taps() {
                for k in 0..self.dy.channels {
                    let at = self.dy.index(n, i, j, k) + (r * self.dy.columns() + s) * stored_k;
                    let at = at - (self.dy.columns() + 1) * stored_k;
                    sum += dy[at] * flipped[((r * 3 + s) * stored_k + k) * stored_c + c];
                }
            }
            let seen = x[self.dx.with_halo(1).index(n, i, j, c)];
            dx[self.dx.index(n, i, j, c)] = if seen > 0.0 { sum } else { 0.0 };
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding((TAPS * self.dy.channels) as u64)
    }
}

impl Op for ConvFilterFlip {
    fn name(&self) -> &'static str {
        "conv_filter_flip"
    }

    fn bindings(&self) -> Vec<Binding> {
        let flipped = Layout::Flat(TAPS * padded(self.c) * padded(self.k));
        vec![
            Binding::quads("w", Layout::Filter { c: self.c, k: self.k }, Access::Read),
            Binding::quads("flipped", flipped, Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let squares = TAPS * self.k.div_ceil(4) * self.c.div_ceil(4);
        vec![variant! {
            "conv_filter_flip",
            constants: vec![],
            dims: vec![
                ("in_quads", Dim::U(self.c.div_ceil(4) as u32)),
                ("out_quads", Dim::U(self.k.div_ceil(4) as u32)),
            ],
            grid: Grid::fixed(squares.div_ceil(64) as u64),
            proven: false,
            supported: Ok(()),
        }]
    }

    fn reference(&self, _step: &Step, buffers: &mut [Data]) {
        let [w, flipped] = buffers else { unreachable!("two bindings") };
        let (stored_c, stored_k) = (padded(self.c), padded(self.k));
        for tap in 0..TAPS {
            for (k, c) in (0..stored_k).flat_map(|k| (0..stored_c).map(move |c| (k, c))) {
                flipped[(tap * stored_k + k) * stored_c + c] =
                    w[((TAPS - 1 - tap) * stored_c + c) * stored_k + k];
            }
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        0.0
    }
}

/// How a variant cuts the work.
enum Plan {
    Shuffle(Lanes),
    Tiled,
}

impl Plan {
    fn shuffle(facts: &AdapterFacts) -> Self {
        Self::Shuffle(Lanes::or_least(facts).0)
    }

    fn tiled() -> Self {
        Self::Tiled
    }

    fn constants(&self, source: FeatureMap, target: FeatureMap) -> Vec<(&'static str, u32)> {
        let channels = ("CHANNELS", source.channels.min(4) as u32);
        match self {
            Self::Shuffle(lanes) => vec![
                channels,
                ("QUADS", quads_at_once(target)),
                ("ROWS", rows_at_once(target.height)),
                ("LANES", lanes.shared),
                ("GROUP", lanes.group),
            ],
            Self::Tiled => tiles::conv_constants(source, target),
        }
    }

    fn dims(&self, source: FeatureMap, target: FeatureMap) -> Vec<(&'static str, Dim)> {
        let rows = rows_at_once(target.height) as usize;
        map_dims(source, target, target.height.div_ceil(rows))
    }

    fn grid(&self, target: FeatureMap) -> Grid {
        match self {
            Self::Shuffle(lanes) => Grid {
                tiles: (target.quads() as u64).div_ceil(u64::from(quads_at_once(target))),
                items: (target.width * target.height.div_ceil(rows_at_once(target.height) as usize))
                    as u64,
                per_group: u64::from(lanes.group),
            },
            Self::Tiled => tiles::conv_grid(target),
        }
    }
}

/// Quads of output channels that an invocation of a shuffle variant computes.
fn quads_at_once(target: FeatureMap) -> u32 {
    target.quads().min(4) as u32
}

/// The dimensions of a convolution from `source` to `target`, whose rows are cut into `row_blocks`.
pub(super) fn map_dims(
    source: FeatureMap,
    target: FeatureMap,
    row_blocks: usize,
) -> Vec<(&'static str, Dim)> {
    vec![
        ("height", Dim::U(target.height as u32)),
        ("width", Dim::U(target.width as u32)),
        ("in_quads", Dim::U(source.quads() as u32)),
        ("out_quads", Dim::U(target.quads() as u32)),
        ("out_halo", Dim::U(target.halo as u32)),
        ("row_blocks", Dim::U(row_blocks as u32)),
    ]
}

/// Work of a direct convolution of one image, in any of its three passes.
pub(super) fn flop(source: FeatureMap, target: FeatureMap) -> u64 {
    (2 * TAPS * source.channels * target.channels * target.height * target.width) as u64
}

/// All `(n, y, x, channel)` of a batch of maps.
pub(super) fn pixels(
    images: u32,
    map: FeatureMap,
) -> impl Iterator<Item = (usize, usize, usize, usize)> + use<> {
    (0..images as usize).flat_map(move |n| {
        (0..map.height).flat_map(move |y| {
            (0..map.width).flat_map(move |x| (0..map.channels).map(move |c| (n, y, x, c)))
        })
    })
}

pub(super) fn taps() -> impl Iterator<Item = (usize, usize)> {
    (0..3).flat_map(|r| (0..3).map(move |s| (r, s)))
}

/// `(height, width, input channels, output channels)`: smallest, odd, prime, about the tiles of 7, 8
/// and 32, and those of VGG.
pub(super) const SHAPES: &[(usize, usize, usize, usize)] = &[
    (1, 1, 1, 1),
    (1, 9, 3, 5),
    (2, 3, 1, 4),
    (5, 7, 3, 17),
    (6, 6, 4, 16),
    (7, 7, 8, 32),
    (8, 8, 5, 33),
    (9, 15, 13, 31),
    (10, 11, 3, 64),
    (17, 13, 7, 12),
    (32, 32, 1, 4),
    (32, 32, 1, 16),
    (14, 14, 64, 128),
    (7, 7, 128, 128),
    (28, 28, 32, 64),
    (56, 56, 16, 32),
];

/// Those of [`SHAPES`] whose reference takes little time, with their places.
pub(super) fn small_shapes() -> impl Iterator<Item = (usize, (usize, usize, usize, usize))> {
    let all = SHAPES.iter().copied().enumerate();
    all.filter(|&(_, (h, w, c, k))| h * w * c * k <= 300_000)
}

pub(super) fn forward_examples() -> Vec<Box<dyn Op>> {
    let op = |(i, &(h, w, c, k)): (usize, &(usize, usize, usize, usize))| {
        let input = FeatureMap::new(h, w, c).with_halo(1);
        let output = input.with_channels(k).with_halo(i % 2);
        Box::new(ConvForward { input, output, relu: i % 3 > 0 }) as _
    };
    SHAPES.iter().enumerate().map(op).collect()
}

pub(super) fn backward_examples() -> Vec<Box<dyn Op>> {
    let op = |(i, &(h, w, c, k)): (usize, &(usize, usize, usize, usize))| {
        let dy = FeatureMap::new(h, w, k).with_halo(1);
        Box::new(ConvBackwardData { dy, dx: dy.with_channels(c).with_halo(i % 2) }) as _
    };
    SHAPES.iter().enumerate().map(op).collect()
}

pub(super) fn flip_examples() -> Vec<Box<dyn Op>> {
    let op = |&(_, _, c, k): &(usize, usize, usize, usize)| Box::new(ConvFilterFlip { c, k }) as _;
    SHAPES.iter().map(op).collect()
}
