//! Dense layers: forward with bias and ReLU, backward to data, backward to weights and bias.
//!
//! Weights lie in panels of 32 outputs, and an operation works on a slice: a run of panels that fits
//! one binding of the adapter.

use super::tiles::DenseTile;
use super::{Data, Dropout, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Lanes, Step, Variant, variant};
use crate::shape::{Layout, PANEL, padded, panel_rows};

/// Which outputs of a dense layer an operation works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Inputs of the layer, a multiple of four.
    pub inputs: usize,
    /// All outputs of the layer.
    pub outputs: usize,
    /// The first output of the slice, a multiple of 32.
    pub first: usize,
    /// Outputs in the slice; a multiple of 32 unless it is the last.
    pub count: usize,
}

/// `y = x * w + bias`, then ReLU and dropout if wanted: `(n, inputs)` to a slice of `(n, outputs)`.
#[derive(Debug, Clone, Copy)]
pub struct DenseForward {
    /// The outputs computed.
    pub slice: Slice,
    /// True if negative outputs become 0.
    pub relu: bool,
    /// Dropout of the outputs: [`Dropout::NONE`] in inference.
    pub dropout: Dropout,
    /// Images that most launches have: tiles are made for them.
    pub images: usize,
}

/// `dx = (x > 0) * scale * (dx + dy * w^T)` over a slice of the outputs.
///
/// Dropout before the layer left 0 where it dropped and multiplied what it kept: `x > 0` is then its mask
/// as well as that of the ReLU before it.
#[derive(Debug, Clone, Copy)]
pub struct DenseBackwardData {
    /// The outputs summed over.
    pub slice: Slice,
    /// True if this is not the first slice: the sum is added to `dx`.
    pub accumulate: bool,
    /// [`Dropout::scale`] of the dropout that gave `x`, in the last slice; else 1.
    pub scale: f32,
    /// Images that most launches have: tiles are made for them.
    pub images: usize,
}

/// `grad = x^T * dy` for a slice of the outputs, the bias's gradient in the row after.
#[derive(Debug, Clone, Copy)]
pub struct DenseBackwardWeights {
    /// The outputs whose weights get gradients.
    pub slice: Slice,
}

impl Slice {
    /// All outputs of a layer.
    pub fn whole(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, first: 0, count: outputs }
    }

    /// The layout of the slice's weights.
    pub fn weights(&self) -> Layout {
        Layout::Panels { inputs: self.inputs, outputs: self.count }
    }

    fn panels(&self) -> usize {
        self.count.div_ceil(PANEL)
    }

    fn in_quads(&self) -> usize {
        self.inputs / 4
    }

    pub(super) fn flop(&self) -> u64 {
        (2 * self.inputs * self.count) as u64
    }

    pub(super) fn dims(&self, flag: Option<(&'static str, bool)>) -> Vec<(&'static str, Dim)> {
        let mut dims = vec![
            ("in_quads", Dim::U(self.in_quads() as u32)),
            ("out_quads", Dim::U(self.outputs.div_ceil(4) as u32)),
            ("first_quad", Dim::U(self.first as u32 / 4)),
            ("panels", Dim::U(self.panels() as u32)),
        ];
        dims.extend(flag.map(|(name, value)| (name, Dim::U(u32::from(value)))));
        dims
    }

    /// Index of weight `(input, output)` of the slice, the output counted from the slice's first.
    fn weight(&self, input: usize, output: usize) -> usize {
        (output / PANEL * panel_rows(self.inputs) + input) * PANEL + output % PANEL
    }
}

/// Images that an invocation of a shuffle variant computes where launches have `images`: no more than
/// there are, up to 16, as each weight loaded serves all of them; 32 brought nothing more.
fn images_at_once(images: usize, lanes: Lanes) -> u32 {
    (images.clamp(1, 16) as u32).next_multiple_of(8).next_multiple_of(lanes.shared)
}

fn per_images(images: u32, lanes: Lanes) -> Vec<(&'static str, u32)> {
    vec![("IMAGES", images), ("LANES", lanes.shared), ("GROUP", lanes.group)]
}

