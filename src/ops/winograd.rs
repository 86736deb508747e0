//! 3x3 convolution with padding 1 by Winograd's minimal filtering: fewer multiplications for more
//! additions (Lavin and Gray, "Fast algorithms for convolutional neural networks", arXiv:1509.09308).
//!
//! Tiles of 2x2 outputs take 4 multiplications an output in place of 9, and round about as a direct
//! convolution does. Tiles of 4x4 take 2.25, and their factors of up to 64 cost a digit.

use super::conv::{flop, map_dims, pixels, small_shapes};
use super::winograd_tiles::{Cut, cut};
use super::{ConvPass, ConvTask, Data, MaxPoolBackward, MaxPoolForward, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Lanes, Step, Variant};
use crate::shape::{FeatureMap, Layout, TAPS, padded};

/// Outputs on a side of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tile {
    /// F(2x2, 3x3).
    Two,
    /// F(4x4, 3x3).
    Four,
}

/// What [`ConvForward`](super::ConvForward) computes, with transformed filters; if wanted with what
/// [`MaxPoolForward`] makes of it, so that the outputs themselves are never stored. Positions are then
/// those of the largest outputs before the ReLU: where it makes several of a window 0, no gradient arrives.
#[derive(Debug, Clone, Copy)]
pub struct WinogradForward {
    /// The input, with a halo.
    pub input: FeatureMap,
    /// The output, with the halo of whoever reads it.
    pub output: FeatureMap,
    /// True if negative outputs become 0.
    pub relu: bool,
    /// True if the output is the pooled map.
    pub pool: bool,
    /// The tile.
    pub tile: Tile,
}

/// What [`ConvBackwardData`](super::ConvBackwardData) computes, with transformed filters.
#[derive(Debug, Clone, Copy)]
pub struct WinogradBackwardData {
    /// The gradient of the convolution's output, with a halo.
    pub dy: FeatureMap,
    /// The gradient of its input, with the halo of whoever reads it.
    pub dx: FeatureMap,
    /// The tile.
    pub tile: Tile,
    /// True if `dy` is given as the gradient of its pooled map, without halo, with the positions of the
    /// maxima: what [`MaxPoolBackward`] would make of it is then never stored.
    pub pool: bool,
}

impl Tile {
    /// Outputs on a side.
    pub const fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Inputs on a side, and points on a side of the transformed tile.
    pub(super) const fn side(self) -> usize {
        self.outputs() + 2
    }

    /// Points of the transformed tile.
    pub(super) const fn points(self) -> usize {
        self.side() * self.side()
    }

    /// Tiles, one below the other, that an invocation of a shuffle variant computes. Two of 4x4 outputs
    /// would be faster, but their sums are so many that a driver takes ten seconds to compile the kernel.
    const fn at_once(self) -> usize {
        match self {
            Self::Two => 4,
            Self::Four => 1,
        }
    }

    /// The layout of filters transformed from `rows` channels summed over to `outputs` channels, and
    /// of the bias after them.
    pub fn filters(self, rows: usize, outputs: usize) -> Layout {
        Layout::Flat((self.points() * padded(rows) + 1) * padded(outputs))
    }

    /// The tile of the variant of that name; `None` of a direct convolution.
    pub fn of(variant: &str) -> Option<Self> {
        let size = |tile: &Self| variant.contains(&format!("_{0}x{0}_", tile.outputs()));
        TILES.into_iter().find(size)
    }

    /// The constants of `common/winograd_shuffle.wgsl`.
    pub(super) fn constants(self, source: FeatureMap, lanes: Lanes) -> Vec<(&'static str, u32)> {
        vec![
            ("CHANNELS", source.channels.min(4) as u32),
            ("TILE", self.outputs() as u32),
            ("TILES", self.at_once() as u32),
            ("QUADS", QUADS),
            ("LANES", lanes.shared),
            ("GROUP", lanes.group),
        ]
    }

