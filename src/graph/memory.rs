//! What a network needs in memory on an adapter, found from its graphs before anything is allocated.

use super::lower::{self, Graph, Home, METRIC_SLOTS, Pass, SourceShape};
use super::parameter;
use super::plan::{self, Budget, MemoryPlan};
use super::setting::Setting;
use super::source::{Format, Reads};
use super::update;
use super::{Architecture, GraphError, NetworkOptions, ResizeFilter};
use crate::gpu::AdapterFacts;
use crate::ops::DenseBackwardUpdate;

/// Makes the memory plan of a network on an adapter, without allocating anything.
///
/// # Errors
/// [`GraphError`] that tells what does not fit.
pub fn plan(
    architecture: &Architecture,
    options: &NetworkOptions,
    facts: &AdapterFacts,
) -> Result<MemoryPlan, GraphError> {
    let frozen = options.freeze_features;
    let parameters = |in_place| {
        let parameters = parameter::parameters(architecture, facts.max_binding, frozen, in_place);
        let places = plan::place_parameters(&parameters, facts);
        let bytes = |with: Vec<bool>| -> u64 {
            let with = places.buffers.iter().zip(with).filter(|(_, with)| *with);
            with.map(|(bytes, _)| bytes).sum()
        };
        let gradients = bytes(plan::buffers_of(&parameters, &places, |p| p.gradient));
        let trained = bytes(plan::buffers_of(&parameters, &places, |p| p.trained));
        let ranges = update::gradient_ranges(&parameters, &places, facts).len();
        (places.bytes(), gradients, trained, ranges)
    };
    let (bytes, gradients, trained, ranges) = parameters(false);
    let optimizer = &options.optimizer;
    let moments = if options.train { optimizer.form().moments() as u64 } else { 0 };
    let clips = options.train && optimizer.clip_norm.is_some();
    let graphs = |images| graphs(architecture, options, images, facts);
    let mut plan = MemoryPlan {
        micro_batch: 0,
        in_place: false,
        parameters: bytes,
        gradients: if options.train { gradients } else { 0 },
        moments: moments * trained,
        clip: if clips { update::clip_bytes(ranges) } else { 0 },
        statistics: plan::place_parameters(&parameter::statistics(architecture), facts).bytes(),
        arena: 0,
        arena_unshared: 0,
        metrics: METRIC_SLOTS as u64 * 16,
    };
    let (batch, micro_batch, memory) = (options.batch, options.micro_batch, options.memory);
    let normalises = architecture.batch_norm() && options.train && !frozen;
    let whole = normalises.then(|| options.ghost_batch.unwrap_or(batch));
    let budget = Budget { batch, micro_batch, whole, memory };
    let arena = |images| merged(&graphs(images), images, facts).iter().sum::<u64>();
    let too_large = |images: usize| {
        let graphs = graphs(images);
        let largest = graphs.iter().filter_map(|g| plan::exceeds_binding(g, images, facts));
        largest.max_by_key(|(_, bytes)| *bytes)
    };
    plan.micro_batch = plan::choose_micro_batch(&budget, plan.fixed(), facts, arena, too_large)?;
    plan.arena = arena(plan.micro_batch);
    plan.in_place = options.update_in_place
        && options.train
        && !clips
        && plan.micro_batch >= batch
        && DenseBackwardUpdate::suits(facts);
    if plan.in_place {
        let trained;
        (plan.parameters, plan.gradients, trained, _) = parameters(true);
        plan.moments = moments * trained;
    }
    let unshared = |graph: &Graph| {
        let tensors = graph.tensors.iter().filter(|tensor| tensor.home == Home::Arena);
        tensors.map(|tensor| tensor.layout.bytes(plan.micro_batch)).sum::<u64>()
    };
    plan.arena_unshared = graphs(plan.micro_batch).iter().map(unshared).max().unwrap_or(0);
    Ok(plan)
}

/// The graphs that share a network's arena, as read from a set of one image.
pub(super) fn graphs(
    architecture: &Architecture,
    options: &NetworkOptions,
    images: usize,
    facts: &AdapterFacts,
) -> Vec<Graph> {
    let shape =
        SourceShape { count: 1, height: 1, width: 1, channels: architecture.input().channels };
    // Whatever the images are, the arena holds what is made of them, and nothing else of theirs; not
    // even that where the first convolution resizes them, as it may in inference.
    let (bilinear, raw) = (Format::Bytes(ResizeFilter::Bilinear), Format::Raw);
    let infer = [(Pass::Infer, raw), (Pass::Infer, bilinear)];
    let explain = [(Pass::Explain, raw), (Pass::Explain, bilinear)];
    let explain = explain.into_iter().filter(|_| options.explain);
    let train = options.train.then_some((Pass::Train, raw));
    let lower = |(pass, format)| {
        let source = Reads { shape, format, augmentation: None, shards: &[(0, 1)] };
        // Updates in place or not, the arena is the same.
        lower::lower(&setting(architecture, options, pass, (images, false), facts), source)
    };
    infer.into_iter().chain(explain).chain(train).map(lower).collect()
}

pub(super) fn setting<'a>(
    network: &'a Architecture,
    options: &'a NetworkOptions,
    pass: Pass,
    (images, in_place): (usize, bool),
    facts: &'a AdapterFacts,
) -> Setting<'a> {
    let (frozen, variants) = (options.freeze_features, options.variants.as_slice());
    let (optimizer, choices) = (&options.optimizer, &options.choices);
    Setting { network, pass, frozen, in_place, optimizer, images, facts, variants, choices }
}

/// Sizes of the buffers in which any one of the graphs fits.
pub(super) fn merged(graphs: &[Graph], images: usize, facts: &AdapterFacts) -> Vec<u64> {
    let mut sizes = Vec::new();
    for graph in graphs {
        let arena = plan::place(graph, images, facts);
        sizes.resize(sizes.len().max(arena.buffers.len()), 0);
        for (size, &wanted) in sizes.iter_mut().zip(&arena.buffers) {
            *size = wanted.max(*size);
        }
    }
    sizes
}
