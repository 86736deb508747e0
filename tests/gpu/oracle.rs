//! The same numbers as PyTorch in float64: logits, losses, every gradient, running statistics and 20
//! steps of SGD of the networks in `tests/oracle/fixtures`, for each kernel variant of a run.
//! `tests/oracle/README.md` tells what the files hold and how weights and images are drawn.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use vgg_wgpu::gpu::Gpu;
use vgg_wgpu::graph::{
    Batch, ImageSource, Network, NetworkOptions, Pass, Pixels, Program, SourceShape,
};
use vgg_wgpu::kernel::{Kernels, Step};
use vgg_wgpu::ops::{self, Data, Op as _, Optimizer, REGISTRY, Rule, SoftmaxCrossEntropy};
use vgg_wgpu::train;
use vgg_wgpu::weights::{ImportOptions, Model, Tensor, Values, recognise};

use crate::device;
use crate::fixtures::{
    CLOSE, Case, Fixture, below, close, close_to, folder, norm, projections, uniform,
};

/// Relative difference of each loss of 20 steps.
const CURVE: f64 = 1e-4;

const CASES: &[&str] =
    &["flatten", "odd", "bn", "bn_pool", "pool3", "pool9", "pool14", "early", "late", "late_bn"];

/// The weights of a case, recognised by their names and shapes.
pub fn model(case: &Case) -> Model {
    let (resize, head) = (Some(case.side()), Some(case.architecture.head()));
    let options = ImportOptions { resize, head, ..Default::default() };
    let mut model = recognise(case.tensors(), &options).unwrap().model;
    // Raw tensors are normalised already.
    model.description.preprocessing = Default::default();
    let found = train::architecture_of(&model.description).unwrap();
    assert_eq!(found.with_dropout(0.0), case.architecture, "{}", case.key);
    model.description.dropout = 0.0;
    model
}

pub fn source(case: &Case, gpu: &Gpu) -> Arc<ImageSource> {
    let (input, target) = case.batch();
    let [count, channels, height, width] = input.shape[..] else { panic!("{:?}", input.shape) };
    let shape = SourceShape { count, height, width, channels };
    let (Values::F32(values), Values::I64(targets)) = (&input.values, &target.values) else {
        panic!("floats and integers");
    };
    let targets: Vec<u32> = targets.iter().map(|&class| class as u32).collect();
    Arc::new(ImageSource::upload(gpu, shape, Pixels::Raw(values), &targets).unwrap())
}

/// What kernels of Winograd's filtering are allowed in place of [`CLOSE`]: they are forced onto maps of
/// a few pixels here, where sums are short and their additions weigh most.
const WINOGRAD: f64 = 5e-5;

/// A case on a device.
struct Run<'a> {
    case: &'a Case,
    network: Network,
    train: Program,
    infer: Program,
    /// How far results may be from PyTorch's.
    limit: f64,
}

impl<'a> Run<'a> {
    fn new(case: &'a Case, gpu: &Arc<Gpu>, variants: &[String], momentum: f64) -> Self {
        let batch = case.images();
        let (weight_decay, decay_all) = (case.number("weight_decay") as f32, true);
        let rule = Rule::Sgd { momentum: momentum as f32, nesterov: false };
        let optimizer = Optimizer { rule, weight_decay, decay_all, clip_norm: None };
        let variants = variants.to_vec();
        let options = NetworkOptions { batch, optimizer, variants, ..Default::default() };
        let network = Network::new(Arc::clone(gpu), case.architecture.clone(), options).unwrap();
        train::load(&network, &model(case)).unwrap();
        let source = source(case, gpu);
        let train = network.bind(Pass::Train, Arc::clone(&source)).unwrap();
        let infer = network.bind(Pass::Infer, source).unwrap();
        let names = &network.options().variants;
        let limit =
            if names.iter().any(|name| name.starts_with("winograd")) { WINOGRAD } else { CLOSE };
        Self { case, network, train, infer, limit }
    }

    /// Runs all images as one batch; returns their mean loss.
    fn step(&self, program: &Program, number: u32, rate: f64) -> f64 {
        let batch = Batch {
            count: self.case.images(),
            number,
            learning_rate: rate as f32,
            ..Batch::default()
        };
        program.run(&self.network, &batch).unwrap();
        let slot: Vec<f32> = self.network.gpu().read(&self.network.metrics_of(number)).unwrap();
        f64::from(slot[0]) / f64::from(slot[2])
    }

    fn logits(&self, program: &Program) -> Vec<f64> {
        let logits = program.read_logits(&self.network, self.case.images()).unwrap();
        logits.into_iter().map(f64::from).collect()
    }

