//! Inverted dropout, which dense layers do as they store their outputs.

use crate::kernel::{Dim, Step};

/// `value = keep ? value / (1 - rate) : 0` for the outputs of a dense layer.
///
/// The mask depends on the seed, the training step, the layer and the place in the batch alone, so
/// it does not matter how a batch is cut into micro-batches, and it is stored nowhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Number of the dropout layer: each has masks of its own.
    pub layer: u32,
    /// Share of values set to 0, from 0 up to but not including 1.
    pub rate: f32,
}

impl Dropout {
    /// Drops nothing and leaves all values as they are.
    pub const NONE: Self = Self { layer: 0, rate: 0.0 };

    /// What is kept is multiplied by this, and so is its gradient.
    pub fn scale(&self) -> f32 {
        1.0 / (1.0 - self.rate)
    }

    /// The dimensions of `common/dropout.wgsl`.
    pub(super) fn dims(&self) -> [(&'static str, Dim); 3] {
        [
            ("dropout_layer", Dim::U(self.layer)),
            ("dropout_threshold", Dim::U(threshold(self.rate))),
            ("dropout_scale", Dim::F(self.scale())),
        ]
    }

    /// What element `i` of a micro-batch's `(n, columns)` is multiplied by, `columns` stored ones.
    pub(super) fn factor(&self, step: &Step, i: usize, columns: usize) -> f64 {
        let quad = (step.image_base as usize * columns + i) / 4;
        let words = philox([quad as u32, 0, step.number, self.layer], [step.seed, 0]);
        let kept = words[i % 4] >= threshold(self.rate);
        if kept { 1.0 / (1.0 - f64::from(self.rate)) } else { 0.0 }
    }
}

/// Random words below this drop their value.
fn threshold(rate: f32) -> u32 {
    // A conversion from float saturates: a rate of almost 1 gives the largest word.
    (f64::from(rate) * 4_294_967_296.0).round() as u32
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: f32, step: &Step, columns: usize) -> Vec<f64> {
        let dropout = Dropout { layer: 3, rate };
        let all = 0..step.images as usize * columns;
        all.map(|i| dropout.factor(step, i, columns)).collect()
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
