//! Gradients of a convolution's filters by Winograd's minimal filtering, in two fixed passes: the
//! adjoint of F(2x2, 3x3) or F(4x4, 3x3) in the filters (Lavin and Gray, arXiv:1509.09308, sections 4.1
//! and 4.3), for which both the input and the gradient of the output are transformed.

use super::conv::flop;
use super::conv_weights::{lanes_for, pixel_dims};
use super::winograd::shapes;
use super::winograd_tiles::{Cut, WeightCut, cut};
use super::{ConvPass, ConvTask, Data, MaxPoolBackward, Op, Tile, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Lanes, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout, TAPS, padded};

/// Tiles, one below the other, and quads of outputs that an invocation of the shuffle variant takes.
const TILES: usize = 4;
const QUADS: usize = 2;
/// Bytes of input and gradient that a slot's tiles should have: what a core's own cache holds.
const CACHED: usize = 1 << 20;
/// Columns of tiles that each invocation takes at least, for the sums that it stores in the end.
const LEAST_COLUMNS: usize = 8;
/// Workgroups that keep a GPU busy.
const BUSY: usize = 1024;
/// Tiles of 4x4 outputs that a slot sums at most, so that rounding stays as small as it is measured.
const MOST_TILES: usize = 512;

/// First pass: `partial[slot] = m = sum of (B^T x B) * (A dy A^T)` over a share of the images' tiles,
/// the bias's gradient in the last row.
#[derive(Debug, Clone, Copy)]
pub struct WinogradBackwardWeights {
    /// The convolution's input, with a halo.
    pub x: FeatureMap,
    /// The gradient of its output.
    pub dy: FeatureMap,
    /// Slots of `partial`: a multiple of 16 for the subgroup variant.
    pub slots: usize,
    /// The tile.
    pub tile: Tile,
    /// True if `dy` is given as the gradient of its pooled map, without halo, with the positions of the
    /// maxima.
    pub pool: bool,
}

/// Second pass: adds the slots in their order, `grad = G^T m G`, and what earlier micro-batches gave.
#[derive(Debug, Clone, Copy)]
pub struct WinogradFilterGradient {
    /// Input channels.
    pub c: usize,
    /// Output channels.
    pub k: usize,
    /// Slots of `partial`.
    pub slots: usize,
    /// The tile.
    pub tile: Tile,
}

/// Elements of `partial`: for each slot `(points * padded c + 1, padded k)`.
fn partial(c: usize, k: usize, slots: usize, tile: Tile) -> Layout {
    Layout::Flat(slots * (tile.points() * padded(c) + 1) * padded(k))
}

impl WinogradBackwardWeights {
    /// The slots that suit an adapter for launches of `images` images.
    pub fn new(
        x: FeatureMap,
        dy: FeatureMap,
        images: usize,
        tile: Tile,
        facts: &AdapterFacts,
    ) -> Self {
        let side = tile.outputs();
        let tiles = images * dy.height.div_ceil(side) * dy.width.div_ceil(side);
        let least = if tile == Tile::Four { tiles.div_ceil(MOST_TILES) } else { 1 };
        let slots = match Lanes::of(facts) {
            Ok(lanes) if facts.is_software() && tile == Tile::Two => {
                let each = (lanes.group / lanes.shared) as usize;
                each * Self::cached_splits(x, dy, images, lanes)
            }
            _ => {
                let groups = WeightCut::of(tile, dy).groups(x, dy);
                // At least a few tiles for each sum that is stored in the end.
                (BUSY / groups).min(tiles.div_ceil(64)).max(least)
            }
        };
        Self { x, dy, slots, tile, pool: false }
    }

    /// Workgroups for a pair of channel blocks of the variant in registers, on a software adapter:
    /// every pair reads the pixels of a slot again, so these should stay in a core's cache, and there
    /// should be enough workgroups to keep the cores busy.
    fn cached_splits(x: FeatureMap, dy: FeatureMap, images: usize, lanes: Lanes) -> usize {
        let pairs = x.quads() * dy.quads().div_ceil(QUADS);
        let cached = (images * (x.len() + dy.len()) * 4).div_ceil(CACHED);
        let columns = images * x.height.div_ceil(2 * TILES) * x.width.div_ceil(2);
        let most = columns / (lanes.group as usize * LEAST_COLUMNS);
        cached.max(32 / pairs).min(most).max(1)
    }

