//! Grad-CAM against PyTorch in float64, and the gradient it is made of against the logits themselves.

use std::sync::Arc;

use vgg_wgpu::gpu::Gpu;
use vgg_wgpu::graph::{Batch, GraphError, Network, NetworkOptions, Pass};
use vgg_wgpu::ops::Optimizer;
use vgg_wgpu::shape::{Head, Layout, PANEL, panel_rows};
use vgg_wgpu::train::{self, Explanation, TrainError};

use crate::fixtures::{Case, Fixture, close};
use crate::networks::{self, Bench, IMAGES};
use crate::{device, oracle};

/// A case of the fixtures on a device, for inference.
fn network(case: &Case, gpu: &Arc<Gpu>, variants: &[String]) -> Network {
    let (batch, variants) = (case.images(), variants.to_vec());
    // Two images at a time, and one at last.
    let micro_batch = Some(2);
    let options = NetworkOptions {
        batch,
        micro_batch,
        train: false,
        explain: true,
        variants,
        ..Default::default()
    };
    let network = Network::new(Arc::clone(gpu), case.architecture.clone(), options).unwrap();
    train::load(&network, &oracle::model(case)).unwrap();
    network
}

fn values(explanations: &[Explanation], of: impl Fn(&Explanation) -> &[f32]) -> Vec<f64> {
    explanations
        .iter()
        .flat_map(|explanation| of(explanation).iter().map(|&v| f64::from(v)))
        .collect()
}

fn check(name: &str) {
    let Some(devices) = device::open() else { return };
    let (case, fixture) = (Case::read(name), Fixture::read("explain"));
    let usual = devices.usual.gpu();
    let mut runs: Vec<_> =
        oracle::choices(usual).into_iter().map(|variants| (usual, variants)).collect();
    // Winograd's convolutions are less exact on maps of a few pixels, which is no matter of this test.
    runs.retain(|(_, variants)| !variants.iter().any(|variant| variant.starts_with("winograd")));
    runs.extend([(usual, Vec::new()), (devices.checked.gpu(), Vec::new())]);
    for (gpu, variants) in runs {
        let network = network(&case, gpu, &variants);
        for (which, class) in [("likeliest", None), ("last", Some(case.classes() - 1))] {
            let found = train::explain(&network, oracle::source(&case, gpu), class).unwrap();
            let classes: Vec<f64> = found.iter().map(|found| found.class as f64).collect();
            let of = |what: &str| fixture.of(&format!("{name}.{which}.{what}"));
            assert_eq!(classes, of("class"), "{name}: {which}");
            let about = format!("{name} {which} {variants:?}");
            close(
                &values(&found, |found| &found.logits),
                &case.fixture.of("eval.logits"),
                "logits",
                &about,
            );
            close(&values(&found, |found| &found.weights), &of("weights"), "weights", &about);
            close(&values(&found, |found| &found.heat.values), &of("heat"), "heat", &about);
            if let Some(wanted) = fixture.get(&format!("{name}.{which}.enlarged")) {
                let large = found[0].heat.resized(case.side(), case.side());
                let large: Vec<f64> = large.values.into_iter().map(f64::from).collect();
                close(&large, &wanted, "enlarged", &about);
            }
        }
    }
}

macro_rules! cases {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

cases! { flatten odd bn bn_pool pool3 pool9 }

#[test]
fn every_case_of_the_fixture_has_a_test() {
    let mut cases: Vec<_> = Fixture::read("explain").names();
    cases.iter_mut().for_each(|name| name.truncate(name.find('.').expect("a case")));
    cases.sort();
    cases.dedup();
    let mut tested = TESTED.to_vec();
    tested.sort_unstable();
    assert_eq!(cases, tested);
}

/// Without biases, dense layers with ReLU are homogeneous: by Euler's theorem a logit is the sum over the
/// map of each value times the logit's derivative by it.
#[test]
fn the_logit_is_the_sum_of_the_features_times_its_gradient() {
    let Some(devices) = device::open() else { return };
    for (batch_norm, head) in
        [(false, Head::Flatten), (true, Head::Flatten), (false, Head::AvgPool7)]
    {
        // Made for training as well: what is updated in place or has momentum is no matter here.
        let options = NetworkOptions {
            batch: 6,
            micro_batch: Some(6),
            explain: true,
            optimizer: Optimizer::sgd(0.9),
            update_in_place: true,
            ..Default::default()
        };
        let architecture = networks::tiny_of(batch_norm, head);
        let classes = architecture.classes();
        let bench = Bench::new(devices.usual.gpu(), architecture, options, 5);
        let network = &bench.network;
        for (i, parameter) in network.parameters().iter().enumerate() {
            let Layout::Panels { inputs, .. } = parameter.layout else { continue };
            let mut stored = network.read_parameter(i).unwrap();
            for panel in stored.chunks_exact_mut(panel_rows(inputs) * PANEL) {
                panel[inputs * PANEL..].fill(0.0);
            }
            network.write_parameter(i, &stored).unwrap();
        }
        let source = Arc::clone(bench.infer.source());
        let labels: Vec<u32> = (0..IMAGES as u32).map(|i| i % classes as u32).collect();
        source.label(network.gpu(), &labels, &[]).unwrap();
        let program = network.bind(Pass::Explain, source).unwrap();
        let (first, count) = (10, 6);
        program.run(network, &Batch { first, count, ..Batch::default() }).unwrap();
        let logits = program.read_logits(network, count).unwrap();
        let found = program.read_explained(network, count).unwrap();
        assert_eq!(found.features.len(), count * found.map.len());
        let size = found.map.len();
        for n in 0..count {
            let own = n * size..(n + 1) * size;
            let pairs = found.features[own.clone()].iter().zip(&found.gradient[own.clone()]);
            let terms: Vec<f64> = pairs.map(|(&a, &g)| f64::from(a) * f64::from(g)).collect();
            let sum: f64 = terms.iter().sum();
            let scale: f64 = terms.iter().map(|term| term.abs()).sum();
            let logit = f64::from(logits[n * classes + labels[first + n] as usize]);
            assert!((sum - logit).abs() < 1e-5 * scale, "{head:?}: {sum}, not {logit} of {scale}");
            // Where a ReLU is shut the map has a gradient all the same.
            let shut = found.features[own.clone()].iter().zip(&found.gradient[own]);
            assert!(shut.clone().any(|(&a, &g)| a == 0.0 && g != 0.0), "{head:?}");
        }
    }
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let Some(devices) = device::open() else { return };
    let gpu = devices.usual.gpu();
    let options = NetworkOptions { batch: 4, ..Default::default() };
    let bench = Bench::new(gpu, networks::tiny(0.0), options.clone(), 1);
    let source = || Arc::clone(bench.infer.source());
    let refused = bench.network.bind(Pass::Explain, source());
    assert!(matches!(refused, Err(GraphError::NotForExplaining)));
    let refused = bench.infer.read_explained(&bench.network, 1);
    assert!(matches!(refused, Err(GraphError::NotForExplaining)));

    let bench =
        Bench::new(gpu, networks::tiny(0.0), NetworkOptions { explain: true, ..options }, 1);
    let source = Arc::clone(bench.infer.source());
    let refused = train::explain(&bench.network, source, Some(5));
    let Err(TrainError::Graph(GraphError::Label { label: 5, classes: 5, .. })) = refused else {
        panic!("{refused:?}")
    };
    // The plan tells of the memory.
    assert_eq!(bench.network.allocated_bytes(), bench.network.plan().bytes());
}