    /// Forward in both modes, and all gradients.
    fn check_step(&self) {
        let (case, fixture) = (self.case, &self.case.fixture);
        self.step(&self.infer, 0, 0.0);
        close_to(
            self.limit,
            &self.logits(&self.infer),
            &fixture.of("eval.logits"),
            "eval.logits",
            &case.key,
        );
        let loss = self.step(&self.train, 0, 0.0);
        close_to(
            self.limit,
            &self.logits(&self.train),
            &fixture.of("train.logits"),
            "train.logits",
            &case.key,
        );
        close_to(self.limit, &[loss], &fixture.of("train.loss"), "train.loss", &case.key);
        let gradients = train::gradients_of(&self.network).unwrap();
        assert_eq!(gradients.len(), case.parameters().len());
        for (i, gradient) in gradients.iter().enumerate() {
            let (name, found) = (&gradient.name, floats(gradient));
            let before = (i > 0).then(|| floats(&gradients[i - 1]));
            self.check_gradient(name, &found, before.as_deref());
        }
        let model = train::model_of(&self.network, &Default::default()).unwrap();
        for tensor in model.tensors() {
            let wanted = fixture.get(&format!("after.{}", tensor.name));
            let buffer = tensor.name.contains("running_") || tensor.name.ends_with("tracked");
            assert_eq!(wanted.is_some(), buffer, "{}", tensor.name);
            if let Some(wanted) = wanted {
                close_to(self.limit, &floats(&tensor), &wanted, &tensor.name, &case.key);
            }
        }
    }

    fn check_gradient(&self, name: &str, found: &[f64], before: Option<&[f64]>) {
        let (case, fixture) = (self.case, &self.case.fixture);
        let place = format!("gradient.{name}");
        if let Some(wanted) = fixture.get(&place) {
            if wanted.iter().all(|&value| value == 0.0) {
                // A bias before a normalisation: compared with its weight's gradient.
                let weight = norm(before.expect("a weight comes before its bias"));
                assert!(
                    norm(found) <= self.limit * weight,
                    "{}: {place}: {}",
                    case.key,
                    norm(found)
                );
                return;
            }
            return close_to(self.limit, found, &wanted, &place, &case.key);
        }
        let wanted = fixture.of(&format!("{place}.projections"));
        let found = projections(&format!("{}/{place}.signs", case.key), found);
        let squares = found.iter().zip(&wanted).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let error = (squares / 16.0).sqrt() / fixture.of(&format!("{place}.norm"))[0];
        assert!(error <= self.limit, "{}: {place} differs by {error:.2e}", case.key);
    }

    fn check_curve(&self, run: &str) {
        let (case, rate) = (self.case, self.case.number("lr"));
        for (number, wanted) in (0..).zip(case.fixture.of(&format!("{run}.losses"))) {
            let loss = self.step(&self.train, number, rate);
            let error = (loss - wanted).abs() / wanted.abs();
            assert!(error <= CURVE, "{} {run}: loss {number} is {loss}, not {wanted}", case.key);
        }
        let model = train::model_of(&self.network, &Default::default()).unwrap();
        let tensors = model.tensors();
        let wanted = case.fixture.of(&format!("{run}.norms"));
        for ((name, _), wanted) in case.parameters().iter().zip(wanted) {
            let tensor = tensors.iter().find(|tensor| tensor.name == *name).expect("a parameter");
            let found = norm(&floats(tensor));
            let error = (found - wanted).abs() / wanted;
            assert!(error <= CURVE, "{} {run}: norm of {name}: {found}, not {wanted}", case.key);
        }
    }
}

fn floats(tensor: &Tensor<'_>) -> Vec<f64> {
    match &tensor.values {
        Values::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Values::I64(values) => values.iter().map(|&value| value as f64).collect(),
    }
}

/// Sets of variants to prefer that together run every variant that this adapter can: the usual one,
/// then for each kind of name the variants that end in it.
pub fn choices(gpu: &Gpu) -> Vec<Vec<String>> {
    let examples = REGISTRY.iter().flat_map(|entry| (entry.examples)());
    let variants = examples.flat_map(|op| op.variants(gpu.facts()));
    let supported = variants.filter(|variant| variant.supported.is_ok());
    let names: BTreeSet<_> = supported.map(|variant| variant.name).collect();
    // Kernels in workgroup memory; in registers; and of each kind Winograd's with either tile.
    let winograd = ["_2x2_tiled", "_4x4_tiled", "_2x2_shuffle", "_4x4_shuffle"];
    let kinds = [("", "_tiled"), ("", "_shuffle")].into_iter();
    let kinds = kinds.chain(winograd.map(|end| ("winograd", end))).map(|(start, end)| {
        let of_kind = names.iter().filter(|name| {
            let winograd = name.starts_with("winograd");
            name.starts_with(start) && name.ends_with(end) && winograd != start.is_empty()
        });
        of_kind.map(|name| (*name).to_owned()).collect::<Vec<_>>()
    });
    kinds.filter(|names| !names.is_empty()).collect()
}

