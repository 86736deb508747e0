//! 3x3 convolution with padding 1 by Winograd's minimal filtering: fewer multiplications for more
//! additions (Lavin and Gray, "Fast algorithms for convolutional neural networks", arXiv:1509.09308).
//!
//! Tiles of 2x2 outputs take 4 multiplications an output in place of 9, and round about as a direct
//! convolution does. Tiles of 4x4 take 2.25, and their factors of up to 64 cost a digit.

use super::conv::{flop, map_dims, small_shapes};
use super::{ConvPass, ConvTask, Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Lanes, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout, TAPS, padded};

/// Outputs on a side of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tile {
    /// F(2x2, 3x3).
    Two,
    /// F(4x4, 3x3).
    Four,
}

/// Filters transformed once for all images: `u = G w G^T`.
#[derive(Debug, Clone, Copy)]
pub struct WinogradFilter {
    /// Input channels of the convolution.
    pub c: usize,
    /// Its output channels.
    pub k: usize,
    /// The tile they are made for.
    pub tile: Tile,
    /// True for the backward pass to data: filters turned by 180 degrees, channels exchanged.
    pub flip: bool,
}

/// What [`ConvForward`](super::ConvForward) computes, with transformed filters.
#[derive(Debug, Clone, Copy)]
pub struct WinogradForward {
    /// The input, with a halo.
    pub input: FeatureMap,
    /// The output, with the halo of whoever reads it.
    pub output: FeatureMap,
    /// True if negative outputs become 0.
    pub relu: bool,
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
}

impl Tile {
    /// Outputs on a side.
    pub const fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Inputs on a side, and points of the transformed tile.
    pub(super) const fn side(self) -> usize {
        self.outputs() + 2
    }

    /// Tiles, one below the other, that an invocation computes. Two of 4x4 outputs would be faster,
    /// but their sums are so many that a driver takes ten seconds to compile the kernel.
    const fn at_once(self) -> usize {
        match self {
            Self::Two => 4,
            Self::Four => 1,
        }
    }

    /// The layout of filters transformed from `rows` channels summed over to `outputs` channels, and
    /// of the bias after them.
    pub fn filters(self, rows: usize, outputs: usize) -> Layout {
        Layout::Flat((self.side() * self.side() * padded(rows) + 1) * padded(outputs))
    }

    /// The tile of the variant of that name; `None` of a direct convolution.
    pub fn of(variant: &str) -> Option<Self> {
        let size = |tile: &Self| variant.contains(&format!("_{0}x{0}_", tile.outputs()));
        TILES.into_iter().find(size)
    }

    fn constants(self, lanes: Lanes) -> Vec<(&'static str, u32)> {
        vec![
            ("TILE", self.outputs() as u32),
            ("TILES", self.at_once() as u32),
            ("QUADS", QUADS),
            ("LANES", lanes.shared),
            ("GROUP", lanes.group),
        ]
    }

    fn row_blocks(self, target: FeatureMap) -> usize {
        target.height.div_ceil(self.outputs() * self.at_once())
    }

    /// Forward with the least value of an output as `floor`, backward without.
    fn dims(
        self,
        source: FeatureMap,
        target: FeatureMap,
        floor: Option<f32>,
    ) -> Vec<(&'static str, Dim)> {
        let mut dims = map_dims(source, target, self.row_blocks(target));
        dims.push(("floor", Dim::F(floor.unwrap_or(f32::MIN))));
        dims.push(("masked", Dim::U(u32::from(floor.is_none()))));
        dims
    }

