//! Choosing variants by measurement: every way to compute what a network computes, for its shapes.

use super::{Architecture, GraphError, NetworkOptions, SourceShape, operations};
use crate::gpu::AdapterFacts;
use crate::kernel::Variant;
use crate::ops::cost::seconds_of;
use crate::ops::{Choices, Way, task_key, ways_of};

/// Something that a network computes and that can be computed in several ways.
#[derive(Debug)]
pub struct TuneTask {
    /// What names it, see [`task_key`].
    pub key: String,
    /// The layers that have it.
    pub layers: Vec<String>,
    /// The variant that the cost model chooses.
    pub model: &'static str,
    /// Seconds that all its layers should take by the model.
    pub cost: f64,
    /// The ways to compute it.
    pub ways: Vec<Way>,
    /// Images of a launch.
    pub images: usize,
}

/// A variant that may compute a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its name.
    pub variant: &'static str,
    /// Seconds that it takes, with all that goes with it: transformed filters, sums of partial sums.
    pub seconds: Option<f64>,
    /// Why it may not be chosen.
    pub dropped: Option<Dropped>,
}

/// Why a candidate may not be chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Dropped {
    /// It takes this many times as long as the fastest on a share of the images, by which its time is
    /// told.
    Slow(f64),
    /// It is wrong or does not run here, for this reason.
    Unusable(String),
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// The place of the task.
    pub task: usize,
    /// All that can compute it.
    pub candidates: Vec<Candidate>,
    /// The one to take; `None` if there was something wrong with each of them.
    pub chosen: Option<&'static str>,
}

/// What a network runs on an adapter in more than one way, the longest first. In inference where
/// [`NetworkOptions::train`] is false.
///
/// # Errors
/// [`GraphError`] that tells what does not fit the adapter.
pub fn tune_tasks(
    architecture: &Architecture,
    options: &NetworkOptions,
    facts: &AdapterFacts,
) -> Result<Vec<TuneTask>, GraphError> {
    let images = super::plan(architecture, options, facts)?.micro_batch;
    let channels = architecture.input().channels;
    let source = SourceShape { count: 1, height: 1, width: 1, channels };
    let mut tasks: Vec<TuneTask> = Vec::new();
    for operation in operations(architecture, options, source, facts)? {
        let key = task_key(&*operation.op, images);
        if let Some(known) = tasks.iter_mut().find(|task| task.key == key) {
            known.layers.push(operation.layer);
            continue;
        }
        let model = Choices::default().name(&*operation.op, images, facts, &[])?;
        let ways = ways_of(operation.op, images, facts);
        let names = |way: &Way| way.variants(facts).into_iter().map(|v| v.name).collect();
        let names: Vec<Vec<_>> = ways.iter().map(names).collect();
        let of_model = names.iter().position(|names| names.contains(&model));
        let cost = of_model.map_or(0.0, |place| seconds_of(&ways[place], model, facts));
        if names.concat().len() > 1 {
            tasks.push(TuneTask { key, layers: vec![operation.layer], model, ways, images, cost });
        }
    }
    tasks.iter_mut().for_each(|task| task.cost *= task.layers.len() as f64);
    tasks.sort_by(|a, b| b.cost.total_cmp(&a.cost));
    Ok(tasks)
}

impl TuneTask {
    /// The variants that the adapter runs of all operations of all ways.
    pub fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let ops = self.ways.iter().flat_map(|way| &way.ops);
        let variants = ops.flat_map(|op| op.variants(facts));
        variants.filter(|variant| variant.supported.is_ok()).collect()
    }
}

impl Tuned {
    /// How many times as fast as the model's choice the chosen variant is; `None` where one of them
    /// was not timed.
    pub fn gain(&self, task: &TuneTask) -> Option<f64> {
        let seconds = |name| self.candidates.iter().find(|c| c.variant == name)?.seconds;
        Some(seconds(task.model)? / seconds(self.chosen?)?)
    }
}

/// The choices that measurements came to.
pub fn choices_of(tasks: &[TuneTask], tuned: &[Tuned]) -> Choices {
    let mut choices = Choices::default();
    for tuned in tuned {
        if let Some(chosen) = tuned.chosen {
            choices.set(tasks[tuned.task].key.clone(), chosen.to_owned());
        }
    }
    choices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterKind;

    #[test]
    fn every_layer_with_a_choice_is_in_one_task_and_the_longest_comes_first() {
        let network = Architecture::builder().table("1x16,2x32").unwrap();
        let network = network.input(1, 16, 16).hidden(vec![64]).classes(10).build().unwrap();
        let facts = AdapterFacts::example(AdapterKind::Software);
        let options = NetworkOptions { batch: 8, ..NetworkOptions::default() };
        let tasks = tune_tasks(&network, &options, &facts).unwrap();
        let costs: Vec<_> = tasks.iter().map(|task| task.cost).collect();
        assert!(costs.is_sorted_by(|a, b| a >= b), "{costs:?}");
        let find = |key: &str| tasks.iter().find(|task| task.key == key);
        // With the pooling after it.
        let first = find("conv_forward 16x16 1>16 n8").expect("the first convolution");
        assert_eq!((first.model, first.layers.len()), ("winograd_forward_2x2_shuffle", 1));
        let gradient = find("conv_backward_weights 16x16 1>16 n8").expect("its gradient");
        assert_eq!(gradient.model, "conv_backward_weights_shuffle");
        let second = find("conv_forward 8x8 32>32 n8").expect("the last convolution");
        assert_eq!(second.model, "winograd_forward_2x2_shuffle");
        let names = |way: &Way| way.variants(&facts).into_iter().map(|v| v.name).collect();
        let names: Vec<Vec<_>> = second.ways.iter().map(names).collect();
        assert_eq!(
            names.concat(),
            [
                "conv_forward_tiled",
                "conv_forward_shuffle",
                "winograd_forward_2x2_tiled",
                "winograd_forward_2x2_shuffle",
                "winograd_forward_4x4_tiled",
                "winograd_forward_4x4_shuffle",
            ]
        );
        // The first convolution's input needs no gradient; pooling can be computed in one way only.
        assert!(find("conv_backward_data 16x16 16>1 n8").is_none());
        assert!(tasks.iter().all(|task| !task.key.starts_with("maxpool")));
    }

    #[test]
    fn layers_of_one_shape_share_a_task() {
        let network = Architecture::builder().table("1x16,3x32").unwrap();
        let network = network.input(1, 16, 16).classes(10).build().unwrap();
        let facts = AdapterFacts::example(AdapterKind::Discrete);
        let options = NetworkOptions { batch: 4, train: false, ..NetworkOptions::default() };
        let tasks = tune_tasks(&network, &options, &facts).unwrap();
        let same = tasks.iter().find(|task| task.key == "conv_forward 8x8 32>32 n4").unwrap();
        assert_eq!(same.layers, ["block2.conv2", "block2.conv3"]);
        assert!(tasks.iter().all(|task| task.key.contains("_forward ")));
    }
}
