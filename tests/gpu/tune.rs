//! Variants are chosen among right ones only, and what was chosen is what runs.

use std::sync::Arc;
use std::time::Duration;

use vgg_wgpu::gpu::AdapterFacts;
use vgg_wgpu::graph::{Dropped, NetworkOptions, TuneTask, choices_of, tune, tune_tasks};
use vgg_wgpu::kernel::{Binding, Dim, Step, Variant};
use vgg_wgpu::ops::{Choices, ConvTask, Data, DenseForward, Dropout, Op, Optimizer, Slice, Way};

use crate::device;
use crate::networks::{Bench, tiny};

/// Time enough for all that these tests time.
const LIMIT: Duration = Duration::from_secs(600);

/// A dense layer with two variants more: one that is wrong and one that is none.
#[derive(Debug)]
struct Tempting(DenseForward);

impl Op for Tempting {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn bindings(&self) -> Vec<Binding> {
        self.0.bindings()
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let mut variants = self.0.variants(facts);
        let mut wrong = Variant { name: "dense_forward_wrong", ..variants[0].clone() };
        for (name, dim) in &mut wrong.dims {
            if *name == "relu" {
                *dim = Dim::U(0);
            }
        }
        let template = "fn main() { this is no WGSL }";
        variants.push(Variant { name: "dense_forward_broken", template, ..wrong.clone() });
        variants.push(wrong);
        variants
    }

    fn conv(&self) -> Option<ConvTask> {
        None
    }

    fn flop(&self, images: u64) -> u64 {
        self.0.flop(images)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        self.0.reference(step, buffers);
    }

    fn tolerance(&self, images: u64) -> f64 {
        self.0.tolerance(images)
    }
}

#[test]
fn a_wrong_variant_and_a_broken_one_are_dropped_with_the_reason() {
    let Some(devices) = device::open() else { return };
    let op =
        DenseForward { slice: Slice::whole(64, 96), relu: true, dropout: Dropout::NONE, images: 8 };
    let task = TuneTask {
        key: "dense".to_owned(),
        layers: vec!["dense1".to_owned()],
        model: "dense_forward_wrong",
        cost: 1.0,
        ways: vec![Way { ops: vec![Box::new(Tempting(op))] }],
        images: 8,
    };
    let tuned = tune(&devices.usual, &[task], LIMIT, |_| {}).unwrap().remove(0);
    let why = |name: &str| {
        let found = tuned.candidates.iter().find(|c| c.variant == name).unwrap();
        match found.dropped.clone() {
            Some(Dropped::Unusable(why)) => why,
            other => panic!("{name}: {other:?}"),
        }
    };
    let wrong = why("dense_forward_wrong");
    assert!(wrong.contains("wrong results of dense_forward_wrong"), "{wrong}");
    assert!(why("dense_forward_broken").contains("dense_forward_broken"));
    let chosen = tuned.chosen.expect("the others are right");
    assert!(["dense_forward_shuffle", "dense_forward_tiled"].contains(&chosen), "{chosen}");
    let of_chosen = tuned.candidates.iter().find(|c| c.variant == chosen).unwrap();
    assert!(of_chosen.seconds.is_some_and(|seconds| seconds > 0.0), "{of_chosen:?}");
}

#[test]
fn without_time_nothing_is_chosen() {
    let Some(devices) = device::open() else { return };
    let facts = devices.usual.gpu().facts();
    let options = NetworkOptions { batch: 3, ..NetworkOptions::default() };
    let tasks = tune_tasks(&tiny(0.0), &options, facts).unwrap();
    assert!(!tasks.is_empty());
    let tuned = tune(&devices.usual, &tasks, Duration::ZERO, |_| {}).unwrap();
    assert!(tuned.is_empty() && choices_of(&tasks, &tuned).is_empty());
}

#[test]
fn every_task_of_a_network_is_tuned_and_its_choice_runs() {
    let Some(devices) = device::open() else { return };
    let gpu = Arc::clone(devices.usual.gpu());
    let mut options =
        NetworkOptions { batch: 3, optimizer: Optimizer::sgd(0.9), ..NetworkOptions::default() };
    let tasks = tune_tasks(&tiny(0.0), &options, gpu.facts()).unwrap();
    let mut places = Vec::new();
    let tuned = tune(&devices.usual, &tasks, LIMIT, |place| places.push(place)).unwrap();
    assert_eq!(places, (0..tasks.len()).collect::<Vec<_>>());
    assert_eq!(tuned.len(), tasks.len());
    for (tuned, task) in tuned.iter().zip(&tasks) {
        let unusable =
            tuned.candidates.iter().filter(|c| matches!(c.dropped, Some(Dropped::Unusable(_))));
        assert_eq!(unusable.count(), 0, "{}: {tuned:?}", task.key);
        assert!(tuned.gain(task).is_some_and(|gain| gain >= 1.0), "{}: {tuned:?}", task.key);
    }
    assert_eq!(choices_of(&tasks, &tuned).len(), tasks.len());

    // Of each task the variant that the model would not choose.
    let mut choices = Choices::default();
    for (tuned, task) in tuned.iter().zip(&tasks) {
        let other = tuned.candidates.iter().rev().find(|c| c.variant != task.model).unwrap();
        choices.set(task.key.clone(), other.variant.to_owned());
    }
    options.choices = choices.clone();
    let Bench { network, train, .. } = Bench::new(&gpu, tiny(0.0), options, 1);
    let chosen = train.choices(&network);
    assert!(chosen.len() >= tasks.len(), "{chosen:?}");
    for found in chosen {
        assert_eq!(choices.get(&found.task), Some(found.variant.as_str()), "{}", found.layer);
    }
    // All of them together compute what they should.
    train.verify(&network, 1).unwrap();
}
