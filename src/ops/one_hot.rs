//! The gradient of one logit by all logits.

use super::softmax::label_words;
use super::{Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{Layout, padded};

/// `y[n, k]` = 1 where `k` is the label of image `order[sample_base + n]`, else 0: what goes back from
/// the logit of that class, and from no other.
#[derive(Debug, Clone, Copy)]
pub struct OneHot {
    /// Classes: columns of the logits.
    pub classes: usize,
    /// Length of the order of samples.
    pub samples: usize,
    /// Number of labels: images in the set.
    pub labels: usize,
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::words("order", Layout::Words(self.samples), Access::Read),
            Binding::words("labels", Layout::Words(2 * self.labels), Access::Read),
            Binding::quads("y", Layout::Rows(self.classes), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let quads = padded(self.classes) / 4;
        vec![variant! {
            "one_hot",
            constants: vec![],
            dims: vec![("quads", Dim::U(quads as u32))],
            grid: Grid { tiles: 1, items: quads as u64, per_group: 64 },
            // Labels and the order of samples come from outside.
            proven: false,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [order, labels, y] = buffers else { unreachable!("three bindings") };
        for n in 0..step.images as usize {
            let sample = order.words()[step.sample_base as usize + n] as usize;
            let label = labels.words()[2 * sample] as usize;
            for k in 0..self.classes {
                y[n * padded(self.classes) + k] = if k == label { 1.0 } else { 0.0 };
            }
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        0.0
    }

    /// Labels in range, with weights that are not read.
    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let mut below = |bound: usize| (random() * bound as f64) as u32;
        match name {
            "order" => Some(Data::U((0..self.samples).map(|_| below(self.labels)).collect())),
            "labels" => {
                let label = |_| label_words(below(self.classes), 0.5);
                Some(Data::U((0..self.labels).flat_map(label).collect()))
            }
            _ => None,
        }
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let shapes = [(1, 4), (2, 7), (10, 60), (13, 1), (1000, 100)];
    let op = |&(classes, labels): &(usize, usize)| {
        Box::new(OneHot { classes, samples: 80, labels }) as _
    };
    shapes.iter().map(op).collect()
}
