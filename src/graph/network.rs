//! A network's memory on a device.

use std::sync::Arc;

use super::explain::{self, Kept};
use super::lower::{self, Home, Pass};
use super::memory::{graphs, merged, plan, setting};
use super::parameter::{self, Parameter};
use super::plan::{self, Arena, MemoryPlan, Place};
use super::program::{Bound, Program};
use super::{Architecture, GraphError, ImageSource};
use crate::gpu::{Buffer, BufferRange, Gpu};
use crate::kernel::{Kernels, Variant};
use crate::ops::{Choices, Op, Optimizer};

/// How a [`Network`] is laid out.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// Images in a batch.
    pub batch: usize,
    /// Images in a micro-batch, or `None` to take the most that fits.
    pub micro_batch: Option<usize>,
    /// Bytes the network may take, or `None` for a default.
    pub memory: Option<u64>,
    /// True if it is to be trained: gradients get memory.
    pub train: bool,
    /// True if [`Pass::Explain`] is to be bound: the way back from the logits gets memory.
    pub explain: bool,
    /// What it learns by: what this keeps of gradients gets memory.
    pub optimizer: Optimizer,
    /// True if only dense layers are trained. Convolutions then run as in inference, batch
    /// normalisations with their running statistics, and have no backward pass.
    pub freeze_features: bool,
    /// Images that a batch normalisation takes the statistics of in training, or `None` for the
    /// whole batch (Hoffer et al., "Train longer, generalize better", arXiv:1705.08741, section 4).
    pub ghost_batch: Option<usize>,
    /// True if dense layers may be updated as their gradients are computed: where a batch is one
    /// micro-batch and the adapter gains by it. Their gradients are then never stored, and cannot be
    /// read.
    pub update_in_place: bool,
    /// Kernel variants to prefer, by name.
    pub variants: Vec<String>,
    /// Variants that were measured to be fastest, or that an earlier run took: for tasks of which
    /// [`variants`](Self::variants) names none.
    pub choices: Choices,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            batch: 128,
            micro_batch: None,
            memory: None,
            train: true,
            explain: false,
            optimizer: Optimizer::default(),
            freeze_features: false,
            ghost_batch: None,
            update_in_place: false,
            variants: Vec::new(),
            choices: Choices::default(),
        }
    }
}

/// A network with its parameters and working memory on a device.
#[derive(Debug)]
pub struct Network {
    pub(super) kernels: Kernels,
    pub(super) updates: Vec<Bound>,
    pub(super) metrics: Buffer,
    architecture: Architecture,
    pub(super) parameters: Vec<Parameter>,
    pub(super) places: Arena,
    pub(super) weights: Vec<Buffer>,
    /// For each buffer of weights, `None` where they are frozen or updated in place.
    pub(super) gradients: Vec<Option<Buffer>>,
    /// What the optimiser keeps, a moment after the other: for each buffer of weights, `None` where they
    /// are frozen.
    pub(super) moments: Vec<Vec<Option<Buffer>>>,
    /// Sums of squares of gradients, and the factor that comes of them, where gradients are clipped.
    pub(super) clip: Option<Buffer>,
    norms: Vec<Parameter>,
    norm_places: Arena,
    statistics: Vec<Buffer>,
    arena: Vec<Buffer>,
    plan: MemoryPlan,
    pub(super) options: NetworkOptions,
}

