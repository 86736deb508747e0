//! The same numbers as PyTorch in float64: logits, losses, every gradient, running statistics and 20
//! steps of SGD of the networks in `tests/oracle/fixtures`, for each kernel variant of a run.
//! `tests/oracle/README.md` tells what the files hold and how weights and images are drawn.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;
use vgg_wgpu::gpu::Gpu;
use vgg_wgpu::graph::{
    Architecture, Batch, ImageSource, Network, NetworkOptions, Pass, Pixels, Program, SourceShape,
};
use vgg_wgpu::ops::REGISTRY;
use vgg_wgpu::shape::Head;
use vgg_wgpu::train;
use vgg_wgpu::weights::{ImportOptions, Model, Tensor, Values, recognise};

use crate::device;

/// Relative norm of the difference of logits and gradients.
const CLOSE: f64 = 1e-5;
/// Relative difference of each loss of 20 steps.
const CURVE: f64 = 1e-4;

const CASES: &[&str] = &[
    "flatten", "odd", "bn", "bn_pool", "pool3", "pool9", "pool14", "early", "late", "late_bn",
];

/// A file of fixtures.
pub struct Fixture {
    bytes: Vec<u8>,
}

impl Fixture {
    pub fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/fixtures");
        let path = folder.join(format!("{name}.safetensors"));
        Self { bytes: fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())) }
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("a fixture is safetensors")
    }

    /// An entry of the metadata, as JSON.
    pub fn metadata(&self, key: &str) -> Value {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).expect("a header");
        let entries = header.metadata().as_ref().expect("metadata");
        serde_json::from_str(&entries[key]).expect("JSON")
    }

    /// A tensor's values, if there is one of this name.
    pub fn get(&self, name: &str) -> Option<Vec<f64>> {
        let file = self.file();
        let view = file.tensor(name).ok()?;
        let data = view.data();
        Some(match view.dtype() {
            Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::F32 => {
                data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
            }
            Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
            Dtype::U8 => data.iter().map(|&b| f64::from(b)).collect(),
            other => panic!("{name} holds {other:?}"),
        })
    }

    /// A tensor's values.
    pub fn of(&self, name: &str) -> Vec<f64> {
        self.get(name).unwrap_or_else(|| panic!("no tensor {name}"))
    }
}

/// The random words of a key: FNV-1a, then SplitMix64.
pub fn words(key: &str) -> impl Iterator<Item = u64> + use<> {
    let byte = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let mut state = key.bytes().fold(0xcbf2_9ce4_8422_2325, byte);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

fn uniform(key: &str, count: usize, bound: f64, centre: f64) -> Vec<f32> {
    // An odd number below 2^24, which f32 holds exactly.
    let unit = |word: u64| (2 * (word >> 40) as i64 + 1 - (1 << 24)) as f32 / 16_777_216.0;
    let (bound, centre) = (bound as f32, centre as f32);
    words(key).take(count).map(|word| centre + bound * unit(word)).collect()
}

fn below(key: &str, count: usize, n: u64) -> Vec<u32> {
    words(key).take(count).map(|word| ((word >> 40) % n) as u32).collect()
}

/// Sums of the values times the 16 random signs of each place.
fn projections(key: &str, values: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; 16];
    for (word, value) in words(key).zip(values) {
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum += if word >> (48 + j) & 1 == 1 { -value } else { *value };
        }
    }
    sums
}

/// A network of the fixtures.
struct Case {
    fixture: Fixture,
    key: String,
    about: Value,
    architecture: Architecture,
}

impl Case {
    fn read(name: &str) -> Self {
        let fixture = Fixture::read(name);
        let about = fixture.metadata("case");
        let number = |value: &Value| value.as_u64().unwrap() as usize;
        let numbers = |key: &str| -> Vec<usize> {
            about[key].as_array().unwrap().iter().map(number).collect()
        };
        let input = numbers("input");
        let head = if about["head"] == "avgpool7" { Head::AvgPool7 } else { Head::Flatten };
        let architecture = Architecture::builder()
            .table(about["blocks"].as_str().unwrap())
            .unwrap()
            .batch_norm(about["batch_norm"].as_bool().unwrap())
            .head(head)
            .hidden(numbers("hidden"))
            .classes(number(&about["classes"]))
            .input(input[0], input[1], input[2])
            .dropout(0.0)
            .build()
            .unwrap();
        let key = format!("{name}#{}", about["salt"]);
        Self { fixture, key, about, architecture }
    }

    fn number(&self, key: &str) -> f64 {
        self.about[key].as_f64().unwrap_or_else(|| panic!("{key} is no number"))
    }

    fn images(&self) -> usize {
        self.number("images") as usize
    }

