//! Initial weights.

use crate::weights::LayerWeights;

/// How weights are drawn before training. Biases are uniform in ±1/sqrt(fan_in) with both, as
/// PyTorch's layers have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Init {
    /// Uniform in ±sqrt(6 / (fan_in + fan_out)): Glorot and Bengio, "Understanding the difficulty
    /// of training deep feedforward neural networks", AISTATS 2010, equation 16.
    #[default]
    Xavier,
    /// Uniform in ±sqrt(6 / fan_in), which keeps the variance through ReLUs: He et al.,
    /// arXiv:1502.01852, equation 10.
    Kaiming,
}

impl Init {
    /// Draws a layer of the weight `shape`, `(outputs, inputs, ...)`.
    pub fn draw(self, name: String, shape: Vec<usize>, random: &mut fastrand::Rng) -> LayerWeights {
        let taps: usize = shape.iter().skip(2).product();
        let outputs = shape.first().copied().unwrap_or(0);
        let fan_in = shape.get(1).map_or(0, |inputs| inputs * taps);
        let fan = match self {
            Self::Xavier => fan_in + outputs * taps,
            Self::Kaiming => fan_in,
        };
        let bound = (6.0 / fan.max(1) as f64).sqrt() as f32;
        let bias_bound = (1.0 / fan_in.max(1) as f64).sqrt() as f32;
        let mut uniform = |bound: f32, count| -> Vec<f32> {
            (0..count).map(|_| bound * (2.0 * random.f32() - 1.0)).collect()
        };
        let weight = uniform(bound, outputs * fan_in);
        let bias = uniform(bias_bound, outputs);
        LayerWeights { name, shape, weight, bias, norm: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest magnitude and variance.
    fn spread(values: &[f32]) -> (f64, f64) {
        let values: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        (values.iter().fold(0.0, |most: f64, value| most.max(value.abs())), variance)
    }

    #[test]
    fn bounds_and_variances_are_those_of_the_papers() {
        // A convolution of 32 to 64 channels and a dense layer of 300 to 200.
        for (shape, fan_in, fan_out) in
            [(vec![64, 32, 3, 3], 288.0, 576.0), (vec![200, 300], 300.0, 200.0)]
        {
            for (init, fan) in [(Init::Xavier, fan_in + fan_out), (Init::Kaiming, fan_in)] {
                let mut random = fastrand::Rng::with_seed(3);
                let layer = init.draw(String::new(), shape.clone(), &mut random);
                let bound = (6.0_f64 / fan).sqrt();
                let (most, variance) = spread(&layer.weight);
                assert!(most <= bound * (1.0 + 1e-6) && most > 0.999 * bound, "{shape:?}");
                // A uniform number in ±b has the variance b²/3; of 18,432 draws and more the
                // estimate's relative standard deviation is under 0.7 %.
                assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.03, "{shape:?}");
                let (most, _) = spread(&layer.bias);
                let bound = 1.0 / fan_in.sqrt();
                assert!(most <= bound && most > 0.8 * bound, "{shape:?}");
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_weights_again() {
        let draw = |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            Init::Kaiming.draw(String::new(), vec![5, 4, 3, 3], &mut random)
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
