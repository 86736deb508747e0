//! From layers to operations on tensors: the forward, loss and backward passes of a micro-batch.

use super::parameter::slices;
use super::setting::Setting;
use super::source::Reads;
use super::{Layer, explain, input};
use crate::ops::{
    self, AvgPoolForward, BatchNormFold, BatchNormForward, BatchNormMoments, BatchNormStatistics,
    ConvForward, DenseForward, Dropout, FillHalo, MaxPoolForward, MetricsUpdate, Op, Pictures,
    SoftmaxCrossEntropy, WinogradFilter, WinogradForward, WinogradPictures,
};
use crate::shape::{FeatureMap, Layout};

/// Batches whose metrics are kept on the device before the first is overwritten.
pub const METRIC_SLOTS: usize = 256;

/// What a graph is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Forward with dropout, loss, backward.
    Train,
    /// Forward without dropout, loss.
    Infer,
    /// Forward without dropout, then back from the logit of each image's label to the last pooled map.
    Explain,
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
    /// What the optimiser keeps of their gradients, and which of its moments it is.
    Moment(usize, usize),
    /// The running statistics of the batch normalisation with this number.
    Statistics(usize),
    /// A shard of the image set.
    Pixels(usize),
    /// The weights of Pillow's filter.
    Tables,
    /// The order of samples.
    Order,
    /// The labels of the image set.
    Labels,
    /// What is drawn for the images of a batch.
    Draws,
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
    /// What [`Pass::Explain`] leaves.
    pub explained: Option<explain::Tensors>,
}

impl Graph {
    /// The tensors that are read after the last operation.
    pub fn results(&self) -> impl Iterator<Item = usize> + use<> {
        let explained = self.explained.map(|tensors| [tensors.features, tensors.gradient]);
        [self.logits].into_iter().chain(explained.into_iter().flatten())
    }
}

/// Builds the graph of a pass, with kernels made for launches of `setting.images` images.
pub fn lower(setting: &Setting<'_>, source: Reads<'_>) -> Graph {
    // Only training changes its images.
    let augmentation = source.augmentation.filter(|_| setting.pass == Pass::Train);
    let source = Reads { augmentation, ..source };
    let network = setting.network;
    let layers = network.layers();
    let (graph, saved) = (Graph::default(), Vec::new());
    let pictures = input::read_by_convolution(setting, &layers, source);
    let mut lowering =
        Lowering { graph, setting, layers: &layers, pictures, saved, next: 0, norms: 0 };
    let x = lowering.input(source);
    let logits = lowering.forward(x);
    match setting.pass {
        Pass::Train => {
            let dlogits = lowering.loss(logits, network.classes(), source);
            lowering.backward(dlogits);
        }
        Pass::Infer => _ = lowering.loss(logits, network.classes(), source),
        Pass::Explain => {
            let dlogits = lowering.one_hot(network.classes(), source);
            lowering.graph.explained = Some(lowering.explain(dlogits));
        }
    }
    lowering.graph.logits = logits;
    lowering.graph
}

/// A graph that grows.
pub(super) struct Lowering<'a> {
    pub graph: Graph,
    pub setting: &'a Setting<'a>,
    pub layers: &'a [(String, Layer)],
    /// The images, where the first convolution resizes them as it reads: its input is their pixels.
    pub pictures: Option<Pictures>,
    /// For each layer what its backward pass needs.
    pub saved: Vec<Saved>,
    /// The next parameter, and the next running statistics.
    next: usize,
    norms: usize,
}

/// What the forward pass of a layer leaves to its backward pass.
#[derive(Clone, Copy)]
pub(super) struct Saved {
    /// The tensor it read.
    pub input: usize,
    /// Pooling: where the maxima were. Batch normalisation: mean and deviation.
    pub extra: usize,
    /// The first of its parameters.
    pub parameter: usize,
}

