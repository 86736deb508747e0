//! The fixtures that PyTorch computed, and the numbers that weights and images are drawn from. What
//! the files hold and how numbers are drawn is told in `README.md` beside this file.

// Each of the test programs that include this file uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;
use vgg_wgpu::graph::Architecture;
use vgg_wgpu::shape::Head;
use vgg_wgpu::weights::{Tensor, Values};

/// The largest norm of a difference, relative to that of what is wanted.
pub const CLOSE: f64 = 1e-5;

/// Where the files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/fixtures")
}

/// A file of fixtures.
pub struct Fixture {
    bytes: Vec<u8>,
}

impl Fixture {
    pub fn read(name: &str) -> Self {
        let path = folder().join(format!("{name}.safetensors"));
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
            Dtype::I64 => {
                data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect()
            }
            Dtype::U8 => data.iter().map(|&b| f64::from(b)).collect(),
            other => panic!("{name} holds {other:?}"),
        })
    }

    /// The names of all tensors.
    pub fn names(&self) -> Vec<String> {
        self.file().names().into_iter().map(str::to_owned).collect()
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

pub fn uniform(key: &str, count: usize, bound: f64, centre: f64) -> Vec<f32> {
    // An odd number below 2^24, which f32 holds exactly.
    let unit = |word: u64| (2 * (word >> 40) as i64 + 1 - (1 << 24)) as f32 / 16_777_216.0;
    let (bound, centre) = (bound as f32, centre as f32);
    words(key).take(count).map(|word| centre + bound * unit(word)).collect()
}

pub fn below(key: &str, count: usize, n: u64) -> Vec<u32> {
    words(key).take(count).map(|word| ((word >> 40) % n) as u32).collect()
}

/// Bytes of pictures.
pub fn pixels(key: &str, count: usize) -> Vec<u8> {
    words(key).take(count).map(|word| (word >> 56) as u8).collect()
}

/// Sums of the values times the 16 random signs of each place.
pub fn projections(key: &str, values: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; 16];
    for (word, value) in words(key).zip(values) {
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum += if word >> (48 + j) & 1 == 1 { -value } else { *value };
        }
    }
    sums
}

/// A network of the fixtures.
pub struct Case {
    /// What PyTorch computed.
    pub fixture: Fixture,
    /// The prefix of the keys that its numbers are drawn from.
    pub key: String,
    /// The network, without dropout.
    pub architecture: Architecture,
    about: Value,
}

impl Case {
    pub fn read(name: &str) -> Self {
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
        Self { fixture, key, architecture, about }
    }

    pub fn number(&self, key: &str) -> f64 {
        self.about[key].as_f64().unwrap_or_else(|| panic!("{key} is no number"))
    }

    pub fn images(&self) -> usize {
        self.number("images") as usize
    }

    /// Names and shapes of all parameters.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let list = |key: &str| self.about[key].as_array().unwrap();
        let shape = |shape: &Value| -> Vec<usize> {
            shape.as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize).collect()
        };
        let names = list("parameters").iter().map(|name| name.as_str().unwrap().to_owned());
        names.zip(list("shapes").iter().map(shape)).collect()
    }

    /// Rows and columns of the input.
    pub fn side(&self) -> usize {
        self.architecture.input().height
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.architecture.classes()
    }

    /// The weights, and the running statistics of normalisations, under torchvision's names.
    pub fn tensors(&self) -> Vec<Tensor<'static>> {
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
        tensors
    }

    /// The images as `input`, (images, channels, height, width), and their classes as `target`.
    pub fn batch(&self) -> (Tensor<'static>, Tensor<'static>) {
        let (images, input) = (self.images(), self.architecture.input());
        let shape = vec![images, input.channels, input.height, input.width];
        let key = |tensor: &str| format!("{}/{tensor}", self.key);
        let values = uniform(&key("input"), shape.iter().product(), 1.0, 0.0);
        let classes = below(&key("target"), images, self.classes() as u64);
        let targets = classes.into_iter().map(i64::from).collect::<Vec<_>>();
        let tensor = |name: &str, shape, values| Tensor { name: name.to_owned(), shape, values };
        (
            tensor("input", shape, Values::F32(values.into())),
            tensor("target", vec![images], Values::I64(targets.into())),
        )
    }
}

pub fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// Compares by the norm of the difference, relative to that of what is wanted.
pub fn close(found: &[f64], wanted: &[f64], what: &str, case: &str) {
    close_to(CLOSE, found, wanted, what, case);
}

/// The same with another limit than [`CLOSE`].
pub fn close_to(limit: f64, found: &[f64], wanted: &[f64], what: &str, case: &str) {
    assert_eq!(found.len(), wanted.len(), "{case}: {what}");
    let difference: Vec<f64> = found.iter().zip(wanted).map(|(a, b)| a - b).collect();
    let error = norm(&difference) / norm(wanted);
    assert!(error <= limit, "{case}: {what} differs by {error:.2e}");
}