impl Network {
    /// Allocates a network: parameters, gradients and moments are zero.
    ///
    /// # Errors
    /// [`GraphError`] if it does not fit the adapter, or a kernel cannot be built.
    pub fn new(
        gpu: Arc<Gpu>,
        architecture: Architecture,
        options: NetworkOptions,
    ) -> Result<Self, GraphError> {
        let facts = gpu.facts().clone();
        let plan = plan(&architecture, &options, &facts)?;
        let frozen = options.freeze_features;
        let in_place = plan.in_place;
        let parameters = parameter::parameters(&architecture, facts.max_binding, frozen, in_place);
        let places = plan::place_parameters(&parameters, &facts);
        let norms = parameter::statistics(&architecture);
        let norm_places = plan::place_parameters(&norms, &facts);
        let sizes = merged(
            &graphs(&architecture, &options, plan.micro_batch, &facts),
            plan.micro_batch,
            &facts,
        );
        let all = |label: &str, sizes: &[u64]| -> Result<Vec<Buffer>, GraphError> {
            sizes.iter().map(|&size| Ok(gpu.tensors(label, size)?)).collect()
        };
        let like_weights = |label: &str, wanted: bool, of: fn(&Parameter) -> bool| {
            let with = plan::buffers_of(&parameters, &places, of);
            let buffer = |(&size, with)| {
                let buffer = (wanted && with).then(|| gpu.tensors(label, size)).transpose();
                buffer.map_err(GraphError::from)
            };
            places.buffers.iter().zip(with).map(buffer).collect::<Result<Vec<_>, _>>()
        };
        // What is updated in place, for a render pass.
        let in_place = plan::buffers_of(&parameters, &places, |p| p.trained && !p.gradient);
        let of_weights = |(&size, in_place)| match options.train && in_place {
            true => Ok(gpu.blocks("parameters", size)?),
            false => Ok(gpu.tensors("parameters", size)?),
        };
        let weights = places.buffers.iter().zip(in_place).map(of_weights);
        let weights = weights.collect::<Result<Vec<_>, GraphError>>()?;
        let gradients = like_weights("gradients", options.train, |p| p.gradient)?;
        let moments = if options.train { options.optimizer.form().moments() } else { 0 };
        let moments = (0..moments).map(|_| like_weights("moments", true, |p| p.trained));
        let moments = moments.collect::<Result<Vec<_>, _>>()?;
        let clip = (plan.clip > 0).then(|| gpu.tensors("clip", plan.clip)).transpose()?;
        let statistics = all("statistics", &norm_places.buffers)?;
        let of_arena = |(buffer, &size): (usize, &u64)| match plan::holds_words(buffer) {
            true => gpu.buffer("arena", size),
            false => gpu.tensors("arena", size),
        };
        let arena = sizes.iter().enumerate().map(of_arena).collect::<Result<_, _>>()?;
        let metrics = gpu.buffer("metrics", plan.metrics)?;
        let kernels = Kernels::new(Arc::clone(&gpu))?;
        let mut network = Self {
            kernels,
            updates: Vec::new(),
            metrics,
            architecture,
            parameters,
            places,
            weights,
            gradients,
            moments,
            clip,
            norms,
            norm_places,
            statistics,
            arena,
            plan,
            options,
        };
        network.updates = network.bind_updates()?;
        Ok(network)
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        self.kernels.gpu()
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// How it was asked to be laid out.
    pub fn options(&self) -> &NetworkOptions {
        &self.options
    }

    /// The memory plan it was allocated by.
    pub fn plan(&self) -> &MemoryPlan {
        &self.plan
    }

    /// Bytes of all buffers allocated for it; equal to the plan's.
    pub fn allocated_bytes(&self) -> u64 {
        let groups = [&self.weights, &self.statistics, &self.arena].into_iter().flatten();
        let trained = self.gradients.iter().chain(self.moments.iter().flatten()).flatten();
        let trained = trained.chain(&self.clip);
        groups.chain(trained).map(Buffer::size).sum::<u64>() + self.metrics.size()
    }

    /// The parameters in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Sets parameter `i` to stored values, paddings zero.
    ///
    /// # Errors
    /// [`GraphError::Length`] or [`GraphError::Gpu`].
    pub fn write_parameter(&self, i: usize, values: &[f32]) -> Result<(), GraphError> {
        check_length(&self.parameters[i], values)?;
        Ok(self.gpu().write(&self.weights_of(i), values)?)
    }

    /// Sets stored values of parameter `i` from the one at `at` on, and hands them to the device now: what
    /// is written in parts is not kept as a whole until the next submission. Where weights lie in blocks,
    /// a part begins with a panel.
    ///
    /// # Errors
    /// [`GraphError::Length`] or [`GraphError::Gpu`].
    pub fn write_parameter_part(
        &self,
        i: usize,
        at: usize,
        values: &[f32],
    ) -> Result<(), GraphError> {
        let (parameter, end) = (&self.parameters[i], at + values.len());
        if end > parameter.layout.len(1) {
            return Err(wrong_length(parameter, end));
        }
        let bytes = |count: usize| (count * size_of::<f32>()) as u64;
        let part = self.weights_of(i).part(bytes(at), bytes(values.len()));
        self.gpu().write(&part, values)?;
        Ok(self.gpu().flush()?)
    }

    /// The stored values of parameter `i`.
    ///
    /// # Errors
    /// [`GraphError::Gpu`] if the device fails.
    pub fn read_parameter(&self, i: usize) -> Result<Vec<f32>, GraphError> {
        Ok(self.gpu().read(&self.weights_of(i))?)
    }

    /// The gradient of parameter `i` from the last training step, stored like the parameter; `None`
    /// of a frozen one and of one that is updated in place.
    ///
    /// # Errors
    /// [`GraphError::NotForTraining`], or [`GraphError::Gpu`] if the device fails.
    pub fn read_gradient(&self, i: usize) -> Result<Option<Vec<f32>>, GraphError> {
        if !self.options.train {
            return Err(GraphError::NotForTraining);
        }
        let range = self.of_weights(&self.gradients, i);
        Ok(range.map(|range| self.gpu().read(&range)).transpose()?)
    }

    /// The batch normalisations in order, with the layout of their running statistics: mean, variance
    /// and number of batches, `(3, padded channels)`.
    pub fn norms(&self) -> &[Parameter] {
        &self.norms
    }

    /// Sets the running statistics of normalisation `i`.
    ///
    /// # Errors
    /// [`GraphError::Length`] or [`GraphError::Gpu`].
    pub fn write_statistics(&self, i: usize, values: &[f32]) -> Result<(), GraphError> {
        check_length(&self.norms[i], values)?;
        Ok(self.gpu().write(&self.statistics_of(i), values)?)
    }

    /// The running statistics of normalisation `i`.
    ///
    /// # Errors
    /// [`GraphError::Gpu`] if the device fails.
    pub fn read_statistics(&self, i: usize) -> Result<Vec<f32>, GraphError> {
        Ok(self.gpu().read(&self.statistics_of(i))?)
    }

    /// Binds a pass of the network to an image set.
    ///
    /// # Errors
    /// [`GraphError::Images`] if the images have other channels than the network, are too large to
    /// be resized, or are raw and of another size; [`GraphError::Label`] if a label is no class of
    /// the network; [`GraphError::NotForTraining`] if it is to train without gradients, and
    /// [`GraphError::NotForExplaining`] if it is to explain without memory for that; others if a
    /// kernel cannot be built.
    pub fn bind(&self, pass: Pass, source: Arc<ImageSource>) -> Result<Program, GraphError> {
        if pass == Pass::Train && !self.options.train {
            return Err(GraphError::NotForTraining);
        }
        if pass == Pass::Explain && !self.options.explain {
            return Err(GraphError::NotForExplaining);
        }
        source.check(&self.architecture)?;
        let facts = self.gpu().facts();
        let images = self.plan.micro_batch;
        let ranges = source.ranges();
        let setting =
            setting(&self.architecture, &self.options, pass, (images, self.plan.in_place), facts);
        let reads = source.reads(&ranges);
        let graph = lower::lower(&setting, reads);
        let words = source.tables(self.architecture.input());
        let tables = self.gpu().buffer("tables", words.len() as u64 * 4)?;
        self.gpu().write(&tables.whole(), &words)?;
        let arena = plan::place(&graph, images, facts);
        let range = |tensor: usize| match (graph.tensors[tensor].home, arena.places[tensor]) {
            (Home::Parameter(i), _) => self.weights_of(i),
            (Home::Gradient(i), _) => self.of_weights(&self.gradients, i).expect("it has one"),
            (Home::Moment(i, number), _) => {
                self.of_weights(&self.moments[number], i).expect("it has one")
            }
            (Home::Statistics(i), _) => self.statistics_of(i),
            (Home::Pixels(i), _) => source.shards[i].2.whole(),
            (Home::Tables, _) => tables.whole(),
            (Home::Order, _) => source.order.whole(),
            (Home::Labels, _) => source.labels.whole(),
            (Home::Draws, _) => source.draws().expect("a set that is augmented has them"),
            (Home::Metrics, _) => self.metrics.whole(),
            (Home::Arena, place) => {
                let place = place.expect("every arena tensor of a node is placed");
                let size = graph.tensors[tensor].layout.bytes(self.plan.micro_batch);
                self.arena[place.buffer].whole().part(place.offset, size)
            }
        };
        let logits = range(graph.logits);
        let explained = graph.explained.map(|explain::Tensors { map, features, gradient }| Kept {
            map,
            features: range(features),
            gradient: range(gradient),
        });
        let mut wanted = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let buffers: Vec<BufferRange> = node.tensors.iter().map(|&t| range(t)).collect();
            wanted.push((self.choose(&*node.op)?, node.op.bindings(), buffers));
        }
        self.kernels.compile_all(&wanted)?;
        let mut bound = Vec::with_capacity(graph.nodes.len());
        for (node, (.., buffers)) in graph.nodes.into_iter().zip(&wanted) {
            bound.push(self.bound(node.layer, node.op, buffers)?);
        }
        let micro_batch = self.plan.micro_batch;
        Ok(Program { pass, bound, source, logits, explained, micro_batch })
    }