    fn grid(self, target: FeatureMap, lanes: Lanes) -> Grid {
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

/// Quads of output channels that an invocation computes.
const QUADS: u32 = 4;

impl Op for WinogradFilter {
    fn name(&self) -> &'static str {
        "winograd_filter"
    }

    fn bindings(&self) -> Vec<Binding> {
        let (rows, outputs) = if self.flip { (self.k, self.c) } else { (self.c, self.k) };
        vec![
            Binding::quads("w", Layout::Filter { c: self.c, k: self.k }, Access::Read),
            Binding::quads("u", self.tile.filters(rows, outputs), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let (rows, outputs) = if self.flip { (self.k, self.c) } else { (self.c, self.k) };
        let quads = padded(outputs) / 4;
        vec![variant! {
            "winograd_filter",
            constants: vec![
                ("TILE", self.tile.outputs() as u32),
                ("SIDE", self.tile.side() as u32),
                ("FLIP", u32::from(self.flip)),
            ],
            dims: vec![
                ("rows", Dim::U(padded(rows) as u32)),
                ("quads", Dim::U(quads as u32)),
            ],
            grid: Grid::fixed(((self.tile.side() * padded(rows) + 1) * quads).div_ceil(64) as u64),
            proven: false,
            supported: Ok(()),
        }]
    }

    fn reference(&self, _step: &Step, buffers: &mut [Data]) {
        let [w, u] = buffers else { unreachable!("two bindings") };
        let (g, side) = (self.tile.filter_matrix(), self.tile.side());
        let (stored_c, stored_k) = (padded(self.c), padded(self.k));
        let channels = (0..stored_c).flat_map(|c| (0..stored_k).map(move |k| (c, k)));
        for (c, k) in channels {
            for point in 0..side * side {
                let mut sum = 0.0;
                for tap in 0..TAPS {
                    let from = if self.flip { TAPS - 1 - tap } else { tap };
                    let factor = g[point / side][tap / 3] * g[point % side][tap % 3];
                    sum += factor * w[(from * stored_c + c) * stored_k + k];
                }
                let at = match self.flip {
                    true => (point * stored_k + k) * stored_c + c,
                    false => (point * stored_c + c) * stored_k + k,
                };
                u[at] = sum;
            }
        }
        let size = stored_c * stored_k;
        let outputs = if self.flip { stored_c } else { stored_k };
        for k in 0..outputs {
            u[side * side * size + k] = if self.flip { 0.0 } else { w[TAPS * size + k] };
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(TAPS as u64)
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
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let (lanes, supported) = Lanes::or_least(facts);
        let constants = self.tile.constants(lanes);
        let floor = if self.relu { 0.0 } else { f32::MIN };
        let dims = self.tile.dims(self.input, self.output, Some(floor));
        let grid = self.tile.grid(self.output, lanes);
        let proven = true;
        vec![match self.tile {
            Tile::Two => {
                variant! { "winograd_forward_2x2_shuffle", constants, dims, grid, proven, supported }
            }
            Tile::Four => {
                variant! { "winograd_forward_4x4_shuffle", constants, dims, grid, proven, supported }
            }
        }]
    }

    fn conv(&self) -> Option<ConvTask> {
        Some(ConvTask { pass: ConvPass::Forward, source: self.input, target: self.output })
    }

    /// What a direct convolution would compute: rates are comparable.
    fn flop(&self, images: u64) -> u64 {
        images * flop(self.input, self.output)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, u, _, y] = buffers else { unreachable!("four bindings") };
        let points = self.tile.side() * self.tile.side();
        let bias = points * padded(self.input.channels) * padded(self.output.channels);
        let maps = (self.input, self.output);
        self.tile.convolve(maps, step.images, (x, u), |(n, i, j, k), sum| {
            let value = sum + u[bias + k];
            y[self.output.index(n, i, j, k)] = if self.relu { value.max(0.0) } else { value };
        });
    }

    fn tolerance(&self, _images: u64) -> f64 {
        self.tile.tolerance(self.input.channels)
    }

    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let (c, k) = (self.input.channels, self.output.channels);
        (name == "u").then(|| self.tile.any_filters(c, k, random))
    }
}

impl Op for WinogradBackwardData {
    fn name(&self) -> &'static str {
        "winograd_backward_data"
    }

    fn bindings(&self) -> Vec<Binding> {
        let (k, c) = (self.dy.channels, self.dx.channels);
        vec![
            Binding::quads("source", Layout::Map(self.dy), Access::Read),
            Binding::quads("u", self.tile.filters(k, c), Access::Read),
            Binding::quads("seen", Layout::Map(self.dx.with_halo(1)), Access::Read),
            Binding::quads("output", Layout::Map(self.dx), Access::Write),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let (lanes, supported) = Lanes::or_least(facts);
        let constants = self.tile.constants(lanes);
        let dims = self.tile.dims(self.dy, self.dx, None);
        let grid = self.tile.grid(self.dx, lanes);
        let proven = true;
        vec![match self.tile {
            Tile::Two => variant! {
                "winograd_backward_data_2x2_shuffle", constants, dims, grid, proven, supported
            },
            Tile::Four => variant! {
                "winograd_backward_data_4x4_shuffle", constants, dims, grid, proven, supported
            },
        }]
    }

    fn conv(&self) -> Option<ConvTask> {
        Some(ConvTask { pass: ConvPass::BackwardData, source: self.dy, target: self.dx })
    }

    fn flop(&self, images: u64) -> u64 {
        images * flop(self.dy, self.dx)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [dy, u, x, dx] = buffers else { unreachable!("four bindings") };
        let maps = (self.dy, self.dx);
        self.tile.convolve(maps, step.images, (dy, u), |(n, i, j, c), sum| {
            let seen = x[self.dx.with_halo(1).index(n, i, j, c)];
            dx[self.dx.index(n, i, j, c)] = if seen > 0.0 { sum } else { 0.0 };
        });
    }

    fn tolerance(&self, _images: u64) -> f64 {
        self.tile.tolerance(self.dy.channels)
    }

    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let (k, c) = (self.dy.channels, self.dx.channels);
        (name == "u").then(|| self.tile.any_filters(k, c, random))
    }
}

const TILES: [Tile; 2] = [Tile::Two, Tile::Four];

/// [`small_shapes`] with both tiles.
fn shapes() -> impl Iterator<Item = (usize, Tile, FeatureMap, usize)> {
    small_shapes().flat_map(|(i, (h, w, c, k))| {
        TILES.into_iter().map(move |tile| (i, tile, FeatureMap::new(h, w, c).with_halo(1), k))
    })
}

pub(super) fn filter_examples() -> Vec<Box<dyn Op>> {
    let op = |(i, tile, map, k): (usize, Tile, FeatureMap, usize)| {
        Box::new(WinogradFilter { c: map.channels, k, tile, flip: i % 2 == 1 }) as _
    };
    shapes().map(op).collect()
}

pub(super) fn forward_examples() -> Vec<Box<dyn Op>> {
    let op = |(i, tile, input, k): (usize, Tile, FeatureMap, usize)| {
        let output = input.with_channels(k).with_halo(i % 2);
        Box::new(WinogradForward { input, output, relu: i % 3 != 2, tile }) as _
    };
    shapes().map(op).collect()
}

pub(super) fn backward_examples() -> Vec<Box<dyn Op>> {
    let op = |(i, tile, map, k): (usize, Tile, FeatureMap, usize)| {
        let dy = map.with_channels(k).with_halo(1);
        let dx = map.with_halo(i % 2);
        Box::new(WinogradBackwardData { dy, dx, tile }) as _
    };
    shapes().map(op).collect()
}
