//! Gradients of a convolution's filters by Winograd's minimal filtering, in two fixed passes: the
//! adjoint of F(2x2, 3x3) in the filters (Lavin and Gray, arXiv:1509.09308, section 4.1), for which
//! both the input and the gradient of the output are transformed.

use super::conv::{flop, small_shapes};
use super::conv_weights::{lanes_for, pixel_dims};
use super::{ConvPass, ConvTask, Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Lanes, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout, TAPS, padded};

/// Tiles, one below the other, and quads of outputs that an invocation takes.
const TILES: usize = 4;
const QUADS: usize = 2;
/// Bytes of input and gradient that a slot's tiles should have: what a core's own cache holds.
const CACHED: usize = 1 << 20;
/// Columns of tiles that each invocation takes at least, for the sums that it stores in the end.
const LEAST_COLUMNS: usize = 8;
/// Points of a transformed tile of 2x2 outputs.
const POINTS: usize = 16;

/// First pass: `partial[slot] = m = sum of (B^T x B) * (A dy A^T)` over a share of the images' tiles of
/// 2x2 outputs, the bias's gradient in the last row.
#[derive(Debug, Clone, Copy)]
pub struct WinogradBackwardWeights {
    /// The convolution's input, with a halo.
    pub x: FeatureMap,
    /// The gradient of its output.
    pub dy: FeatureMap,
    /// Slots of `partial`: a multiple of 16.
    pub slots: usize,
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
}

/// Elements of `partial`: for each slot `(16 * padded c + 1, padded k)`.
fn partial(c: usize, k: usize, slots: usize) -> Layout {
    Layout::Flat(slots * (POINTS * padded(c) + 1) * padded(k))
}

impl WinogradBackwardWeights {
    /// The slots that suit a software adapter for launches of `images` images: every pair of channel
    /// blocks reads the pixels of a slot again, so these should stay in a core's cache, and there
    /// should be enough of them to keep the cores busy.
    pub fn new(x: FeatureMap, dy: FeatureMap, images: usize, facts: &AdapterFacts) -> Self {
        let (lanes, _) = Lanes::or_least(facts);
        let tiles = x.quads() * dy.quads().div_ceil(QUADS);
        let cached = (images * (x.len() + dy.len()) * 4).div_ceil(CACHED);
        let columns = images * x.height.div_ceil(2 * TILES) * x.width.div_ceil(2);
        let most = columns / (lanes.group as usize * LEAST_COLUMNS);
        let splits = cached.max(32 / tiles).min(most).max(1);
        Self { x, dy, slots: splits * (lanes.group / lanes.shared) as usize }
    }

    /// The layout of `partial`.
    pub fn partial(&self) -> Layout {
        partial(self.x.channels, self.dy.channels, self.slots)
    }
}

impl Op for WinogradBackwardWeights {
    fn name(&self) -> &'static str {
        "winograd_backward_weights"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("x", Layout::Map(self.x), Access::Read),
            Binding::quads("dy", Layout::Map(self.dy), Access::Read),
            Binding::quads("partial", self.partial(), Access::Write),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let (lanes, supported) = lanes_for(self.slots, facts);
        let splits = self.slots as u32 / (lanes.group / lanes.shared);
        let tiles = self.x.quads() * self.dy.quads().div_ceil(QUADS);
        vec![variant! {
            "winograd_backward_weights_2x2_shuffle",
            constants: vec![
                ("TILES", TILES as u32),
                ("QUADS", QUADS as u32),
                ("POINTS", POINTS as u32),
                ("LANES", lanes.shared),
                ("GROUP", lanes.group),
            ],
            dims: pixel_dims(self.x, self.dy, 2 * TILES as u32, splits),
            grid: Grid::fixed(tiles as u64 * u64::from(splits)),
            proven: true,
            supported,
        }]
    }

    fn conv(&self) -> Option<ConvTask> {
        Some(ConvTask { pass: ConvPass::BackwardWeights, source: self.x, target: self.dy })
    }

    /// What the direct sum would compute: rates are comparable.
    fn flop(&self, images: u64) -> u64 {
        images * flop(self.x, self.dy)
    }

    /// Which tiles a slot takes is the variant's affair: the reference puts the whole sum into the
    /// first slot, and the comparison is of the slots' sum.
    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, dy, partial] = buffers else { unreachable!("three bindings") };
        let (c_all, k_all) = (self.x.channels, self.dy.channels);
        let (stored_c, stored_k) = (padded(c_all), padded(k_all));
        for i in 0..self.partial().len(1) {
            partial[i] = 0.0;
        }
        let tiles = (0..step.images as usize)
            .flat_map(|n| (0..self.dy.height).step_by(2).map(move |i| (n, i)))
            .flat_map(|(n, i)| (0..self.dy.width).step_by(2).map(move |j| (n, i, j)));
        for (n, i, j) in tiles {
            let input = |r: usize, s: usize, c: usize| {
                let (row, column) = (i + r, j + s);
                let inside = row < self.x.rows() && column < self.x.columns();
                let at = (row * self.x.columns() + column) * stored_c + c;
                if inside { x[n * self.x.len() + at] } else { 0.0 }
            };
            let v: Vec<_> = (0..c_all).map(|c| transformed_input(|r, s| input(r, s, c))).collect();
            for k in 0..k_all {
                let output = |r: usize, s: usize| {
                    let inside = i + r < self.dy.height && j + s < self.dy.width;
                    if inside { dy[self.dy.index(n, i + r, j + s, k)] } else { 0.0 }
                };
                let z = transformed_gradient(output);
                partial[POINTS * stored_c * stored_k + k] += z[5];
                for (c, v) in v.iter().enumerate() {
                    for point in 0..POINTS {
                        partial[(point * stored_c + c) * stored_k + k] += v[point] * z[point];
                    }
                }
            }
        }
    }

    fn tolerance(&self, images: u64) -> f64 {
        4.0 * rounding(images * (self.dy.height * self.dy.width) as u64)
    }

    fn partial_slots(&self) -> usize {
        self.slots
    }
}