/// How the shuffle variants of a gradient of weights cut the work.
pub(super) struct WeightsShuffle {
    pub constants: Vec<(&'static str, u32)>,
    pub grid: Grid,
    pub supported: Result<(), String>,
}

impl WeightsShuffle {
    pub(super) fn of(slice: Slice, facts: &AdapterFacts) -> Self {
        let (lanes, supported) = Lanes::or_least(facts);
        let quads = slice.in_quads().min(8) as u32;
        let rows = blocks(slice.in_quads(), quads);
        let constants = vec![("QUADS", quads), ("LANES", lanes.shared), ("GROUP", lanes.group)];
        let grid = Grid::fixed(rows * blocks(slice.panels() * PANEL / 4, lanes.group));
        Self { constants, grid, supported }
    }
}

fn blocks(items: usize, size: u32) -> u64 {
    items.div_ceil(size as usize) as u64
}

impl Op for DenseForward {
    fn name(&self) -> &'static str {
        "dense_forward"
    }

    fn bindings(&self) -> Vec<Binding> {
        let whole = self.slice.count == self.slice.outputs;
        let access = if whole { Access::Write } else { Access::Update };
        vec![
            Binding::quads("x", Layout::Rows(self.slice.inputs), Access::Read),
            Binding::quads("w", self.slice.weights(), Access::Read),
            Binding::quads("y", Layout::Rows(self.slice.outputs), access),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let mut dims = self.slice.dims(Some(("relu", self.relu)));
        dims.extend(self.dropout.dims());
        let (lanes, supported) = Lanes::or_least(facts);
        let at_once = images_at_once(self.images, lanes);
        let panels = self.slice.panels();
        vec![
            variant! {
                "dense_forward_tiled",
                constants: DenseTile::of_images(self.images).constants(),
                dims: dims.clone(),
                grid: DenseTile::of_images(self.images).grid(panels),
                proven: true,
                supported: Ok(()),
            },
            variant! {
                "dense_forward_shuffle",
                constants: per_images(at_once, lanes),
                dims,
                grid: Grid {
                    tiles: blocks(panels * PANEL / 4, lanes.group),
                    items: 1,
                    per_group: u64::from(at_once),
                },
                proven: true,
                supported,
            },
        ]
    }

    fn flop(&self, images: u64) -> u64 {
        images * self.slice.flop()
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, w, y] = buffers else { unreachable!("three bindings") };
        let slice = self.slice;
        for n in 0..step.images as usize {
            for k in 0..slice.count {
                let products =
                    (0..slice.inputs).map(|c| x[n * slice.inputs + c] * w[slice.weight(c, k)]);
                let sum = w[slice.weight(slice.inputs, k)] + products.sum::<f64>();
                let value = if self.relu { sum.max(0.0) } else { sum };
                let stored = padded(slice.outputs);
                let at = n * stored + slice.first + k;
                y[at] = value * self.dropout.factor(step, at, stored);
            }
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(self.slice.inputs as u64)
    }
}

impl Op for DenseBackwardData {
    fn name(&self) -> &'static str {
        "dense_backward_data"
    }