    /// Rows and columns of outputs that an invocation of a shuffle variant computes.
    pub(super) const fn block(self) -> (usize, usize) {
        (self.outputs() * self.at_once(), self.outputs())
    }

    fn row_blocks(self, target: FeatureMap) -> usize {
        target.height.div_ceil(self.outputs() * self.at_once())
    }

    /// Of a convolution from `source` to `target`, of which `stored` is kept, pooled or not: forward
    /// with the least value of an output as `floor`, backward without.
    fn dims(
        self,
        source: FeatureMap,
        (target, stored): (FeatureMap, FeatureMap),
        floor: Option<f32>,
    ) -> Vec<(&'static str, Dim)> {
        let mut dims = map_dims(source, target, self.row_blocks(target));
        dims.extend([
            ("out_height", Dim::U(stored.height as u32)),
            ("out_width", Dim::U(stored.width as u32)),
            ("channels", Dim::U(source.channels as u32)),
            ("floor", Dim::F(floor.unwrap_or(f32::MIN))),
            ("masked", Dim::U(u32::from(floor.is_none()))),
            ("pooled", Dim::U(u32::from(stored.height < target.height))),
        ]);
        dims
    }

    /// The grid of `common/winograd_shuffle.wgsl`.
    pub(super) fn grid(self, target: FeatureMap, lanes: Lanes) -> Grid {
        Grid {
            tiles: (target.quads() as u64).div_ceil(u64::from(QUADS)),
            items: (target.width.div_ceil(self.outputs()) * self.row_blocks(target)) as u64,
            per_group: u64::from(lanes.group),
        }
    }

    /// Rounding of a sum of `terms` products whose factors were transformed.
    fn tolerance(self, channels: usize) -> f64 {
        let factor = if self == Self::Two { 2.0 } else { 8.0 };
        factor * rounding((TAPS * channels) as u64)
    }
}

/// What stands for positions where nothing is pooled: the shuffle kernel, which is one for all, writes
/// none then.
const NO_POSITIONS: Layout = Layout::Words(1);

/// Quads of output channels that an invocation of a shuffle variant computes.
const QUADS: u32 = 4;

impl WinogradForward {
    /// The map of outputs before they are pooled.
    pub(super) fn full(&self) -> FeatureMap {
        let (map, halo) = (self.input.with_channels(self.output.channels), self.output.halo);
        map.with_halo(halo)
    }

    /// The layout of the positions of maxima.
    pub fn positions(&self) -> Layout {
        if self.pool { Layout::Positions(self.output) } else { NO_POSITIONS }
    }

    /// The dimensions of its kernels.
    pub(super) fn dims(&self) -> Vec<(&'static str, Dim)> {
        let floor = if self.relu { 0.0 } else { f32::MIN };
        self.tile.dims(self.input, (self.full(), self.output), Some(floor))
    }

    /// The outputs before ReLU and pooling, without halo.
    fn sums(&self, images: u32, (x, u): (&Data, &Data)) -> (FeatureMap, Data) {
        let full = self.full().with_halo(0);
        let points = self.tile.points();
        let bias = points * padded(self.input.channels) * padded(self.output.channels);
        let mut sums = Data::F(vec![0.0; Layout::Map(full).len(images as usize)]);
        self.tile.convolve((self.input, full), images, (x, u), |(n, i, j, k), sum| {
            sums[full.index(n, i, j, k)] = sum + u[bias + k];
        });
        (full, sums)
    }
}

