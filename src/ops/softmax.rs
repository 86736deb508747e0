//! Softmax with cross-entropy: losses, hits and the gradient of the logits.

use super::augment::draws_layout;
use super::augmentation::DRAW;
use super::{Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{Layout, padded};

/// For each image `(loss, hit)` and `dlogits = (softmax(logits) - target) * weight * loss_scale`, where
/// label and weight are those of image `order[sample_base + i]`, the target `(1 - label_smoothing) onehot(label) +
/// label_smoothing / classes` (Szegedy et al., arXiv:1512.00567, section 7; PyTorch's
/// `CrossEntropyLoss`), the loss `weight` times the cross-entropy with it, and a hit is 1 if the first of
/// the largest logits is the label's.
///
/// With mixup (Zhang et al., arXiv:1710.09412) an image has a share of its own, and the rest of its
/// partner in the batch, both in `draws`: loss and gradient are the sum of those with either's label and
/// weight by their shares, and a hit is one of the label with the larger share.
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxCrossEntropy {
    /// Classes: columns of the logits.
    pub classes: usize,
    /// Length of the order of samples.
    pub samples: usize,
    /// Number of labels: images in the set.
    pub labels: usize,
    /// True if images are mixed in pairs.
    pub mixup: bool,
}

/// Labels of an image with what each counts: shares times weights. A hit is one of the first.
type Targets = [(usize, f64); 2];

impl SoftmaxCrossEntropy {
    fn targets(
        &self,
        step: &Step,
        n: usize,
        order: &[u32],
        labels: &[u32],
        draws: &Data,
    ) -> Targets {
        let of = |place: usize, share: f64| {
            let sample = order[place] as usize;
            let weight = f64::from(f32::from_bits(labels[2 * sample + 1]));
            (labels[2 * sample] as usize, share * weight)
        };
        let own = step.sample_base as usize + n;
        if !self.mixup {
            return [of(own, 1.0), (self.classes, 0.0)];
        }
        let [partner, share] = [12, 13].map(|k| draws[(step.image_base as usize + n) * DRAW + k]);
        let other = (step.sample_base - step.image_base) as usize + partner as usize;
        let mut targets = [of(own, share), of(other, 1.0 - share)];
        if share < 0.5 {
            targets.reverse();
        }
        targets
    }
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
        let mut bindings = vec![
            Binding::words("order", Layout::Words(self.samples), Access::Read),
            Binding::words("labels", Layout::Words(2 * self.labels), Access::Read),
            Binding::quads("logits", Layout::Rows(self.classes), Access::Read),
            Binding::quads("dlogits", Layout::Rows(self.classes), Access::Write),
            Binding::quads("outcome", Layout::Rows(2), Access::Write),
        ];
        if self.mixup {
            bindings.push(Binding::quads("draws", draws_layout(self.samples), Access::Read));
        }
        bindings
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "softmax_cross_entropy",
            constants: vec![("MIXUP", u32::from(self.mixup))],
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
        let none = Data::F(Vec::new());
        let (buffers, more) = buffers.split_at_mut(5);
        let [order, labels, logits, dlogits, outcome] = buffers else {
            unreachable!("five bindings, and one more of mixup")
        };
        let draws = more.first().unwrap_or(&none);
        let scale = f64::from(step.loss_scale);
        for n in 0..step.images as usize {
            let targets = self.targets(step, n, order.words(), labels.words(), draws);
            let weight: f64 = targets.iter().map(|(_, weight)| weight).sum();
            let row = n * padded(self.classes);
            let first_larger =
                |best, k| if logits[row + k] > logits[row + best] { k } else { best };
            let best = (1..self.classes).fold(0, first_larger);
            let shifted = |k: usize| logits[row + k] - logits[row + best];
            let sum: f64 = (0..self.classes).map(|k| shifted(k).exp()).sum();
            let (spread, classes) = (f64::from(step.label_smoothing), self.classes as f64);
            let mut loss = 0.0;
            for k in 0..self.classes {
                let own = targets.iter().filter(|(label, _)| *label == k);
                let own: f64 = own.map(|(_, weight)| weight).sum();
                let target = (1.0 - spread) * own + weight * spread / classes;
                dlogits[row + k] = (shifted(k).exp() / sum * weight - target) * scale;
                loss += target * (sum.ln() - shifted(k));
            }
            outcome[n * 4] = loss;
            outcome[n * 4 + 1] = if best == targets[0].0 { 1.0 } else { 0.0 };
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
            "draws" => {
                // Partners in the batch, shares that differ, and numbers that are for others.
                let images = (step.image_base + step.images) as usize;
                let number = |(i, k): (usize, usize)| match k {
                    12 => below(images, random).into(),
                    13 if i % 5 == 0 => 1.0,
                    _ => random(),
                };
                let all = (0..draws_layout(self.samples).len(1)).map(|k| (k / DRAW, k % DRAW));
                Some(Data::F(all.map(number).collect()))
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
    let shapes = [(1, 4), (2, 7), (10, 60), (13, 1), (1000, 100)];
    let op = |mixup| {
        move |&(classes, labels): &(usize, usize)| {
            Box::new(SoftmaxCrossEntropy { classes, samples: 80, labels, mixup }) as _
        }
    };
    shapes.iter().map(op(false)).chain(shapes.iter().map(op(true))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What torch.nn.functional.cross_entropy gives in float64 with label_smoothing=0.1.
    #[test]
    fn smoothed_losses_and_gradients_are_those_of_pytorch() {
        let op = SoftmaxCrossEntropy { classes: 3, samples: 2, labels: 2, mixup: false };
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

    /// What torch.nn.functional.cross_entropy gives in float64 for the targets 0.75 onehot(1) + 0.25 onehot(0)
    /// and the other way round, each label with a weight of its own.
    #[test]
    fn a_mixed_loss_is_that_of_both_labels_by_their_shares() {
        let losses = |mixup, share: f64, weights: [f32; 2]| {
            let op = SoftmaxCrossEntropy { classes: 3, samples: 2, labels: 2, mixup };
            let step = Step { images: 2, ..Step::default() };
            let mut draws = vec![0.0; 2 * DRAW];
            (draws[12], draws[13], draws[DRAW + 12], draws[DRAW + 13]) = (1.0, share, 0.0, share);
            let rows = [1.0, 2.0, -0.5, 0.0, 0.25, 0.0, 3.0, 0.0];
            let mut buffers = [
                Data::U(vec![0, 1]),
                Data::U([label_words(1, weights[0]), label_words(0, weights[1])].concat()),
                Data::F(rows.to_vec()),
                Data::F(vec![0.0; 8]),
                Data::F(vec![0.0; 8]),
                Data::F(draws),
            ];
            op.reference(&step, &mut buffers[..if mixup { 6 } else { 5 }]);
            let [loss, next] = [0, 4].map(|i| buffers[4][i]);
            let hits = [1, 5].map(|i| buffers[4][i]);
            ([loss, next], hits, (0..3).map(|k| buffers[3][k]).collect::<Vec<_>>())
        };
        let near = |found: f64, wanted: f64| (found - wanted).abs() < 1e-7;
        let (loss, hits, gradient) = losses(true, 0.75, [1.0, 1.0]);
        assert!(near(loss[0], 0.621_539_032_0) && near(loss[1], 2.920_201_210_7), "{loss:?}");
        assert_eq!(hits, [1.0, 0.0]);
        let wanted = [0.003_716_181_6, -0.060_327_913_9, 0.056_611_732_2];
        assert!(gradient.iter().zip(wanted).all(|(&a, b)| near(a, b)), "{gradient:?}");
        // The larger share decides what a hit is.
        assert_eq!(losses(true, 0.25, [1.0, 1.0]).1, [0.0, 0.0]);
        // Each label with its own weight.
        let apart = losses(true, 1.0, [2.0, 3.0]).0[0];
        let other = losses(true, 0.0, [2.0, 3.0]).0[0];
        let mixed = losses(true, 0.75, [2.0, 3.0]).0[0];
        assert!(near(mixed, 0.75 * apart + 0.25 * other));
        assert_eq!(losses(false, 0.0, [2.0, 3.0]).0, losses(true, 1.0, [2.0, 3.0]).0);
    }
}
