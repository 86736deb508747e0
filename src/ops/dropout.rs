//! Inverted dropout of a dense layer's outputs, and its gradient: the same mask, computed again.

use super::{Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{Layout, padded};

/// `values = keep ? values / (1 - rate) : 0`, in place.
///
/// The mask depends on the seed, the training step, the layer and the place in the batch alone, so
/// it does not matter how a batch is cut into micro-batches.
#[derive(Debug, Clone, Copy)]
pub struct DropoutForward {
    /// Columns of the layer's output.
    pub columns: usize,
    /// Number of the dropout layer: each has masks of its own.
    pub layer: u32,
    /// Share of values set to 0, from 0 up to but not including 1.
    pub rate: f32,
}

/// The gradient of [`DropoutForward`] with the same fields, in place.
#[derive(Debug, Clone, Copy)]
pub struct DropoutBackward {
    /// Columns of the layer's output.
    pub columns: usize,
    /// Number of the dropout layer.
    pub layer: u32,
    /// Share of values set to 0.
    pub rate: f32,
}

impl Op for DropoutForward {
    fn name(&self) -> &'static str {
        "dropout_forward"
    }

    fn bindings(&self) -> Vec<Binding> {
        bindings(self.columns)
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "dropout_forward",
            constants: vec![],
            dims: dims(self),
            grid: grid(self.columns),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        reference(self, step, buffers);
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(1)
    }
}

impl Op for DropoutBackward {
    fn name(&self) -> &'static str {
        "dropout_backward"
    }

    fn bindings(&self) -> Vec<Binding> {
        bindings(self.columns)
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "dropout_backward",
            constants: vec![],
            dims: dims(&self.forward()),
            grid: grid(self.columns),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        reference(&self.forward(), step, buffers);
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(1)
    }
}

impl DropoutBackward {
    fn forward(&self) -> DropoutForward {
        DropoutForward { columns: self.columns, layer: self.layer, rate: self.rate }
    }
}

fn bindings(columns: usize) -> Vec<Binding> {
    vec![Binding::quads("values", Layout::Rows(columns), Access::Update)]
}

fn dims(op: &DropoutForward) -> Vec<(&'static str, Dim)> {
    vec![
        ("quads", Dim::U(op.columns.div_ceil(4) as u32)),
        ("layer", Dim::U(op.layer)),
        ("threshold", Dim::U(threshold(op.rate))),
        ("scale", Dim::F(1.0 / (1.0 - op.rate))),
    ]
}

fn grid(columns: usize) -> Grid {
    Grid { tiles: 1, items: columns.div_ceil(4) as u64, per_group: 64 }
}

/// Random words below this drop their value.
fn threshold(rate: f32) -> u32 {
    // A conversion from float saturates: a rate of almost 1 gives the largest word.
    (f64::from(rate) * 4_294_967_296.0).round() as u32
}

fn reference(op: &DropoutForward, step: &Step, buffers: &mut [Data]) {
    let [values] = buffers else { unreachable!("one binding") };
    let (stored, threshold) = (padded(op.columns), threshold(op.rate));
    let scale = 1.0 / (1.0 - f64::from(op.rate));
    for i in 0..step.images as usize * stored {
        let quad = (step.image_base as usize * stored + i) / 4;
        let words = philox([quad as u32, 0, step.number, op.layer], [step.seed, 0]);
        values[i] = if words[i % 4] >= threshold { values[i] * scale } else { 0.0 };
    }
}

/// Philox-4x32-10: ten rounds over a counter with a key (Salmon et al., Parallel Random Numbers: As
/// Easy as 1, 2, 3, SC 2011).
fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let (even, odd) = (product(0xD251_1F53, c0), product(0xCD9E_8D57, c2));
        c0 = (odd >> 32) as u32 ^ c1 ^ k0;
        c1 = odd as u32;
        c2 = (even >> 32) as u32 ^ c3 ^ k1;
        c3 = even as u32;
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

/// `(columns, layer, rate)`: smallest, with padding, all kept, and VGG's.
const SHAPES: &[(usize, u32, f32)] =
    &[(1, 0, 0.5), (4, 1, 0.3), (10, 0, 0.5), (31, 7, 0.0), (257, 2, 0.999), (4096, 1, 0.5)];

pub(super) fn forward_examples() -> Vec<Box<dyn Op>> {
    let op = |&(columns, layer, rate): &(usize, u32, f32)| {
        Box::new(DropoutForward { columns, layer, rate }) as _
    };
    SHAPES.iter().map(op).collect()
}

pub(super) fn backward_examples() -> Vec<Box<dyn Op>> {
    let op = |&(columns, layer, rate): &(usize, u32, f32)| {
        Box::new(DropoutBackward { columns, layer, rate }) as _
    };
    SHAPES.iter().map(op).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: f32, step: &Step, columns: usize) -> Vec<f64> {
        let op = DropoutForward { columns, layer: 3, rate };
        let mut buffers = [Data::F(vec![1.0; step.images as usize * padded(columns)])];
        op.reference(step, &mut buffers);
        let [Data::F(values)] = buffers else { unreachable!("floats") };
        values
    }

    #[test]
    fn philox_gives_the_known_answers_of_random123() {
        let zero = philox([0; 4], [0; 2]);
        assert_eq!(zero, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = philox([u32::MAX; 4], [u32::MAX; 2]);
        assert_eq!(ones, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let counter = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let digits = philox(counter, [0xa409_3822, 0x299f_31d0]);
        assert_eq!(digits, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn the_kept_share_is_one_minus_the_rate() {
        let step = Step { images: 64, seed: 5, ..Step::default() };
        for rate in [0.1, 0.5, 0.9] {
            let values = run(rate, &step, 1024);
            let kept = values.iter().filter(|&&value| value != 0.0).count() as f64;
            let share = kept / values.len() as f64;
            // Five standard deviations of a binomial of 65,536.
            let (rate, spread) = (f64::from(rate), 5.0 / 256.0);
            assert!((share - (1.0 - rate)).abs() < spread * (rate * (1.0 - rate)).sqrt());
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((mean - 1.0).abs() < 0.06, "mean {mean} at rate {rate}");
        }
    }

    #[test]
    fn rate_0_keeps_everything_and_almost_1_does_not_overflow() {
        let step = Step { images: 8, ..Step::default() };
        assert_eq!(run(0.0, &step, 64), vec![1.0; 512]);
        assert_eq!(threshold(0.0), 0);
        assert_eq!(threshold(0.5), 1 << 31);
        assert_eq!(threshold(1.0), u32::MAX);
    }

    #[test]
    fn masks_differ_by_seed_step_and_layer_but_not_by_micro_batch() {
        let step = Step { images: 4, seed: 1, number: 2, ..Step::default() };
        let whole = run(0.5, &step, 40);
        let second = run(0.5, &Step { images: 2, image_base: 2, ..step }, 40);
        assert_eq!(whole[80..], second);
        assert_ne!(whole, run(0.5, &Step { seed: 2, ..step }, 40));
        assert_ne!(whole, run(0.5, &Step { number: 3, ..step }, 40));
    }
}