    /// The layout of `partial`.
    pub fn partial(&self) -> Layout {
        partial(self.x.channels, self.dy.channels, self.slots, self.tile)
    }

    /// The cut of the variant in registers.
    fn shuffle(&self, facts: &AdapterFacts) -> Cut {
        let (lanes, supported) = lanes_for(self.slots, facts);
        let splits = self.slots as u32 / (lanes.group / lanes.shared);
        let pairs = self.x.quads() * self.dy.quads().div_ceil(QUADS);
        let constants = vec![
            ("TILES", TILES as u32),
            ("QUADS", QUADS as u32),
            ("POINTS", self.tile.points() as u32),
            ("LANES", lanes.shared),
            ("GROUP", lanes.group),
        ];
        Cut {
            constants,
            dims: pixel_dims(self.x, self.dy, 2 * TILES as u32, splits),
            grid: Grid::fixed(pairs as u64 * u64::from(splits)),
            supported,
        }
    }

    /// The cut of `common/winograd_weights_tiled.wgsl`.
    fn tiled(&self) -> Cut {
        let cut = WeightCut::of(self.tile, self.dy);
        let rows = self.tile.outputs() as u32;
        Cut {
            constants: cut.constants(self.tile, self.pool),
            dims: pixel_dims(self.x, self.dy, rows, self.slots as u32),
            grid: Grid::fixed((cut.groups(self.x, self.dy) * self.slots) as u64),
            supported: Ok(()),
        }
    }
}

impl Op for WinogradBackwardWeights {
    fn name(&self) -> &'static str {
        "winograd_backward_weights"
    }

    fn bindings(&self) -> Vec<Binding> {
        let dy = if self.pool { self.dy.pooled() } else { self.dy };
        let mut bindings = vec![
            Binding::quads("x", Layout::Map(self.x), Access::Read),
            Binding::quads("dy", Layout::Map(dy), Access::Read),
            Binding::quads("partial", self.partial(), Access::Write),
        ];
        if self.pool {
            bindings.push(Binding::words("positions", Layout::Positions(dy), Access::Read));
        }
        bindings
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        match self.tile {
            // In registers it would be one more kernel that takes a driver a second to compile.
            Tile::Two if self.pool => {
                vec![cut!("winograd_backward_weights_2x2_tiled", self.tiled())]
            }
            Tile::Two => vec![
                cut!("winograd_backward_weights_2x2_tiled", self.tiled()),
                cut!("winograd_backward_weights_2x2_shuffle", self.shuffle(facts)),
            ],
            // In registers it would be slower than tiles of 2x2: docs/performance.md.
            Tile::Four => vec![cut!("winograd_backward_weights_4x4_tiled", self.tiled())],
        }
    }

    fn conv(&self) -> Option<ConvTask> {
        Some(ConvTask::new(ConvPass::BackwardWeights, self.x, self.dy))
    }

    /// What the direct sum would compute: rates are comparable.
    fn flop(&self, images: u64) -> u64 {
        images * flop(self.x, self.dy)
    }

    /// Which tiles a slot takes is the variant's affair: the reference puts the whole sum into the
    /// first slot, and the comparison is of the slots' sum.
    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, dy, partial, positions @ ..] = buffers else {
            unreachable!("three bindings at least")
        };
        let unpooled = match positions {
            [positions] => Some(MaxPoolBackward::unpooled(self.dy, step.images, dy, positions)),
            _ => None,
        };
        let dy = unpooled.as_ref().unwrap_or(dy);
        let (c_all, k_all) = (self.x.channels, self.dy.channels);
        let (stored_c, stored_k) = (padded(c_all), padded(k_all));
        for i in 0..self.partial().len(1) {
            partial[i] = 0.0;
        }
        let (m, points) = (self.tile.outputs(), self.tile.points());
        let sum_of_all = self.tile.side() + 1;
        let tiles = (0..step.images as usize)
            .flat_map(|n| (0..self.dy.height).step_by(m).map(move |i| (n, i)))
            .flat_map(|(n, i)| (0..self.dy.width).step_by(m).map(move |j| (n, i, j)));
        for (n, i, j) in tiles {
            let input = |r: usize, s: usize, c: usize| {
                let (row, column) = (i + r, j + s);
                let inside = row < self.x.rows() && column < self.x.columns();
                let at = (row * self.x.columns() + column) * stored_c + c;
                if inside { x[n * self.x.len() + at] } else { 0.0 }
            };
            let transformed = |c| self.tile.transformed_input(|r, s| input(r, s, c));
            let v: Vec<_> = (0..c_all).map(transformed).collect();
            for k in 0..k_all {
                let output = |r: usize, s: usize| {
                    let inside = i + r < self.dy.height && j + s < self.dy.width;
                    if inside { dy[self.dy.index(n, i + r, j + s, k)] } else { 0.0 }
                };
                let z = self.tile.transformed_gradient(output);
                partial[points * stored_c * stored_k + k] += z[sum_of_all];
                for (c, v) in v.iter().enumerate() {
                    for point in 0..points {
                        partial[(point * stored_c + c) * stored_k + k] += v[point] * z[point];
                    }
                }
            }
        }
    }

    fn tolerance(&self, images: u64) -> f64 {
        let factor = if self.tile == Tile::Two { 4.0 } else { 16.0 };
        factor * rounding(images * (self.dy.height * self.dy.width) as u64)
    }

    fn partial_slots(&self) -> usize {
        self.slots
    }

    fn input(&self, name: &str, step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let positions = || MaxPoolBackward::any_positions(self.dy.pooled(), step, random);
        (name == "positions").then(positions)
    }
}

