//! Gradients of a convolution's filters and bias, in two fixed passes: partial sums, then their sum.

use super::conv::{SHAPES, flop, taps};
use super::tiles::WeightTile;
use super::{ConvPass, ConvTask, Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Lanes, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout, TAPS, padded};

/// Rows of one column that an invocation of the shuffle variant takes at a time.
fn rows_at_once(height: usize) -> u32 {
    if height <= 2 { 2 } else { 4 }
}

/// First pass: `partial[slot] = x^T * dy` over a share of the images' pixels, the bias in the last
/// row. The number of slots differs by variant, so it is asked of [`ConvBackwardWeights::slots`].
#[derive(Debug, Clone, Copy)]
pub struct ConvBackwardWeights {
    /// The convolution's input, with a halo.
    pub x: FeatureMap,
    /// The gradient of its output.
    pub dy: FeatureMap,
    /// Slots of `partial`: a multiple of 16.
    pub slots: usize,
}

/// Second pass: adds the slots in their order, and what earlier micro-batches gave.
#[derive(Debug, Clone, Copy)]
pub struct SumPartials {
    /// The gradient's layout.
    pub grad: Layout,
    /// Slots of `partial`.
    pub slots: usize,
}

impl ConvBackwardWeights {
    /// The slots that keep an adapter busy: few where there are many channels, more where there are
    /// few channels and many pixels.
    pub fn new(x: FeatureMap, dy: FeatureMap, facts: &AdapterFacts) -> Self {
        let (lanes, wanted) = match Lanes::of(facts) {
            Ok(lanes) if facts.is_software() => (lanes.group / lanes.shared, 32),
            _ if facts.is_software() => (1, 32),
            _ => (1, 1024),
        };
        let tiles = match facts.is_software() {
            true => x.quads() * dy.quads().div_ceil(4),
            false => WeightTile::of(x, dy).count(x, dy),
        };
        let pixels = dy.height * dy.width;
        let splits = (wanted / tiles).clamp(1, pixels.div_ceil(64).max(1));
        Self { x, dy, slots: splits * lanes as usize }
    }

    fn grad(&self) -> Layout {
        Layout::Filter { c: self.x.channels, k: self.dy.channels }
    }

    fn shuffle(&self, facts: &AdapterFacts) -> Variant {
        let (lanes, supported) = lanes_for(self.slots, facts);
        let splits = self.slots as u32 / (lanes.group / lanes.shared);
        let quads = self.dy.quads().min(4) as u32;
        let tiles = self.x.quads() * self.dy.quads().div_ceil(quads as usize);
        variant! {
            "conv_backward_weights_shuffle",
            constants: vec![
                ("CHANNELS", self.x.channels.min(4) as u32),
                ("QUADS", quads),
                ("ROWS", rows_at_once(self.x.height)),
                ("POINTS", TAPS as u32),
                ("LANES", lanes.shared),
                ("GROUP", lanes.group),
            ],
            dims: pixel_dims(self.x, self.dy, rows_at_once(self.x.height), splits),
            grid: Grid::fixed(tiles as u64 * u64::from(splits)),
            proven: true,
            supported,
        }
    }
}

/// The lanes of an adapter for partial sums in `slots` slots, and whether a subgroup variant can fill
/// them there: a workgroup fills one for each group of lanes that share values.
pub(super) fn lanes_for(slots: usize, facts: &AdapterFacts) -> (Lanes, Result<(), String>) {
    let (lanes, supported) = Lanes::or_least(facts);
    let each = (lanes.group / lanes.shared) as usize;
    let fits = match slots.is_multiple_of(each) {
        true => Ok(()),
        false => Err(format!("{slots} slots are no multiple of {each}")),
    };
    (lanes, supported.and(fits))
}

/// The dimensions of a sum over all pixels, taken `rows` at a time and split into `splits` shares.
pub(super) fn pixel_dims(
    x: FeatureMap,
    dy: FeatureMap,
    rows: u32,
    splits: u32,
) -> Vec<(&'static str, Dim)> {
    vec![
        ("height", Dim::U(x.height as u32)),
        ("width", Dim::U(x.width as u32)),
        ("in_quads", Dim::U(x.quads() as u32)),
        ("out_quads", Dim::U(dy.quads() as u32)),
        ("dy_halo", Dim::U(dy.halo as u32)),
        ("row_blocks", Dim::U((x.height as u32).div_ceil(rows))),
        ("splits", Dim::U(splits)),
    ]
}