    fn bindings(&self) -> Vec<Binding> {
        let access = if self.accumulate { Access::Update } else { Access::Write };
        vec![
            Binding::quads("dy", Layout::Rows(self.slice.outputs), Access::Read),
            Binding::quads("w", self.slice.weights(), Access::Read),
            Binding::quads("x", Layout::Rows(self.slice.inputs), Access::Read),
            Binding::quads("dx", Layout::Rows(self.slice.inputs), access),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let mut dims = self.slice.dims(Some(("accumulate", self.accumulate)));
        dims.push(("scale", Dim::F(self.scale)));
        let (lanes, supported) = Lanes::or_least(facts);
        let at_once = images_at_once(self.images, lanes);
        let quads = self.slice.in_quads();
        vec![
            variant! {
                "dense_backward_data_tiled",
                constants: DenseTile::of_images(self.images).constants(),
                dims: dims.clone(),
                grid: DenseTile::of_images(self.images).grid(quads.div_ceil(8)),
                proven: true,
                supported: Ok(()),
            },
            variant! {
                "dense_backward_data_shuffle",
                constants: per_images(at_once, lanes),
                dims,
                grid: Grid {
                    tiles: blocks(quads, lanes.group),
                    items: 1,
                    per_group: u64::from(at_once),
                },
                proven: true,
                supported,
            },
        ]
    }

    fn flop(&self, images: u64) -> u64 {
        images * self.slice.flop()
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [dy, w, x, dx] = buffers else { unreachable!("four bindings") };
        let slice = self.slice;
        for n in 0..step.images as usize {
            for c in 0..slice.inputs {
                let row = n * padded(slice.outputs) + slice.first;
                let products = (0..slice.count).map(|k| dy[row + k] * w[slice.weight(c, k)]);
                let at = n * slice.inputs + c;
                let old = if self.accumulate { dx[at] } else { 0.0 };
                let sum = old + products.sum::<f64>();
                dx[at] = if x[at] > 0.0 { sum * f64::from(self.scale) } else { 0.0 };
            }
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(self.slice.count as u64)
    }
}

impl Op for DenseBackwardWeights {
    fn name(&self) -> &'static str {
        "dense_backward_weights"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("x", Layout::Rows(self.slice.inputs), Access::Read),
            Binding::quads("dy", Layout::Rows(self.slice.outputs), Access::Read),
            Binding::quads("grad", self.slice.weights(), Access::Update),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let dims = self.slice.dims(None);
        let panels = self.slice.panels();
        let tiled = DenseTile::OF_INPUTS.count(self.slice.inputs + 1) * panels;
        let shuffle = WeightsShuffle::of(self.slice, facts);
        vec![
            variant! {
                "dense_backward_weights_tiled",
                constants: DenseTile::OF_INPUTS.constants(),
                dims: dims.clone(),
                grid: Grid::fixed(tiled as u64),
                proven: true,
                supported: Ok(()),
            },
            variant! {
                "dense_backward_weights_shuffle",
                constants: shuffle.constants,
                dims,
                grid: shuffle.grid,
                proven: true,
                supported: shuffle.supported,
            },
        ]
    }

    fn flop(&self, images: u64) -> u64 {
        images * self.slice.flop()
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, dy, grad] = buffers else { unreachable!("three bindings") };
        let slice = self.slice;
        for c in 0..=slice.inputs {
            for k in 0..slice.count {
                let images = 0..step.images as usize;
                let products = images.map(|n| {
                    let gradient = dy[n * padded(slice.outputs) + slice.first + k];
                    if c < slice.inputs { x[n * slice.inputs + c] * gradient } else { gradient }
                });
                let at = slice.weight(c, k);
                let old = if step.accumulate == 1 { grad[at] } else { 0.0 };
                grad[at] = old + products.sum::<f64>();
            }
            // Columns past the last output have neither weights nor gradients.
            for k in slice.count..slice.panels() * PANEL {
                grad[slice.weight(c, k)] = 0.0;
            }
        }
    }

    fn tolerance(&self, images: u64) -> f64 {
        rounding(images)
    }
}

/// Smallest, odd, about the tiles of 4, 16 and 32, slices, and layers of VGG's classifier.
pub(super) fn slices() -> Vec<Slice> {
    let sizes = [(4, 1), (8, 10), (12, 31), (16, 32), (20, 33), (36, 97), (128, 64), (512, 256)];
    let mut slices: Vec<_> =
        sizes.iter().map(|&(inputs, outputs)| Slice::whole(inputs, outputs)).collect();
    slices.push(Slice { inputs: 40, outputs: 100, first: 32, count: 32 });
    slices.push(Slice { inputs: 40, outputs: 100, first: 64, count: 36 });
    slices
}

pub(super) fn forward_examples() -> Vec<Box<dyn Op>> {
    let relu = |i: usize| i.is_multiple_of(2);
    // Nothing dropped, almost everything, and what is usual.
    let rates = [0.5, 0.0, 0.3, 0.999];
    let op = |(i, slice): (usize, Slice)| {
        let dropout = Dropout { layer: i as u32, rate: rates[i % 4] };
        Box::new(DenseForward { slice, relu: relu(i), dropout, images: 1 + 7 * i }) as Box<dyn Op>
    };
    slices().into_iter().enumerate().map(op).collect()
}

pub(super) fn backward_data_examples() -> Vec<Box<dyn Op>> {
    let op = |(i, slice): (usize, Slice)| {
        let accumulate = slice.first > 0;
        let scale = if i % 3 == 0 { 1.0 } else { 1.0 / 0.7 };
        Box::new(DenseBackwardData { slice, accumulate, scale, images: 1 + 7 * i }) as Box<dyn Op>
    };
    slices().into_iter().enumerate().map(op).collect()
}

pub(super) fn backward_weights_examples() -> Vec<Box<dyn Op>> {
    slices().into_iter().map(|slice| Box::new(DenseBackwardWeights { slice }) as _).collect()
}
