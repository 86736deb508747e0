//! The gradient of a whole network, every tensor of it, against finite differences of its loss.

use vgg_wgpu::graph::{Architecture, Batch, NetworkOptions};
use vgg_wgpu::shape::{Head, Layout, PANEL, TAPS, padded, panel_rows};

use crate::device;
use crate::networks::{self, Bench};

/// Images of the batch, cut into micro-batches of 4 and 2.
const COUNT: usize = 6;
/// Length of the step to each side. Every kink of ReLU and maximum that a step passes adds an error
/// in proportion to its length (measured: 0.02 of the gradient at 4e-3, 0.009 at 1e-3, 0.005 below
/// 5e-4). The loss, a sum of six cross-entropies of about 2, is rounded to about 1e-6, which leaves
/// 1e-6 / (2 STEP) = 1e-3 of a derivative that is of the order of 1: a shorter step gains nothing.
const STEP: f64 = 5e-4;
/// Relative to the length of the gradient.
const TOLERANCE: f64 = 0.01;
/// Random directions for each tensor, beside the gradient's own.
const DIRECTIONS: usize = 3;

/// The indices of a stored parameter that belong to its weight, and to its bias.
fn tensors(layout: Layout) -> [Vec<usize>; 2] {
    let is_bias = |i: usize| match layout {
        Layout::Filter { c, k } => i >= TAPS * padded(c) * padded(k),
        Layout::Panels { inputs, .. } => i / PANEL % panel_rows(inputs) == inputs,
        Layout::Norm { c } => i >= padded(c),
        other => panic!("{other:?} holds no parameter"),
    };
    let used = (0..layout.len(1)).filter(|&i| !layout.is_padding(i));
    let (bias, weight) = used.partition(|&i| is_bias(i));
    [weight, bias]
}

/// The largest difference of a tensor's derivatives along some directions from `gradient`, as a
/// fraction of the gradient's length.
fn difference(bench: &Bench, parameter: usize, tensor: &[usize], gradient: &[f32]) -> f64 {
    let stored = bench.network.read_parameter(parameter).unwrap();
    let step = |direction: &[f64], length: f64| -> f64 {
        let mut moved = stored.clone();
        for (&i, along) in tensor.iter().zip(direction) {
            moved[i] += (length * along) as f32;
        }
        bench.network.write_parameter(parameter, &moved).unwrap();
        f64::from(bench.run(&bench.train, still())[0]) / COUNT as f64
    };
    let gradient: Vec<f64> = tensor.iter().map(|&i| f64::from(gradient[i])).collect();
    let length = norm(&gradient);
    let mut random = fastrand::Rng::with_seed(parameter as u64);
    let mut directions = vec![gradient.clone()];
    for _ in 0..DIRECTIONS {
        directions.push(tensor.iter().map(|_| random.f64() - 0.5).collect());
    }
    let mut worst = 0.0_f64;
    for mut direction in directions {
        let unit = norm(&direction).recip();
        direction.iter_mut().for_each(|along| *along *= unit);
        let numeric = (step(&direction, STEP) - step(&direction, -STEP)) / (2.0 * STEP);
        let exact: f64 = gradient.iter().zip(&direction).map(|(g, along)| g * along).sum();
        worst = worst.max((numeric - exact).abs() / length);
    }
    bench.network.write_parameter(parameter, &stored).unwrap();
    worst
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// A step that leaves the parameters where they are, with the same dropout masks each time.
fn still() -> Batch {
    Batch { learning_rate: 0.0, ..networks::batch(3, 5, COUNT) }
}

fn check(architecture: Architecture, micro_batch: usize, seed: u64, expected: usize) {
    let Some(devices) = device::open() else { return };
    let normalised = architecture.batch_norm();
    let micro_batch = Some(micro_batch);
    let options = NetworkOptions { batch: COUNT, micro_batch, ..Default::default() };
    let bench = Bench::new(devices.usual.gpu(), architecture, options, seed);
    bench.run(&bench.train, still());
    let gradients = bench.gradients();
    let mut seen = 0;
    for (i, gradient) in gradients.iter().enumerate() {
        let parameter = &bench.network.parameters()[i];
        let [weight, bias] = tensors(parameter.layout);
        if normalised && matches!(parameter.layout, Layout::Filter { .. }) {
            // What a bias adds, the normalisation takes away.
            let of = |tensor: &[usize]| {
                norm(&tensor.iter().map(|&i| f64::from(gradient[i])).collect::<Vec<_>>())
            };
            assert!(of(&bias) < 1e-5 * of(&weight), "{}: {} of a bias", parameter.layer, of(&bias));
            seen += 1;
        }
        for (tensor, what) in [(weight, "weight"), (bias, "bias")] {
            if normalised && what == "bias" && matches!(parameter.layout, Layout::Filter { .. }) {
                continue;
            }
            let name = format!("{} {what}", parameter.layer);
            let worst = difference(&bench, i, &tensor, gradient);
            assert!(worst < TOLERANCE, "{name}: derivatives differ by {worst:.5}");
            // A gradient that is 5 % too long is noticed.
            let wrong: Vec<f32> = gradient.iter().map(|value| 1.05 * value).collect();
            let worst = difference(&bench, i, &tensor, &wrong);
            assert!(worst > 3.0 * TOLERANCE, "{name}: a wrong gradient differs by {worst:.5} only");
            seen += 1;
        }
    }
    assert_eq!(seen, expected, "a weight and a bias of each layer");
}

#[test]
fn every_tensor_has_the_gradient_of_the_loss() {
    check(networks::tiny(0.0), 4, 11, 12);
}

#[test]
fn every_tensor_has_the_gradient_of_the_loss_with_dropout() {
    check(networks::tiny(0.5), 4, 12, 12);
}

#[test]
fn every_tensor_has_the_gradient_of_the_loss_with_batch_normalisation() {
    check(networks::tiny_of(true, Head::Flatten), COUNT, 13, 18);
}

#[test]
fn every_tensor_has_the_gradient_of_the_loss_through_average_pooling() {
    // Seeds 14 and 16 put a kink into a step, which adds 0.02 to one tensor's difference.
    check(networks::tiny_of(false, Head::AvgPool7), 4, 15, 12);
}
