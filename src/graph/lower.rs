//! From layers to operations on tensors: the forward, loss and backward passes of a micro-batch.

use super::source::{Format, Reads};
use super::{Architecture, Layer, ResizeFilter};
use crate::gpu::AdapterFacts;
use crate::ops::{
    ConvBackwardData, ConvBackwardWeights, ConvFilterFlip, ConvForward, DenseBackwardData,
    DenseBackwardWeights, DenseForward, DropoutBackward, DropoutForward, FillHalo, LoadRaw,
    MaxPoolBackward, MaxPoolForward, MetricsUpdate, Op, ResizeBilinear, ResizePillow, Shard, Slice,
    SoftmaxCrossEntropy, SumPartials,
};
use crate::shape::{FeatureMap, Layout, PANEL, TAPS, padded};

/// Batches whose metrics are kept on the device before the first is overwritten.
pub const METRIC_SLOTS: usize = 256;

/// What a graph is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Forward with dropout, loss, backward.
    Train,
    /// Forward without dropout, loss.
    Infer,
}

/// The image set a graph reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceShape {
    /// Images in the set.
    pub count: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels of an image, 1 or 3.
    pub channels: usize,
}

/// Where a tensor lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Home {
    /// In the arena, for a part of the step.
    Arena,
    /// The parameters with this number.
    Parameter(usize),
    /// Their gradient.
    Gradient(usize),
    /// A shard of the image set.
    Pixels(usize),
    /// The weights of Pillow's filter.
    Tables,
    /// The order of samples.
    Order,
    /// The labels of the image set.
    Labels,
    /// The metrics ring.
    Metrics,
}

/// A tensor of a graph.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// What it is, for reports.
    pub name: String,
    /// Its layout.
    pub layout: Layout,
    /// Where it lives.
    pub home: Home,
}

/// An operation of a graph with the tensors it binds.
#[derive(Debug)]
pub struct Node {
    /// The layer it belongs to.
    pub layer: String,
    /// The operation.
    pub op: Box<dyn Op>,
    /// Its tensors, in the order of the operation's bindings.
    pub tensors: Vec<usize>,
}

/// Operations in the order they run.
#[derive(Debug, Default)]
pub struct Graph {
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// All operations.
    pub nodes: Vec<Node>,
    /// The logits' tensor.
    pub logits: usize,
}

/// A layer's trained values, or a slice of them that fits a binding.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The layer's name.
    pub layer: String,
    /// Filters or panels.
    pub layout: Layout,
    /// The first output held, where a dense layer is cut.
    pub first: usize,
}

/// The parameters of a network in order, dense layers cut so that each fits a binding of
/// `max_binding` bytes.
pub fn parameters(network: &Architecture, max_binding: u64) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for (name, layer) in network.layers() {
        match layer {
            Layer::Conv { input, output } => {
                let layout = Layout::Filter { c: input.channels, k: output.channels };
                parameters.push(Parameter { layer: name, layout, first: 0 });
            }
            Layer::Dense { inputs, outputs, .. } => {
                parameters.extend(slices(inputs, outputs, max_binding).into_iter().map(|slice| {
                    Parameter { layer: name.clone(), layout: slice.weights(), first: slice.first }
                }));
            }
            Layer::MaxPool { .. } | Layer::Dropout { .. } => {}
        }
    }
    parameters
}

/// Cuts a dense layer into slices of whole panels, as even as possible.
fn slices(inputs: usize, outputs: usize, max_binding: u64) -> Vec<Slice> {
    let panels = outputs.div_ceil(PANEL);
    let panel_bytes = ((inputs + 1) * PANEL * 4) as u64;
    let at_most = ((max_binding / panel_bytes) as usize).clamp(1, panels);
    let each = panels.div_ceil(panels.div_ceil(at_most)) * PANEL;
    let firsts = (0..outputs).step_by(each);
    firsts.map(|first| Slice { inputs, outputs, first, count: each.min(outputs - first) }).collect()
}

/// Builds the graph of a pass, with kernels made for launches of `images` images.
pub fn lower(
    network: &Architecture,
    pass: Pass,
    images: usize,
    source: Reads<'_>,
    facts: &AdapterFacts,
) -> Graph {
    let layers = network.layers();
    let mut lowering = Lowering {
        graph: Graph::default(),
        facts,
        images,
        layers: &layers,
        saved: Vec::new(),
        next: 0,
    };
    let (labels, samples) = (source.shape.count, source.shape.count);
    let x = lowering.input(network, source);
    let logits = lowering.forward(x, pass, network.dropout());
    let dlogits = lowering.loss(logits, network.classes(), labels, samples);
    if pass == Pass::Train {
        lowering.backward(dlogits, network.dropout());
    }
    lowering.graph.logits = logits;
    lowering.graph
}

