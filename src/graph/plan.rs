//! The memory plan: where each tensor of a step lives, made before anything is allocated.

use super::GraphError;
use super::lower::{Graph, Home};
use super::parameter::Parameter;
use crate::gpu::AdapterFacts;

/// A place in a chain of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which buffer.
    pub buffer: usize,
    /// Offset in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

/// Where things live: offsets in buffers of at most the adapter's size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arena {
    /// Sizes of the buffers in bytes.
    pub buffers: Vec<u64>,
    /// A place for each thing; `None` for what lives elsewhere.
    pub places: Vec<Option<Place>>,
}

impl Arena {
    /// Where parameter `i` lies; every parameter is placed.
    pub fn place(&self, i: usize) -> Place {
        self.places[i].expect("every parameter is placed")
    }

    /// All bytes.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().sum()
    }
}

/// One thing to be placed: its size and the steps, first and last, at which it must be intact.
#[derive(Debug, Clone, Copy)]
struct Span {
    index: usize,
    size: u64,
    words: bool,
    first: usize,
    last: usize,
}

/// True if a buffer of the arena holds words: these cannot lie in texels, so every other buffer is
/// theirs.
pub const fn holds_words(buffer: usize) -> bool {
    buffer % 2 == 1
}

/// Places the arena tensors of `graph` for `images` images: tensors whose lifetimes overlap do not
/// share memory, others may.
///
/// Method: greedy by size, each tensor at the lowest offset that is free for its lifetime
/// (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference",
/// arXiv:2001.03288, section 5.2), with no tensor across the end of a buffer.
pub fn place(graph: &Graph, images: usize, facts: &AdapterFacts) -> Arena {
    let mut spans = lifetimes(graph, images, facts.storage_alignment.max(16));
    spans.sort_by_key(|span| (std::cmp::Reverse(span.size), span.index));
    let mut arena = Arena { buffers: Vec::new(), places: vec![None; graph.tensors.len()] };
    let mut placed: Vec<(Span, Place)> = Vec::new();
    for span in spans {
        let most = if span.words { facts.max_buffer } else { facts.max_tensors };
        let place = (0..)
            .filter(|&buffer| holds_words(buffer) == span.words)
            .find_map(|buffer| lowest_free(&placed, &span, buffer, most))
            .unwrap_or(Place { buffer: usize::from(span.words), offset: 0, size: span.size });
        if arena.buffers.len() <= place.buffer {
            arena.buffers.resize(place.buffer + 1, 0);
        }
        let end = &mut arena.buffers[place.buffer];
        *end = (*end).max(place.offset + place.size);
        arena.places[span.index] = Some(place);
        placed.push((span, place));
    }
    arena
}

fn lifetimes(graph: &Graph, images: usize, align: u64) -> Vec<Span> {
    let mut spans: Vec<Option<Span>> = vec![None; graph.tensors.len()];
    for (step, node) in graph.nodes.iter().enumerate() {
        for &index in &node.tensors {
            let tensor = &graph.tensors[index];
            if tensor.home != Home::Arena {
                continue;
            }
            let size = tensor.layout.bytes(images).next_multiple_of(align);
            let words = tensor.layout.is_words();
            let new = Span { index, size, words, first: step, last: step };
            spans[index].get_or_insert(new).last = step;
        }
    }
    // What is read after the last operation.
    for result in graph.results() {
        if let Some(Some(span)) = spans.get_mut(result) {
            span.last = graph.nodes.len();
        }
    }
    spans.into_iter().flatten().collect()
}

/// The lowest offset in `buffer` at which `span` overlaps nothing that lives at the same time.
fn lowest_free(
    placed: &[(Span, Place)],
    span: &Span,
    buffer: usize,
    max_buffer: u64,
) -> Option<Place> {
    let alive = |other: &Span| other.first <= span.last && span.first <= other.last;
    let mut taken: Vec<Place> = placed
        .iter()
        .filter(|(other, place)| place.buffer == buffer && alive(other))
        .map(|(_, place)| *place)
        .collect();
    taken.sort_by_key(|place| place.offset);
    let mut offset = 0;
    for place in &taken {
        if offset + span.size <= place.offset {
            break;
        }
        offset = offset.max(place.offset + place.size);
    }
    let fits = offset + span.size <= max_buffer || taken.is_empty();
    fits.then_some(Place { buffer, offset, size: span.size })
}

/// Places the parameters one after another, those with gradients, or moments, in other buffers than
/// those without; gradients and moments have the same places in buffers of their own.
pub fn place_parameters(parameters: &[Parameter], facts: &AdapterFacts) -> Arena {
    let align = facts.tensor_alignment();
    let mut arena = Arena::default();
    let mut before = None;
    for parameter in parameters {
        let size = parameter.layout.bytes(1).next_multiple_of(align);
        let fits = |end: &u64| end + size <= facts.max_tensors;
        let kind = (parameter.trained, parameter.gradient);
        let other_kind = before.replace(kind) != Some(kind);
        if other_kind || !arena.buffers.last().is_some_and(fits) {
            arena.buffers.push(0);
        }
        let buffer = arena.buffers.len() - 1;
        let end = &mut arena.buffers[buffer];
        arena.places.push(Some(Place { buffer, offset: *end, size }));
        *end += size;
    }
    arena
}