impl Lowering<'_> {
    pub(super) fn tensor(&mut self, name: String, layout: Layout, home: Home) -> usize {
        let known = |tensor: &Tensor| tensor.home == home && home != Home::Arena;
        if let Some(place) = self.graph.tensors.iter().position(known) {
            return place;
        }
        self.graph.tensors.push(Tensor { name, layout, home });
        self.graph.tensors.len() - 1
    }

    pub(super) fn arena(&mut self, layer: &str, what: &str, layout: Layout) -> usize {
        self.tensor(format!("{layer} {what}"), layout, Home::Arena)
    }

    pub(super) fn node(&mut self, layer: &str, op: impl Op + 'static, tensors: &[usize]) {
        let layer = layer.to_owned();
        self.graph.nodes.push(Node { layer, op: Box::new(op), tensors: tensors.to_vec() });
    }

    /// A map in the arena; its halo is zeroed first, since the memory held something else before.
    pub(super) fn map(&mut self, layer: &str, what: &str, map: FeatureMap) -> usize {
        let tensor = self.arena(layer, what, Layout::Map(map));
        if map.halo > 0 {
            self.node(layer, FillHalo { map }, &[tensor]);
        }
        tensor
    }

    /// The halo that whoever reads layer `i`'s output wants.
    fn halo_after(&self, i: usize) -> usize {
        usize::from(matches!(self.layers.get(i + 1), Some((_, Layer::Conv { .. }))))
    }

    fn forward(&mut self, mut x: usize) -> usize {
        let layers = self.layers;
        // Where the maxima were, of a pooling that the convolution before it has done.
        let mut pooled = None;
        for (i, (name, layer)) in layers.iter().enumerate() {
            let mut saved = Saved { input: x, extra: 0, parameter: self.next };
            match *layer {
                Layer::Conv { .. } => (x, pooled) = self.conv(i, x),
                Layer::BatchNorm { map } => {
                    let norm = self.parameter(name, Layout::Norm { c: map.channels });
                    if self.setting.normalises() {
                        let y = map.with_halo(self.halo_after(i));
                        (x, saved.extra) = self.batch_norm(name, x, norm, map, y);
                    }
                }
                Layer::MaxPool { input, output } => match pooled.take() {
                    Some(positions) => saved.extra = positions,
                    None => {
                        let output = output.with_halo(self.halo_after(i));
                        let y = self.map(name, "output", output);
                        let layout = Layout::Positions(output);
                        saved.extra = self.arena(name, "positions", layout);
                        let op = MaxPoolForward { input, output };
                        self.node(name, op, &[x, y, saved.extra]);
                        x = y;
                    }
                },
                Layer::AvgPool { input, output } => {
                    let y = self.map(name, "output", output);
                    self.node(name, AvgPoolForward { x: input, y: output }, &[x, y]);
                    x = y;
                }
                Layer::Dense { inputs, outputs, relu, .. } => {
                    let y = self.arena(name, "output", Layout::Rows(outputs));
                    let dropout = self.dropout(i + 1);
                    for slice in slices(inputs, outputs, self.setting.facts.max_binding) {
                        let w = self.parameter(name, slice.weights());
                        let op = DenseForward { slice, relu, dropout, images: self.setting.images };
                        self.node(name, op, &[x, w, y]);
                    }
                    x = y;
                }
                // Done by the dense layer before it.
                Layer::Dropout { .. } => {}
            }
            self.saved.push(saved);
        }
        x
    }

    /// The dropout of layer `i`: in training and if it is one.
    pub(super) fn dropout(&self, i: usize) -> Dropout {
        match self.layers.get(i) {
            Some((_, Layer::Dropout { index, .. })) if self.setting.pass == Pass::Train => {
                Dropout { layer: *index, rate: self.setting.network.dropout() }
            }
            _ => Dropout::NONE,
        }
    }

    /// Convolution `i`; where a batch normalisation follows that does not learn, both as one, and
    /// where a pooling follows, that as well if the kernel can: then with the positions of maxima.
    fn conv(&mut self, i: usize, x: usize) -> (usize, Option<usize>) {
        let (name, Layer::Conv { input, output, relu }) = &self.layers[i] else { return (x, None) };
        let (input, folds) = (input.with_halo(1), !*relu && !self.setting.normalises());
        let w = match folds {
            true => self.folded(name, input.channels, output.channels),
            false => self.parameter(name, Layout::Filter { c: input.channels, k: output.channels }),
        };
        let (last, relu) = if folds { (i + 1, true) } else { (i, *relu) };
        let pool = match self.layers.get(last + 1) {
            Some((_, Layer::MaxPool { output, .. })) => Some(*output),
            _ => None,
        };
        let choice = self.setting.forward_tile(input, *output, pool.is_some());
        let (last, output, pool) = match (choice, pool) {
            (Some((_, true)), Some(pooled)) => (last + 1, pooled, true),
            _ => (last, *output, false),
        };
        let output = output.with_halo(self.halo_after(last));
        let y = self.map(name, "output", output);
        let Some((tile, _)) = choice else {
            self.node(name, ConvForward { input, output, relu }, &[x, w, y]);
            return (y, None);
        };
        let (c, k) = (input.channels, output.channels);
        let u = self.arena(name, "transformed filters", tile.filters(c, k));
        self.node(name, WinogradFilter { c, k, tile, flip: false }, &[w, u]);
        if let (0, Some(pictures)) = (i, self.pictures) {
            let order = self.order(pictures.shard.samples);
            let op = WinogradPictures { pictures, output, relu, pool };
            self.node(name, op, &[order, x, u, y]);
            // Of inference: nobody reads positions.
            return (y, pool.then_some(y));
        }
        let op = WinogradForward { input, output, relu, tile, pool };
        let positions = self.arena(name, "positions", op.positions());
        self.node(name, op, &[x, u, x, y, positions]);
        (y, pool.then_some(positions))
    }

    /// Filters with the batch normalisation after them.
    fn folded(&mut self, name: &str, c: usize, k: usize) -> usize {
        let layout = Layout::Filter { c, k };
        let w = self.parameter(name, layout);
        let norm = self.tensor(String::new(), Layout::Norm { c: k }, Home::Parameter(self.next));
        let statistics = self.statistics(name, k);
        let folded = self.arena(name, "folded filters", layout);
        self.node(name, BatchNormFold { c, k }, &[w, norm, statistics, folded]);
        folded
    }

    /// Batch normalisation of `x` by the batch's own statistics; returns the result and the moments.
    fn batch_norm(
        &mut self,
        name: &str,
        x: usize,
        norm: usize,
        map: FeatureMap,
        output: FeatureMap,
    ) -> (usize, usize) {
        let slots = ops::slots(map, self.setting.facts);
        let layout = Layout::Flat(slots * ops::moments(map).len(1));
        let partial = self.arena(name, "partial moments", layout);
        self.node(name, BatchNormMoments { x: map, slots }, &[x, partial]);
        let statistics = self.statistics(name, map.channels);
        let moments = self.arena(name, "moments", ops::moments(map));
        let op = BatchNormStatistics { x: map, slots };
        self.node(name, op, &[partial, statistics, moments]);
        let y = self.map(name, "output", output);
        self.node(name, BatchNormForward { x: map, y: output }, &[x, norm, moments, y]);
        (y, moments)
    }

    fn statistics(&mut self, layer: &str, channels: usize) -> usize {
        let home = Home::Statistics(self.norms);
        self.norms += 1;
        self.tensor(format!("{layer} statistics"), ops::statistics(channels), home)
    }

    fn parameter(&mut self, layer: &str, layout: Layout) -> usize {
        let home = Home::Parameter(self.next);
        self.next += 1;
        self.tensor(format!("{layer} weights"), layout, home)
    }

    fn loss(&mut self, logits: usize, classes: usize, source: Reads<'_>) -> usize {
        let (labels, samples) = (source.shape.count, source.shape.count);
        let mixup = source.augmentation.is_some_and(|augmentation| augmentation.mixup > 0.0);
        let order = self.order(samples);
        let known = self.labels(labels);
        let dlogits = self.arena("loss", "gradient", Layout::Rows(classes));
        let outcome = self.arena("loss", "outcome", Layout::Rows(2));
        let op = SoftmaxCrossEntropy { classes, samples, labels, mixup };
        let mut tensors = vec![order, known, logits, dlogits, outcome];
        if mixup {
            tensors.push(self.draws(samples));
        }
        self.node("loss", op, &tensors);
        let layout = Layout::Flat(METRIC_SLOTS * 4);
        let metrics = self.tensor("metrics".to_owned(), layout, Home::Metrics);
        self.node("loss", MetricsUpdate { slots: METRIC_SLOTS }, &[outcome, metrics]);
        dlogits
    }

    /// The labels of a set of `images`, with what each weighs.
    pub(super) fn labels(&mut self, images: usize) -> usize {
        self.tensor("labels".to_owned(), Layout::Words(2 * images), Home::Labels)
    }
}