struct Lowering<'a> {
    graph: Graph,
    facts: &'a AdapterFacts,
    images: usize,
    layers: &'a [(String, Layer)],
    /// For each layer its input tensor, its positions (pooling) and its first parameter.
    saved: Vec<Saved>,
    next: usize,
}

#[derive(Clone, Copy)]
struct Saved {
    input: usize,
    positions: usize,
    parameter: usize,
}

impl Lowering<'_> {
    fn tensor(&mut self, name: String, layout: Layout, home: Home) -> usize {
        let known = |tensor: &Tensor| tensor.home == home && home != Home::Arena;
        if let Some(place) = self.graph.tensors.iter().position(known) {
            return place;
        }
        self.graph.tensors.push(Tensor { name, layout, home });
        self.graph.tensors.len() - 1
    }

    fn arena(&mut self, layer: &str, what: &str, layout: Layout) -> usize {
        self.tensor(format!("{layer} {what}"), layout, Home::Arena)
    }

    fn node(&mut self, layer: &str, op: impl Op + 'static, tensors: &[usize]) {
        let layer = layer.to_owned();
        self.graph.nodes.push(Node { layer, op: Box::new(op), tensors: tensors.to_vec() });
    }

    /// A map in the arena; its halo is zeroed first, since the memory held something else before.
    fn map(&mut self, layer: &str, what: &str, map: FeatureMap) -> usize {
        let tensor = self.arena(layer, what, Layout::Map(map));
        if map.halo > 0 {
            self.node(layer, FillHalo { map }, &[tensor]);
        }
        tensor
    }

    /// The network's input, gathered from each shard of the image set.
    fn input(&mut self, network: &Architecture, source: Reads<'_>) -> usize {
        let output = network.input().with_halo(1);
        let samples = source.shape.count;
        let x = self.map("input", "images", output);
        let order = self.tensor("order".to_owned(), Layout::Words(samples), Home::Order);
        for (i, &(first, count)) in source.shards.iter().enumerate() {
            let shard = Shard { first, count, samples };
            let pictures = source.shape.pictures(shard, output, network.normalisation());
            let mut pixels = |layout| self.tensor("images".to_owned(), layout, Home::Pixels(i));
            match source.format {
                Format::Raw => {
                    let op = LoadRaw { shard, output };
                    let values = pixels(op.values());
                    self.node("input", op, &[order, values, x]);
                }
                Format::Bytes(ResizeFilter::Bilinear) => {
                    let pixels = pixels(pictures.pixels());
                    self.node("input", ResizeBilinear(pictures), &[order, pixels, x]);
                }
                Format::Bytes(ResizeFilter::Pillow) => {
                    let op = ResizePillow(pictures);
                    let pixels = pixels(pictures.pixels());
                    let name = "weights of the resize".to_owned();
                    let tables = self.tensor(name, op.tables_layout(), Home::Tables);
                    self.node("input", op, &[order, pixels, tables, x]);
                }
            }
        }
        x
    }

    /// The halo that whoever reads layer `i`'s output wants.
    fn halo_after(&self, i: usize) -> usize {
        usize::from(matches!(self.layers.get(i + 1), Some((_, Layer::Conv { .. }))))
    }

    fn forward(&mut self, mut x: usize, pass: Pass, rate: f32) -> usize {
        let layers = self.layers;
        for (i, (name, layer)) in layers.iter().enumerate() {
            let mut saved = Saved { input: x, positions: 0, parameter: self.next };
            match *layer {
                Layer::Conv { input, output } => {
                    let op = ConvForward {
                        input: input.with_halo(1),
                        output: output.with_halo(self.halo_after(i)),
                    };
                    let layout = Layout::Filter { c: input.channels, k: output.channels };
                    let w = self.parameter(name, layout);
                    let y = self.map(name, "output", op.output);
                    self.node(name, op, &[x, w, y]);
                    x = y;
                }
                Layer::MaxPool { input, output } => {
                    let output = output.with_halo(self.halo_after(i));
                    let y = self.map(name, "output", output);
                    let layout = Layout::Positions(input.pooled());
                    saved.positions = self.arena(name, "positions", layout);
                    let op = MaxPoolForward { input, output };
                    self.node(name, op, &[x, y, saved.positions]);
                    x = y;
                }
                Layer::Dense { inputs, outputs, relu, .. } => {
                    let y = self.arena(name, "output", Layout::Rows(outputs));
                    for slice in slices(inputs, outputs, self.facts.max_binding) {
                        let w = self.parameter(name, slice.weights());
                        let op = DenseForward { slice, relu, images: self.images };
                        self.node(name, op, &[x, w, y]);
                    }
                    x = y;
                }
                Layer::Dropout { columns, index } => {
                    if pass == Pass::Train {
                        let op = DropoutForward { columns, layer: index, rate };
                        self.node(name, op, &[x]);
                    }
                }
            }
            self.saved.push(saved);
        }
        x
    }

    fn parameter(&mut self, layer: &str, layout: Layout) -> usize {
        let home = Home::Parameter(self.next);
        self.next += 1;
        self.tensor(format!("{layer} weights"), layout, home)
    }

    fn loss(&mut self, logits: usize, classes: usize, labels: usize, samples: usize) -> usize {
        let order = self.tensor("order".to_owned(), Layout::Words(samples), Home::Order);
        let known = self.tensor("labels".to_owned(), Layout::Words(labels), Home::Labels);
        let dlogits = self.arena("loss", "gradient", Layout::Rows(classes));
        let outcome = self.arena("loss", "outcome", Layout::Rows(2));
        let op = SoftmaxCrossEntropy { classes, samples, labels };
        self.node("loss", op, &[order, known, logits, dlogits, outcome]);
        let layout = Layout::Flat(METRIC_SLOTS * 4);
        let metrics = self.tensor("metrics".to_owned(), layout, Home::Metrics);
        self.node("loss", MetricsUpdate { slots: METRIC_SLOTS }, &[outcome, metrics]);
        dlogits
    }

    fn backward(&mut self, mut gradient: usize, rate: f32) {
        let layers = self.layers;
        for (i, (name, layer)) in layers.iter().enumerate().rev() {
            let saved = self.saved[i];
            match *layer {
                Layer::Dropout { columns, index } => {
                    let op = DropoutBackward { columns, layer: index, rate };
                    self.node(name, op, &[gradient]);
                }
                Layer::Dense { inputs, outputs, .. } => {
                    gradient = self.dense_backward(name, saved, gradient, inputs, outputs);
                }
                Layer::MaxPool { input, output } => {
                    // The convolution before it reads this gradient with a halo, unless it is the
                    // first, whose input needs no gradient.
                    let dx = input.with_halo(usize::from(i > 1));
                    let tensor = self.map(name, "input gradient", dx);
                    let op = MaxPoolBackward { dy: output, dx };
                    self.node(name, op, &[gradient, saved.positions, tensor]);
                    gradient = tensor;
                }
                Layer::Conv { input, output } => {
                    gradient = self.conv_backward(i, gradient, input, output);
                }
            }
        }
    }

    fn gradient_of(&mut self, layer: &str, parameter: usize, layout: Layout) -> usize {
        self.tensor(format!("{layer} weight gradient"), layout, Home::Gradient(parameter))
    }

    fn dense_backward(
        &mut self,
        name: &str,
        saved: Saved,
        dy: usize,
        inputs: usize,
        outputs: usize,
    ) -> usize {
        let x = saved.input;
        let slices = slices(inputs, outputs, self.facts.max_binding);
        for (i, &slice) in slices.iter().enumerate() {
            let grad = self.gradient_of(name, saved.parameter + i, slice.weights());
            self.node(name, DenseBackwardWeights { slice }, &[x, dy, grad]);
        }
        let dx = self.arena(name, "input gradient", Layout::Rows(inputs));
        for (i, &slice) in slices.iter().enumerate() {
            let home = Home::Parameter(saved.parameter + i);
            let w = self.tensor(String::new(), slice.weights(), home);
            let op = DenseBackwardData { slice, accumulate: i > 0, images: self.images };
            self.node(name, op, &[dy, w, x, dx]);
        }
        dx
    }

    fn conv_backward(
        &mut self,
        i: usize,
        dy: usize,
        input: FeatureMap,
        output: FeatureMap,
    ) -> usize {
        let name = &self.layers[i].0;
        let (c, k) = (input.channels, output.channels);
        let saved = self.saved[i];
        let first = i == 0;
        let dy_map = output.with_halo(usize::from(!first));
        let weights = ConvBackwardWeights::new(input.with_halo(1), dy_map, self.facts);
        let layout = Layout::Filter { c, k };
        let slots = weights.slots;
        let partial = self.arena(name, "partial sums", Layout::Flat(slots * layout.len(1)));
        self.node(name, weights, &[saved.input, dy, partial]);
        let grad = self.gradient_of(name, saved.parameter, layout);
        self.node(name, SumPartials { grad: layout, slots }, &[partial, grad]);
        if first {
            return dy;
        }
        let flipped = Layout::Flat(TAPS * padded(c) * padded(k));
        let flipped = self.arena(name, "flipped filters", flipped);
        let w = self.tensor(String::new(), layout, Home::Parameter(saved.parameter));
        self.node(name, ConvFilterFlip { c, k }, &[w, flipped]);
        // A convolution before this one reads the gradient with a halo, unless it is the first.
        let before_conv = matches!(self.layers[i - 1].1, Layer::Conv { .. });
        let dx_map = input.with_halo(usize::from(before_conv && i > 1));
        let dx = self.map(name, "input gradient", dx_map);
        let op = ConvBackwardData { dy: dy_map, dx: dx_map };
        self.node(name, op, &[dy, flipped, saved.input, dx]);
        dx
    }
}