impl Op for WinogradForward {
    fn name(&self) -> &'static str {
        "winograd_forward"
    }

    fn bindings(&self) -> Vec<Binding> {
        let (c, k) = (self.input.channels, self.output.channels);
        vec![
            Binding::quads("source", Layout::Map(self.input), Access::Read),
            Binding::quads("u", self.tile.filters(c, k), Access::Read),
            // Not read: there is one kernel for both passes.
            Binding::quads("seen", Layout::Map(self.input), Access::Read),
            Binding::quads("output", Layout::Map(self.output), Access::Write),
            Binding::words("positions", self.positions(), Access::Write),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let (full, pool, dims) = (self.full(), self.pool, self.dims());
        let tiled = Cut::tiled(self.tile, full, (pool, false), dims.clone());
        let shuffle = Cut::shuffle(self.tile, (self.input, full), dims, facts);
        match self.tile {
            Tile::Two => vec![
                cut!("winograd_forward_2x2_tiled", tiled),
                cut!("winograd_forward_2x2_shuffle", shuffle),
            ],
            Tile::Four => vec![
                cut!("winograd_forward_4x4_tiled", tiled),
                cut!("winograd_forward_4x4_shuffle", shuffle),
            ],
        }
    }

    fn conv(&self) -> Option<ConvTask> {
        let plain = ConvTask::new(ConvPass::Forward, self.input, self.full());
        Some(ConvTask { pool: self.pool, ..plain })
    }

    /// What a direct convolution would compute: rates are comparable.
    fn flop(&self, images: u64) -> u64 {
        images * flop(self.input, self.full())
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, u, _, y, positions] = buffers else { unreachable!("five bindings") };
        let (full, sums) = self.sums(step.images, (x, u));
        if self.pool {
            let op = MaxPoolForward { input: full, output: self.output };
            op.pool(step.images, &sums, y, positions);
        } else {
            for (n, i, j, k) in pixels(step.images, full) {
                y[self.output.index(n, i, j, k)] = sums[full.index(n, i, j, k)];
            }
        }
        if self.relu {
            for (n, i, j, k) in pixels(step.images, self.output) {
                let at = self.output.index(n, i, j, k);
                y[at] = y[at].max(0.0);
            }
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        self.tile.tolerance(self.input.channels)
    }

    fn input(&self, name: &str, step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let (c, k) = (self.input.channels, self.output.channels);
        match name {
            // Numbers whose sums are exact, so that maxima of rounded sums are those of the reference,
            // and few enough for windows with several.
            "u" if self.pool => {
                Some(self.tile.any_filters(c, k, &mut || (random() * 5.0).floor() / 4.0))
            }
            "source" if self.pool => {
                let layout = Layout::Map(self.input);
                let value =
                    |i| if layout.is_padding(i) { 0.0 } else { (random() * 5.0).floor() - 2.0 };
                Some(Data::F((0..layout.len(step.images as usize)).map(value).collect()))
            }
            "u" => Some(self.tile.any_filters(c, k, random)),
            _ => None,
        }
    }
}

impl WinogradBackwardData {
    /// The layout of the positions of maxima.
    pub fn positions(&self) -> Layout {
        if self.pool { Layout::Positions(self.dy.pooled()) } else { NO_POSITIONS }
    }
}