impl Op for ConvBackwardWeights {
    fn name(&self) -> &'static str {
        "conv_backward_weights"
    }

    fn bindings(&self) -> Vec<Binding> {
        let partial = Layout::Flat(self.slots * self.grad().len(1));
        vec![
            Binding::quads("x", Layout::Map(self.x), Access::Read),
            Binding::quads("dy", Layout::Map(self.dy), Access::Read),
            Binding::quads("partial", partial, Access::Write),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let tile = WeightTile::of(self.x, self.dy);
        let tiles = tile.count(self.x, self.dy);
        vec![
            variant! {
                "conv_backward_weights_tiled",
                constants: tile.constants(),
                dims: pixel_dims(self.x, self.dy, rows_at_once(self.x.height), self.slots as u32),
                grid: Grid::fixed((tiles * self.slots) as u64),
                proven: true,
                supported: Ok(()),
            },
            self.shuffle(facts),
        ]
    }

    fn conv(&self) -> Option<ConvTask> {
        Some(ConvTask::new(ConvPass::BackwardWeights, self.x, self.dy))
    }

    fn flop(&self, images: u64) -> u64 {
        images * flop(self.x, self.dy)
    }

    /// Which pixels a slot takes is the variant's affair: the reference puts the whole sum into the
    /// first slot, and the comparison is of the slots' sum.
    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, dy, partial] = buffers else { unreachable!("three bindings") };
        let (stored_c, stored_k) = (padded(self.x.channels), padded(self.dy.channels));
        for i in 0..self.slots * self.grad().len(1) {
            partial[i] = 0.0;
        }
        let pixels = (0..step.images as usize)
            .flat_map(|n| (0..self.dy.height).map(move |i| (n, i)))
            .flat_map(|(n, i)| (0..self.dy.width).map(move |j| (n, i, j)));
        for (n, i, j) in pixels {
            for k in 0..self.dy.channels {
                let gradient = dy[self.dy.index(n, i, j, k)];
                partial[TAPS * stored_c * stored_k + k] += gradient;
                for (r, s) in taps() {
                    let at = self.x.index(n, i, j, 0) + (r * self.x.columns() + s) * stored_c;
                    let at = at - (self.x.columns() + 1) * stored_c;
                    for c in 0..self.x.channels {
                        partial[((r * 3 + s) * stored_c + c) * stored_k + k] +=
                            x[at + c] * gradient;
                    }
                }
            }
        }
    }

    fn tolerance(&self, images: u64) -> f64 {
        rounding(images * (self.dy.height * self.dy.width) as u64)
    }

    fn partial_slots(&self) -> usize {
        self.slots
    }
}

impl Op for SumPartials {
    fn name(&self) -> &'static str {
        "sum_partials"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("partial", Layout::Flat(self.slots * self.grad.len(1)), Access::Read),
            Binding::quads("grad", self.grad, Access::Update),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let quads = self.grad.len(1) as u32 / 4;
        vec![variant! {
            "sum_partials",
            constants: vec![],
            dims: vec![("quads", Dim::U(quads)), ("slots", Dim::U(self.slots as u32))],
            grid: Grid::fixed(u64::from(quads.div_ceil(64))),
            proven: false,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [partial, grad] = buffers else { unreachable!("two bindings") };
        let len = self.grad.len(1);
        for i in 0..len {
            let sum: f64 = (0..self.slots).map(|slot| partial[slot * len + i]).sum();
            grad[i] = sum + if step.accumulate == 1 { grad[i] } else { 0.0 };
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(self.slots as u64)
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let op = |(i, &(h, w, c, k)): (usize, &(usize, usize, usize, usize))| {
        let x = FeatureMap::new(h, w, c).with_halo(1);
        // 16 slots fit every number of lanes that a workgroup can have.
        let slots = 16 * (1 + i % 2);
        Box::new(ConvBackwardWeights { x, dy: x.with_channels(k).with_halo(i % 2), slots }) as _
    };
    SHAPES.iter().enumerate().map(op).collect()
}

pub(super) fn sum_examples() -> Vec<Box<dyn Op>> {
    let op = |&(_, _, c, k): &(usize, usize, usize, usize)| {
        Box::new(SumPartials { grad: Layout::Filter { c, k }, slots: 1 + c % 5 }) as _
    };
    SHAPES.iter().map(op).collect()
}