fn check(name: &str) {
    let Some(devices) = device::open() else { return };
    let case = Case::read(name);
    let usual = devices.usual.gpu();
    for variants in choices(usual) {
        println!("{name}: {variants:?}");
        Run::new(&case, usual, &variants, 0.0).check_step();
    }
    Run::new(&case, devices.checked.gpu(), &[], 0.0).check_step();
    Run::new(&case, usual, &[], 0.0).check_curve("sgd");
    Run::new(&case, usual, &[], case.number("momentum")).check_curve("momentum");
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

cases! { flatten odd bn bn_pool pool3 pool9 pool14 early late late_bn }

#[test]
fn every_case_has_a_test() {
    assert_eq!(TESTED, CASES);
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    for path in names {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let fixture = Fixture::read(&name);
        if fixture.get("eval.logits").is_some() {
            assert!(CASES.contains(&name.as_str()), "{name} is compared with nothing");
        }
    }
}

#[test]
fn numbers_are_drawn_as_by_the_fixtures() {
    let fixture = Fixture::read("generator");
    let floats = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let bound = (6.0_f64 / 27.0).sqrt();
    assert_eq!(floats(uniform("test/uniform", 8, bound, 0.0)), fixture.of("uniform"));
    assert_eq!(floats(uniform("test/gamma", 8, 0.5, 1.0)), fixture.of("gamma"));
    let classes = below("test/below", 8, 10).into_iter().map(f64::from).collect::<Vec<_>>();
    assert_eq!(classes, fixture.of("below"));
    let values: Vec<f64> = (1..=8).map(f64::from).collect();
    assert_eq!(projections("test/signs", &values), fixture.of("projections"));
}

/// What `softmax_cross_entropy` makes of rows of ten logits: for each the loss and whether the label's
/// is the first of the largest, and the gradient of the mean loss.
fn cross_entropy(kernels: &Kernels, logits: &[f64], labels: &[f64]) -> (Vec<[f64; 2]>, Vec<f64>) {
    let images = labels.len();
    let op = SoftmaxCrossEntropy { classes: 10, samples: images, labels: images, mixup: false };
    let stored: Vec<f64> =
        logits.chunks_exact(10).flat_map(|row| row.iter().copied().chain([0.0; 2])).collect();
    let words = |values: Vec<u32>| Data::U(values);
    let given = [
        words((0..images as u32).collect()),
        words(labels.iter().flat_map(|&label| ops::label_words(label as u32, 1.0)).collect()),
        Data::F(stored),
        Data::F(vec![f64::NAN; 12 * images]),
        Data::F(vec![f64::NAN; 4 * images]),
    ];
    let given: Vec<&Data> = given.iter().collect();
    let loss_scale = 1.0 / images as f32;
    let step = Step { images: images as u32, loss_scale, ..Step::default() };
    let variant = &op.variants(kernels.gpu().facts())[0];
    let run = ops::Run { op: &op, variant, step: &step, kernels, storage: ops::Storage::Buffers };
    let found = run.run(&given).unwrap();
    let outcome = (0..images).map(|n| [found[4][4 * n], found[4][4 * n + 1]]).collect();
    let gradient = (0..10 * images).map(|i| found[3][i / 10 * 12 + i % 10]).collect();
    (outcome, gradient)
}

#[test]
fn cross_entropy_of_logits_far_apart_is_finite_and_right() {
    let Some(devices) = device::open() else { return };
    let fixture = Fixture::read("cross_entropy");
    let (logits, target) = (fixture.of("logits"), fixture.of("target"));
    assert!(logits.iter().any(|x| *x >= 9e3) && logits.iter().any(|x| *x <= -9e3));
    for kernels in [&devices.usual, &devices.checked] {
        let (outcome, gradient) = cross_entropy(kernels, &logits, &target);
        let losses: Vec<f64> = outcome.iter().map(|[loss, _]| *loss).collect();
        assert!(losses.iter().chain(&gradient).all(|value| value.is_finite()));
        close(&losses, &fixture.of("losses"), "losses", "cross_entropy");
        close(&gradient, &fixture.of("gradient"), "gradient", "cross_entropy");
    }
}

#[test]
fn hits_are_counted_with_ties_to_the_lowest_class() {
    let Some(devices) = device::open() else { return };
    let fixture = Fixture::read("cross_entropy");
    let (logits, target) = (fixture.of("top.logits"), fixture.of("top.target"));
    let (outcome, _) = cross_entropy(&devices.usual, &logits, &target);
    let ranks = fixture.of("top.rank");
    for (i, ([_, hit], rank)) in outcome.iter().zip(&ranks).enumerate() {
        assert_eq!(*hit == 1.0, *rank == 0.0, "row {i}: rank {rank}");
    }
    let hits: f64 = outcome.iter().map(|[_, hit]| hit).sum();
    assert_eq!(hits, fixture.of("top1")[0]);
    assert!(hits > 0.0 && hits < ranks.len() as f64);
}
