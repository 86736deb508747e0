//! Softmax with cross-entropy: losses, hits and the gradient of the logits.

use super::{Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{Layout, padded};

/// For each image `(loss, hit)` and `dlogits = (softmax(logits) - target) * weight * loss_scale`, where
/// label and weight are those of image `order[sample_base + i]`, the target `(1 - label_smoothing) onehot(label) +
/// label_smoothing / classes` (Szegedy et al., arXiv:1512.00567, section 7; PyTorch's
/// `CrossEntropyLoss`), the loss `weight` times the cross-entropy with it, and a hit is 1 if the first of
/// the largest logits is the label's.
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxCrossEntropy {
    /// Classes: columns of the logits.
    pub classes: usize,
    /// Length of the order of samples.
    pub samples: usize,
    /// Number of labels: images in the set.
    pub labels: usize,
}

/// An image's label and its weight in the loss, as [`SoftmaxCrossEntropy`] reads them.
pub fn label_words(label: u32, weight: f32) -> [u32; 2] {
    [label, weight.to_bits()]
}

impl Op for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::words("order", Layout::Words(self.samples), Access::Read),
            Binding::words("labels", Layout::Words(2 * self.labels), Access::Read),
            Binding::quads("logits", Layout::Rows(self.classes), Access::Read),
            Binding::quads("dlogits", Layout::Rows(self.classes), Access::Write),
            Binding::quads("outcome", Layout::Rows(2), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "softmax_cross_entropy",
            constants: vec![],
            dims: vec![
                ("classes", Dim::U(self.classes as u32)),
                ("quads", Dim::U(padded(self.classes) as u32 / 4)),
            ],
            grid: Grid { tiles: 1, items: 1, per_group: 64 },
            // Labels and the order of samples come from outside.
            proven: false,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [order, labels, logits, dlogits, outcome] = buffers else {
            unreachable!("five bindings")
        };
        let scale = f64::from(step.loss_scale);
        for n in 0..step.images as usize {
            let sample = order.words()[step.sample_base as usize + n] as usize;
            let label = labels.words()[2 * sample] as usize;
            let weight = f64::from(f32::from_bits(labels.words()[2 * sample + 1]));
            let row = n * padded(self.classes);
            let first_larger =
                |best, k| if logits[row + k] > logits[row + best] { k } else { best };
            let best = (1..self.classes).fold(0, first_larger);
            let shifted = |k: usize| logits[row + k] - logits[row + best];
            let sum: f64 = (0..self.classes).map(|k| shifted(k).exp()).sum();
            let (spread, classes) = (f64::from(step.label_smoothing), self.classes as f64);
            let mut loss = 0.0;
            for k in 0..self.classes {
                let own = if k == label { 1.0 } else { 0.0 };
                let target = (1.0 - spread) * own + spread / classes;
                dlogits[row + k] = (shifted(k).exp() / sum - target) * weight * scale;
                loss += target * (sum.ln() - shifted(k));
            }
            outcome[n * 4] = weight * loss;
            outcome[n * 4 + 1] = if best == label { 1.0 } else { 0.0 };
        }
    }

    /// The error of a device's `exp` and `log`, which may be some units in the last place.
    fn tolerance(&self, _images: u64) -> f64 {
        2e-5
    }

    /// Labels in range. Logits of the size of an odd image's are large enough to overflow `exp`,
    /// those of every third image have ties.
    fn input(&self, name: &str, step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let below =
            |bound: usize, random: &mut dyn FnMut() -> f64| (random() * bound as f64) as u32;
        let layout = Layout::Rows(self.classes);
        match name {
            "order" => {
                Some(Data::U((0..self.samples).map(|_| below(self.labels, random)).collect()))
            }
            "labels" => {
                let label = |_| label_words(below(self.classes, random), 2.0 * random() as f32);
                Some(Data::U((0..self.labels).flat_map(label).collect()))
            }
            "logits" => {
                let logit = |i: usize| {
                    let value = 2.0 * random() - 1.0;
                    match i / padded(self.classes) {
                        _ if layout.is_padding(i) => 0.0,
                        image if image % 3 == 2 => (value * 2.0).round(),
                        image if image % 2 == 1 => value * 1e4,
                        _ => value * 5.0,
                    }
                };
                Some(Data::F((0..layout.len(step.images as usize)).map(logit).collect()))
            }
            _ => None,
        }
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let op = |&(classes, labels): &(usize, usize)| {
        Box::new(SoftmaxCrossEntropy { classes, samples: 80, labels }) as _
    };
    [(1, 4), (2, 7), (10, 60), (13, 1), (1000, 100)].iter().map(op).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What torch.nn.functional.cross_entropy gives in float64 with label_smoothing=0.1.
    #[test]
    fn smoothed_losses_and_gradients_are_those_of_pytorch() {
        let op = SoftmaxCrossEntropy { classes: 3, samples: 2, labels: 2 };
        let step = Step { images: 2, label_smoothing: 0.1, ..Step::default() };
        let mut buffers = [
            Data::U(vec![0, 1]),
            Data::U([label_words(1, 1.0), label_words(0, 1.0)].concat()),
            Data::F(vec![1.0, 2.0, -0.5, 0.0, 0.25, 0.0, 3.0, 0.0]),
            Data::F(vec![0.0; 8]),
            Data::F(vec![0.0; 8]),
        ];
        op.reference(&step, &mut buffers);
        let [_, _, _, dlogits, outcome] = &buffers;
        let near = |found: f64, wanted: f64| (found - wanted).abs() < 1e-8;
        assert!(near(outcome[0], 0.488_205_698_5) && near(outcome[4], 2.774_367_877_4));
        let wanted = [0.220_382_848_3, -0.243_661_247_2, 0.023_278_398_9, 0.0];
        let next = [-0.875_932_772_8, 0.011_370_268_1, 0.864_562_504_7, 0.0];
        let found = (0..8).map(|i| dlogits[i]);
        assert!(found.zip([wanted, next].concat()).all(|(a, b)| near(a, b)), "{dlogits:?}");
    }
}
