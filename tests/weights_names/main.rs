//! Networks from lists of tensors, under every program's names, and back.

mod errors;
mod export;
mod recognise;

use std::borrow::Cow;

use vgg_wgpu::shape::{Head, Normalisation, ShapeError};
use vgg_wgpu::weights::{
    Description, ImportOptions, LayerWeights, Mismatch, Model, NamesError, Naming, Preprocessing,
    Recognised, Tensor, Values, WeightsError, export_tensors, recognise,
};

/// Channels of the blocks of the published networks, divided by 16.
const CHANNELS: [usize; 5] = [4, 8, 16, 32, 32];

/// The places of the convolutions in torchvision's `features`, as its models print them, and the
/// convolutions of each block.
const PLAIN: [(&[usize], [usize; 5]); 4] = [
    (&[0, 3, 6, 8, 11, 13, 16, 18], [1, 1, 2, 2, 2]),
    (&[0, 2, 5, 7, 10, 12, 15, 17, 20, 22], [2, 2, 2, 2, 2]),
    (&[0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28], [2, 2, 3, 3, 3]),
    (&[0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34], [2, 2, 4, 4, 4]),
];
const NORMED: [&[usize]; 4] = [
    &[0, 4, 8, 11, 15, 18, 22, 25],
    &[0, 3, 7, 10, 14, 17, 21, 24, 28, 31],
    &[0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40],
    &[0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49],
];

/// Tensors whose values all differ.
#[derive(Default)]
struct Tensors {
    list: Vec<Tensor<'static>>,
    next: f32,
}

impl Tensors {
    fn add(&mut self, name: impl Into<String>, shape: &[usize]) {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| self.next + i as f32).collect();
        self.next += count as f32;
        let values = Values::F32(Cow::Owned(values));
        self.list.push(Tensor { name: name.into(), shape: shape.to_vec(), values });
    }

    fn layer(&mut self, name: &str, shape: &[usize]) {
        self.add(format!("{name}.weight"), shape);
        self.add(format!("{name}.bias"), &shape[..1]);
    }

    fn norm(&mut self, place: usize, channels: usize) {
        self.layer(&format!("features.{place}"), &[channels]);
        self.add(format!("features.{place}.running_mean"), &[channels]);
        self.add(format!("features.{place}.running_var"), &[channels]);
        self.list.push(Tensor::integer(format!("features.{place}.num_batches_tracked"), 77));
    }

    /// torchvision's `features`, of `input` channels.
    fn features(&mut self, places: &[usize], counts: [usize; 5], input: usize, norm: bool) {
        let channels = counts.iter().zip(CHANNELS).flat_map(|(&count, k)| vec![k; count]);
        let mut inputs = input;
        for (&place, outputs) in places.iter().zip(channels) {
            self.layer(&format!("features.{place}"), &[outputs, inputs, 3, 3]);
            if norm {
                self.norm(place + 1, outputs);
            }
            inputs = outputs;
        }
    }

    /// Dense layers of these widths, the first of which is the number of inputs.
    fn dense(&mut self, names: &[&str], widths: &[usize]) {
        for (name, width) in names.iter().zip(widths.windows(2)) {
            self.layer(name, &[width[1], width[0]]);
        }
    }
}

/// torchvision's vgg11 with few channels: 32 at the end, hidden layers of 6 and 5, 3 classes.
fn vgg11() -> Vec<Tensor<'static>> {
    let mut tensors = Tensors::default();
    let (places, counts) = PLAIN[0];
    tensors.features(places, counts, 3, false);
    tensors.dense(&["classifier.0", "classifier.3", "classifier.6"], &[32 * 49, 6, 5, 3]);
    tensors.list
}

/// The book's network of blocks 1x4, 2x8 on `input` channels, which reads maps of `side`.
fn d2l(prefix: &str, input: usize, side: usize) -> Vec<Tensor<'static>> {
    let mut tensors = Tensors::default();
    tensors.layer(&format!("{prefix}0.0"), &[4, input, 3, 3]);
    tensors.layer(&format!("{prefix}1.0"), &[8, 4, 3, 3]);
    tensors.layer(&format!("{prefix}1.2"), &[8, 8, 3, 3]);
    let dense = [3, 6, 9].map(|place| format!("{prefix}{place}"));
    tensors.dense(&dense.each_ref().map(String::as_str), &[8 * side * side, 7, 5, 10]);
    tensors.list
}

fn import(tensors: &[Tensor<'static>]) -> Recognised {
    with(tensors, &ImportOptions::default()).unwrap()
}

fn with(tensors: &[Tensor<'static>], options: &ImportOptions) -> Result<Recognised, NamesError> {
    recognise(tensors.to_vec(), options).map_err(|error| match error {
        WeightsError::Names(error) => *error,
        other => panic!("{other}"),
    })
}

fn mismatch(tensors: &[Tensor<'static>]) -> Mismatch {
    match with(tensors, &ImportOptions::default()) {
        Err(NamesError::Mismatch(mismatch)) => mismatch,
        other => panic!("{other:?}"),
    }
}

fn resize(resize: usize) -> ImportOptions {
    ImportOptions { resize: Some(resize), ..ImportOptions::default() }
}

fn sorted(tensors: &[Tensor<'_>]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let parts = |t: &Tensor<'_>| (t.name.clone(), t.shape.clone(), t.values.bytes().into_owned());
    let mut all: Vec<_> = tensors.iter().map(parts).collect();
    all.sort();
    all
}

/// The tensors come back with the same names, shapes and bytes.
fn assert_round_trip(tensors: &[Tensor<'static>], recognised: &Recognised) {
    let exported = export_tensors(&recognised.model, recognised.naming).unwrap();
    assert!(sorted(&exported) == sorted(tensors), "{:?}", recognised.model.description);
}

fn renamed(tensors: &[Tensor<'static>], name: impl Fn(&str) -> String) -> Vec<Tensor<'static>> {
    let rename = |tensor: &Tensor<'static>| Tensor { name: name(&tensor.name), ..tensor.clone() };
    tensors.iter().map(rename).collect()
}

fn owned(tensors: Vec<Tensor<'_>>) -> Vec<Tensor<'static>> {
    let owned = |tensor: Tensor<'_>| Tensor {
        name: tensor.name,
        shape: tensor.shape,
        values: match tensor.values {
            Values::F32(values) => Values::F32(values.into_owned().into()),
            Values::I64(values) => Values::I64(values.into_owned().into()),
        },
    };
    tensors.into_iter().map(owned).collect()
}