/// For each buffer of `places` what is true of the parameters in it: that they are trained, or that
/// they have gradients.
pub fn buffers_of(
    parameters: &[Parameter],
    places: &Arena,
    is: impl Fn(&Parameter) -> bool,
) -> Vec<bool> {
    let mut with = vec![false; places.buffers.len()];
    for (parameter, place) in parameters.iter().zip(&places.places) {
        if let Some(place) = place {
            with[place.buffer] = is(parameter);
        }
    }
    with
}

/// The tensor of `graph` that needs most in one binding for `images` images, if that is more than
/// the adapter binds.
pub fn exceeds_binding(
    graph: &Graph,
    images: usize,
    facts: &AdapterFacts,
) -> Option<(String, u64)> {
    let sizes = graph.tensors.iter().map(|tensor| (&tensor.name, tensor.layout.bytes(images)));
    let (name, bytes) = sizes.max_by_key(|(_, bytes)| *bytes)?;
    (bytes > facts.max_binding).then(|| (name.clone(), bytes))
}

/// The memory of a network on an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Images in a micro-batch.
    pub micro_batch: usize,
    /// True if dense layers are updated as their gradients are computed: these are never stored.
    pub in_place: bool,
    /// Bytes of parameters.
    pub parameters: u64,
    /// Bytes of gradients of parameters.
    pub gradients: u64,
    /// Bytes of what the optimiser keeps of gradients.
    pub moments: u64,
    /// Bytes to find the norm of all gradients in, where they are clipped.
    pub clip: u64,
    /// Bytes of the running statistics of batch normalisations.
    pub statistics: u64,
    /// Bytes of the arena of activations, their gradients and partial sums.
    pub arena: u64,
    /// What the arena's tensors would take without sharing memory.
    pub arena_unshared: u64,
    /// Bytes of what stays: the metrics ring.
    pub metrics: u64,
}

impl MemoryPlan {
    /// All bytes planned, without the image sets.
    pub fn bytes(&self) -> u64 {
        self.fixed() + self.arena
    }

    /// Bytes that do not depend on the micro-batch.
    pub fn fixed(&self) -> u64 {
        let trained = self.gradients + self.moments + self.clip;
        self.parameters + trained + self.statistics + self.metrics
    }
}

/// What limits the choice of a micro-batch.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Images in a batch.
    pub batch: usize,
    /// The micro-batch the user wants.
    pub micro_batch: Option<usize>,
    /// Images that a batch normalisation takes statistics of, and that so cannot be cut.
    pub whole: Option<usize>,
    /// Bytes allowed in all.
    pub memory: Option<u64>,
}

/// Bytes of the arena that a micro-batch may take where the user sets no limit: larger ones bring
/// no speed.
const ARENA: u64 = 3 << 29;

/// The largest even cut of the batch whose tensors fit the adapter's bindings and the memory
/// allowed; with [`Budget::whole`] that number of images or none.
///
/// # Errors
/// [`GraphError`] that tells what one image would need, or how many images would fit.
pub fn choose_micro_batch(
    budget: &Budget,
    fixed: u64,
    facts: &AdapterFacts,
    arena_bytes: impl Fn(usize) -> u64,
    too_large: impl Fn(usize) -> Option<(String, u64)>,
) -> Result<usize, GraphError> {
    let allowed = budget.memory.unwrap_or(fixed + ARENA);
    let fits =
        |images: usize| too_large(images).is_none() && fixed + arena_bytes(images) <= allowed;
    let limit = |images: usize| match too_large(images) {
        Some((name, bytes)) => {
            format!("a binding ({name}: {bytes} bytes, {} offered)", facts.max_binding)
        }
        None => format!("the memory allowed ({allowed} bytes)"),
    };
    let batch = budget.batch.max(1);
    let wanted = budget.micro_batch.map(|wanted| wanted.clamp(1, batch));
    let largest = match budget.whole.map(|whole| whole.clamp(1, batch)) {
        Some(whole) => {
            if let Some(wanted) = wanted.filter(|&wanted| wanted != whole) {
                return Err(GraphError::CutStatistics { wanted, whole });
            }
            match (1..=whole).rev().find(|&images| fits(images)) {
                Some(largest) if largest < whole => {
                    let limit = limit(whole);
                    return Err(GraphError::WholeBatch { whole, largest, limit });
                }
                largest => largest,
            }
        }
        None => match wanted.filter(|&wanted| fits(wanted)) {
            None => (1..=batch).map(|parts| batch.div_ceil(parts)).find(|&images| fits(images)),
            wanted => wanted,
        },
    };
    match (largest, wanted) {
        (Some(largest), Some(wanted)) if largest != wanted => {
            Err(GraphError::MicroBatch { wanted, largest, limit: limit(wanted) })
        }
        (Some(largest), _) => Ok(largest),
        (None, _) => match too_large(1) {
            Some((tensor, bytes)) => Err(GraphError::Binding {
                tensor,
                bytes,
                limit: facts.max_binding,
                adapter: facts.name.clone(),
            }),
            None => Err(GraphError::Memory { needed: fixed + arena_bytes(1), fixed, allowed }),
        },
    }
}