    /// Names and shapes of all parameters.
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let list = |key: &str| self.about[key].as_array().unwrap();
        let shape = |shape: &Value| -> Vec<usize> {
            shape.as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize).collect()
        };
        let names = list("parameters").iter().map(|name| name.as_str().unwrap().to_owned());
        names.zip(list("shapes").iter().map(shape)).collect()
    }

    /// The weights, recognised by their names and shapes.
    fn model(&self) -> Model {
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: Vec<usize>, bound: f64, centre: f64| {
            let key = format!("{}/{name}", self.key);
            let values = uniform(&key, shape.iter().product(), bound, centre);
            tensors.push(Tensor { name, shape, values: Values::F32(values.into()) });
        };
        for (name, shape) in self.parameters() {
            match (shape.len(), name.strip_suffix(".weight")) {
                (1, Some(norm)) => {
                    let norm = norm.to_owned();
                    add(format!("{norm}.running_mean"), shape.clone(), 0.25, 0.0);
                    add(format!("{norm}.running_var"), shape.clone(), 0.5, 1.0);
                    add(name, shape, 0.5, 1.0);
                }
                (1, None) => add(name, shape, 0.25, 0.0),
                _ => {
                    let fan_in: usize = shape[1..].iter().product();
                    add(name, shape, (6.0 / fan_in as f64).sqrt(), 0.0);
                }
            }
        }
        let side = self.architecture.input().height;
        let head = Some(self.architecture.head());
        let options = ImportOptions { resize: Some(side), head, ..Default::default() };
        let mut model = recognise(tensors, &options).unwrap().model;
        // Raw tensors are normalised already.
        model.description.preprocessing = Default::default();
        let found = train::architecture_of(&model.description).unwrap();
        assert_eq!(found.with_dropout(0.0), self.architecture, "{}", self.key);
        model.description.dropout = 0.0;
        model
    }

    fn source(&self, gpu: &Gpu) -> Arc<ImageSource> {
        let (count, input) = (self.images(), self.architecture.input());
        let (channels, height, width) = (input.channels, input.height, input.width);
        let shape = SourceShape { count, height, width, channels };
        let key = |tensor: &str| format!("{}/{tensor}", self.key);
        let values = uniform(&key("input"), count * channels * height * width, 1.0, 0.0);
        let targets = below(&key("target"), count, self.architecture.classes() as u64);
        Arc::new(ImageSource::upload(gpu, shape, Pixels::Raw(&values), &targets).unwrap())
    }
}

/// A case on a device.
struct Run<'a> {
    case: &'a Case,
    network: Network,
    train: Program,
    infer: Program,
}

impl<'a> Run<'a> {
    fn new(case: &'a Case, gpu: &Arc<Gpu>, variants: &[String], momentum: bool) -> Self {
        let (batch, variants) = (case.images(), variants.to_vec());
        let options = NetworkOptions { batch, momentum, variants, ..Default::default() };
        let network =
            Network::new(Arc::clone(gpu), case.architecture.clone(), options).unwrap();
        train::load(&network, &case.model()).unwrap();
        let source = case.source(gpu);
        let train = network.bind(Pass::Train, Arc::clone(&source)).unwrap();
        let infer = network.bind(Pass::Infer, source).unwrap();
        Self { case, network, train, infer }
    }

    /// Runs all images as one batch; returns their mean loss.
    fn step(&self, program: &Program, number: u32, rate: f64, momentum: f64) -> f64 {
        let batch = Batch {
            count: self.case.images(),
            number,
            learning_rate: rate as f32,
            momentum: momentum as f32,
            weight_decay: self.case.number("weight_decay") as f32,
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
        self.step(&self.infer, 0, 0.0, 0.0);
        close(&self.logits(&self.infer), &fixture.of("eval.logits"), "eval.logits", &case.key);
        let loss = self.step(&self.train, 0, 0.0, 0.0);
        close(&self.logits(&self.train), &fixture.of("train.logits"), "train.logits", &case.key);
        close(&[loss], &fixture.of("train.loss"), "train.loss", &case.key);
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
                close(&floats(&tensor), &wanted, &tensor.name, &case.key);
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
                assert!(norm(found) <= CLOSE * weight, "{}: {place}: {}", case.key, norm(found));
                return;
            }
            return close(found, &wanted, &place, &case.key);
        }
        let wanted = fixture.of(&format!("{place}.projections"));
        let found = projections(&format!("{}/{place}.signs", case.key), found);
        let squares = found.iter().zip(&wanted).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let error = (squares / 16.0).sqrt() / fixture.of(&format!("{place}.norm"))[0];
        assert!(error <= CLOSE, "{}: {place} differs by {error:.2e}", case.key);
    }

    fn check_curve(&self, run: &str, momentum: f64) {
        let (case, rate) = (self.case, self.case.number("lr"));
        for (number, wanted) in (0..).zip(case.fixture.of(&format!("{run}.losses"))) {
            let loss = self.step(&self.train, number, rate, momentum);
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

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// Compares by the norm of the difference, relative to that of what is wanted.
fn close(found: &[f64], wanted: &[f64], what: &str, case: &str) {
    assert_eq!(found.len(), wanted.len(), "{case}: {what}");
    let difference: Vec<f64> = found.iter().zip(wanted).map(|(a, b)| a - b).collect();
    let error = norm(&difference) / norm(wanted);
    assert!(error <= CLOSE, "{case}: {what} differs by {error:.2e}");
}

/// Sets of variants to prefer that together run every variant that this adapter can: the usual one,
/// then for each kind of name the variants that end in it.
fn choices(gpu: &Gpu) -> Vec<Vec<String>> {
    let examples = REGISTRY.iter().flat_map(|entry| (entry.examples)());
    let variants = examples.flat_map(|op| op.variants(gpu.facts()));
    let supported = variants.filter(|variant| variant.supported.is_ok());
    let names: BTreeSet<_> = supported.map(|variant| variant.name).collect();
    let kinds = ["_tiled", "_shuffle"].map(|kind| {
        let of_kind = names.iter().filter(|name| name.ends_with(kind));
        of_kind.map(|name| (*name).to_owned()).collect::<Vec<_>>()
    });
    kinds.into_iter().filter(|names| !names.is_empty()).collect()
}

fn check(name: &str) {
    let Some(devices) = device::open() else { return };
    let case = Case::read(name);
    let usual = devices.usual.gpu();
    for variants in choices(usual) {
        println!("{name}: {variants:?}");
        Run::new(&case, usual, &variants, false).check_step();
    }
    Run::new(&case, devices.checked.gpu(), &[], false).check_step();
    Run::new(&case, usual, &[], false).check_curve("sgd", 0.0);
    Run::new(&case, usual, &[], true).check_curve("momentum", case.number("momentum"));
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/fixtures");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
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