impl Op for WinogradFilterGradient {
    fn name(&self) -> &'static str {
        "winograd_filter_gradient"
    }

    fn bindings(&self) -> Vec<Binding> {
        let grad = Layout::Filter { c: self.c, k: self.k };
        vec![
            Binding::quads("partial", partial(self.c, self.k, self.slots, self.tile), Access::Read),
            Binding::quads("grad", grad, Access::Update),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let (rows, quads) = (padded(self.c), padded(self.k) / 4);
        vec![variant! {
            "winograd_filter_gradient",
            constants: vec![("TILE", self.tile.outputs() as u32)],
            dims: vec![
                ("rows", Dim::U(rows as u32)),
                ("quads", Dim::U(quads as u32)),
                ("slots", Dim::U(self.slots as u32)),
            ],
            grid: Grid::fixed(((rows + 1) * quads).div_ceil(64) as u64),
            proven: false,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [partial, grad] = buffers else { unreachable!("two bindings") };
        let (g, side, points) = (self.tile.filter_matrix(), self.tile.side(), self.tile.points());
        let size = padded(self.c) * padded(self.k);
        let slot_size = points * size + padded(self.k);
        let summed =
            |at: usize| -> f64 { (0..self.slots).map(|slot| partial[slot * slot_size + at]).sum() };
        let old = |value: f64| if step.accumulate == 1 { value } else { 0.0 };
        for i in 0..size {
            let m: Vec<f64> = (0..points).map(|point| summed(point * size + i)).collect();
            for tap in 0..TAPS {
                let factor = |point: usize| g[point / side][tap / 3] * g[point % side][tap % 3];
                let sum: f64 = (0..points).map(|point| factor(point) * m[point]).sum();
                grad[tap * size + i] = sum + old(grad[tap * size + i]);
            }
        }
        for k in 0..padded(self.k) {
            let at = TAPS * size + k;
            grad[at] = summed(points * size + k) + old(grad[at]);
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding((self.tile.points() * self.slots) as u64)
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let op = |(i, tile, x, k): (usize, Tile, FeatureMap, usize)| {
        // 16 slots fit every number of lanes that a workgroup can have.
        let (slots, halo) = (16 * (1 + i % 2), i % 2);
        let dy = x.with_channels(k).with_halo(halo);
        Box::new(WinogradBackwardWeights { x, dy, slots, tile, pool: false }) as _
    };
    let pooled = |(i, tile, x, k): (usize, Tile, FeatureMap, usize)| {
        let (slots, dy) = (1 + i % 3, x.with_channels(k));
        let op = WinogradBackwardWeights { x, dy, slots, tile, pool: true };
        (!dy.pooled().is_empty()).then(|| Box::new(op) as _)
    };
    shapes().map(op).chain(shapes().filter_map(pooled)).collect()
}

pub(super) fn gradient_examples() -> Vec<Box<dyn Op>> {
    let op = |(_, tile, x, k): (usize, Tile, FeatureMap, usize)| {
        let c = x.channels;
        Box::new(WinogradFilterGradient { c, k, slots: 1 + c % 5, tile }) as _
    };
    shapes().map(op).collect()
}