impl Op for WinogradBackwardData {
    fn name(&self) -> &'static str {
        "winograd_backward_data"
    }

    fn bindings(&self) -> Vec<Binding> {
        let (k, c) = (self.dy.channels, self.dx.channels);
        let dy = if self.pool { self.dy.pooled() } else { self.dy };
        let access = if self.pool { Access::Read } else { Access::Write };
        vec![
            Binding::quads("source", Layout::Map(dy), Access::Read),
            Binding::quads("u", self.tile.filters(k, c), Access::Read),
            Binding::quads("seen", Layout::Map(self.dx.with_halo(1)), Access::Read),
            Binding::quads("output", Layout::Map(self.dx), Access::Write),
            Binding::words("positions", self.positions(), access),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let dims = self.tile.dims(self.dy, (self.dx, self.dx), None);
        let tiled = Cut::tiled(self.tile, self.dx, (false, self.pool), dims.clone());
        let shuffle = Cut::shuffle(self.tile, (self.dy, self.dx), dims, facts);
        let (tiled, shuffle) = match self.tile {
            Tile::Two => (
                cut!("winograd_backward_data_2x2_tiled", tiled),
                cut!("winograd_backward_data_2x2_shuffle", shuffle),
            ),
            Tile::Four => (
                cut!("winograd_backward_data_4x4_tiled", tiled),
                cut!("winograd_backward_data_4x4_shuffle", shuffle),
            ),
        };
        // In registers it would be one more kernel that takes a driver seconds to compile.
        if self.pool { vec![tiled] } else { vec![tiled, shuffle] }
    }

    fn conv(&self) -> Option<ConvTask> {
        Some(ConvTask::new(ConvPass::BackwardData, self.dy, self.dx))
    }

    fn flop(&self, images: u64) -> u64 {
        images * flop(self.dy, self.dx)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [dy, u, x, dx, positions] = buffers else { unreachable!("five bindings") };
        let unpooled =
            self.pool.then(|| MaxPoolBackward::unpooled(self.dy, step.images, dy, positions));
        let (maps, dy) = ((self.dy, self.dx), unpooled.as_ref().unwrap_or(dy));
        self.tile.convolve(maps, step.images, (dy, u), |(n, i, j, c), sum| {
            let seen = x[self.dx.with_halo(1).index(n, i, j, c)];
            dx[self.dx.index(n, i, j, c)] = if seen > 0.0 { sum } else { 0.0 };
        });
    }

    fn tolerance(&self, _images: u64) -> f64 {
        self.tile.tolerance(self.dy.channels)
    }

    fn input(&self, name: &str, step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let (k, c) = (self.dy.channels, self.dx.channels);
        match name {
            "u" => Some(self.tile.any_filters(k, c, random)),
            "positions" => Some(MaxPoolBackward::any_positions(self.dy.pooled(), step, random)),
            _ => None,
        }
    }
}

const TILES: [Tile; 2] = [Tile::Two, Tile::Four];

/// [`small_shapes`] with both tiles.
pub(super) fn shapes() -> impl Iterator<Item = (usize, Tile, FeatureMap, usize)> {
    small_shapes().flat_map(|(i, (h, w, c, k))| {
        TILES.into_iter().map(move |tile| (i, tile, FeatureMap::new(h, w, c).with_halo(1), k))
    })
}

pub(super) fn forward_examples() -> Vec<Box<dyn Op>> {
    let op = |(i, tile, input, k): (usize, Tile, FeatureMap, usize)| {
        let output = input.with_channels(k).with_halo(i % 2);
        let relu = i % 3 != 2;
        Box::new(WinogradForward { input, output, relu, tile, pool: false }) as _
    };
    let pooled = |(i, tile, input, k): (usize, Tile, FeatureMap, usize)| {
        let output = input.with_channels(k).pooled().with_halo(i % 2);
        let op = WinogradForward { input, output, relu: i % 3 != 2, tile, pool: true };
        (tile == Tile::Two && !output.is_empty()).then(|| Box::new(op) as _)
    };
    shapes().map(op).chain(shapes().filter_map(pooled)).collect()
}

pub(super) fn backward_examples() -> Vec<Box<dyn Op>> {
    let op = |(i, tile, map, k): (usize, Tile, FeatureMap, usize)| {
        let dy = map.with_channels(k).with_halo(1);
        let dx = map.with_halo(i % 2);
        Box::new(WinogradBackwardData { dy, dx, tile, pool: false }) as _
    };
    let pooled = |(i, tile, map, k): (usize, Tile, FeatureMap, usize)| {
        let (dy, dx) = (map.with_channels(k).with_halo(1), map.with_halo(i % 2));
        let op = WinogradBackwardData { dy, dx, tile, pool: true };
        (!dy.pooled().is_empty()).then(|| Box::new(op) as _)
    };
    shapes().map(op).chain(shapes().filter_map(pooled)).collect()
}