    pub(super) fn choose(&self, op: &dyn Op) -> Result<Variant, GraphError> {
        let Self { options, plan, .. } = self;
        let (facts, images) = (self.gpu().facts(), plan.micro_batch);
        Ok(options.choices.variant(op, images, facts, &options.variants)?)
    }

    pub(super) fn bound(
        &self,
        layer: String,
        op: Box<dyn Op>,
        buffers: &[BufferRange],
    ) -> Result<Bound, GraphError> {
        let variant = self.choose(&*op)?;
        let launch = self.kernels.launch(&variant, &op.bindings(), buffers)?;
        Ok(Bound { layer, op, launch })
    }

    pub(super) fn weights_of(&self, parameter: usize) -> BufferRange {
        let place = self.places.place(parameter);
        range(&self.weights[place.buffer], place, &self.parameters[parameter])
    }

    /// What belongs to a parameter in buffers like those of the weights.
    pub(super) fn of_weights(
        &self,
        buffers: &[Option<Buffer>],
        parameter: usize,
    ) -> Option<BufferRange> {
        let place = self.places.place(parameter);
        let buffer = buffers[place.buffer].as_ref()?;
        Some(range(buffer, place, &self.parameters[parameter]))
    }

    fn statistics_of(&self, norm: usize) -> BufferRange {
        let place = self.norm_places.place(norm);
        range(&self.statistics[place.buffer], place, &self.norms[norm])
    }
}

fn range(buffer: &Buffer, place: Place, parameter: &Parameter) -> BufferRange {
    buffer.whole().part(place.offset, parameter.layout.bytes(1))
}

pub(super) fn check_length(parameter: &Parameter, values: &[f32]) -> Result<(), GraphError> {
    match values.len() {
        found if found == parameter.layout.len(1) => Ok(()),
        found => Err(wrong_length(parameter, found)),
    }
}

fn wrong_length(parameter: &Parameter, found: usize) -> GraphError {
    let (name, expected) = (parameter.layer.clone(), parameter.layout.len(1));
    GraphError::Length { name, expected, found }
}