/// `B^T d B` of a 4x4 tile.
fn transformed_input(d: impl Fn(usize, usize) -> f64) -> [f64; POINTS] {
    let b = |v: [f64; 4]| [v[0] - v[2], v[1] + v[2], v[2] - v[1], v[1] - v[3]];
    let half: Vec<_> = (0..4).map(|r| b([d(r, 0), d(r, 1), d(r, 2), d(r, 3)])).collect();
    let mut points = [0.0; POINTS];
    for q in 0..4 {
        let column = b([half[0][q], half[1][q], half[2][q], half[3][q]]);
        (0..4).for_each(|p| points[4 * p + q] = column[p]);
    }
    points
}

/// `A e A^T` of a 2x2 tile.
fn transformed_gradient(e: impl Fn(usize, usize) -> f64) -> [f64; POINTS] {
    let a = |v: [f64; 2]| [v[0], v[0] + v[1], v[0] - v[1], -v[1]];
    let half = [a([e(0, 0), e(0, 1)]), a([e(1, 0), e(1, 1)])];
    let mut points = [0.0; POINTS];
    for q in 0..4 {
        let column = a([half[0][q], half[1][q]]);
        (0..4).for_each(|p| points[4 * p + q] = column[p]);
    }
    points
}

impl Op for WinogradFilterGradient {
    fn name(&self) -> &'static str {
        "winograd_filter_gradient"
    }

    fn bindings(&self) -> Vec<Binding> {
        let grad = Layout::Filter { c: self.c, k: self.k };
        vec![
            Binding::quads("partial", partial(self.c, self.k, self.slots), Access::Read),
            Binding::quads("grad", grad, Access::Update),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let (rows, quads) = (padded(self.c), padded(self.k) / 4);
        vec![variant! {
            "winograd_filter_gradient",
            constants: vec![],
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
        let g = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
        let size = padded(self.c) * padded(self.k);
        let slot_size = POINTS * size + padded(self.k);
        let summed =
            |at: usize| -> f64 { (0..self.slots).map(|slot| partial[slot * slot_size + at]).sum() };
        let old = |value: f64| if step.accumulate == 1 { value } else { 0.0 };
        for i in 0..size {
            let m: Vec<f64> = (0..POINTS).map(|point| summed(point * size + i)).collect();
            for tap in 0..TAPS {
                let factor = |point: usize| g[point / 4][tap / 3] * g[point % 4][tap % 3];
                let sum: f64 = (0..POINTS).map(|point| factor(point) * m[point]).sum();
                grad[tap * size + i] = sum + old(grad[tap * size + i]);
            }
        }
        for k in 0..padded(self.k) {
            let at = TAPS * size + k;
            grad[at] = summed(POINTS * size + k) + old(grad[at]);
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding((POINTS * self.slots) as u64)
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let op = |(i, (h, w, c, k)): (usize, (usize, usize, usize, usize))| {
        let x = FeatureMap::new(h, w, c).with_halo(1);
        // 16 slots fit every number of lanes that a workgroup can have.
        let (slots, halo) = (16 * (1 + i % 2), i % 2);
        let dy = x.with_channels(k).with_halo(halo);
        Box::new(WinogradBackwardWeights { x, dy, slots }) as _
    };
    small_shapes().map(op).collect()
}

pub(super) fn gradient_examples() -> Vec<Box<dyn Op>> {
    let op = |(_, (_, _, c, k)): (usize, (usize, usize, usize, usize))| {
        Box::new(WinogradFilterGradient { c, k, slots: 1 + c % 5 }) as _
    };
    small_shapes().map(op).collect()
}
