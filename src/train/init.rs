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
        let outputs = shape.first().copied().unwrap_or(0);
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        self.draws(&shape, random).next(outputs, (&mut weight, &mut bias));
        LayerWeights { name, shape, weight, bias, norm: None }
    }

    /// What a layer of the weight `shape` starts from: `random` gives its weights row by row, then its biases,
    /// and is left behind them.
    pub(super) fn draws(self, shape: &[usize], random: &mut fastrand::Rng) -> Draws {
        let taps: usize = shape.iter().skip(2).product();
        let outputs = shape.first().copied().unwrap_or(0);
        let fan_in = shape.get(1).map_or(0, |inputs| inputs * taps);
        let fan = match self {
            Self::Xavier => fan_in + outputs * taps,
            Self::Kaiming => fan_in,
        };
        let bound = (6.0 / fan.max(1) as f64).sqrt() as f32;
        let bias_bound = (1.0 / fan_in.max(1) as f64).sqrt() as f32;
        let mut behind = |count| {
            let here = random.clone();
            for _ in 0..count {
                random.f32();
            }
            here
        };
        let weight = Uniform { random: behind(outputs * fan_in), bound };
        let bias = Uniform { random: behind(outputs), bound: bias_bound };
        Draws { fan_in, weight, bias }
    }
}

/// The initial weights of a layer, drawn as they are asked for: of a large one no more need be held than
/// a part.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    fan_in: usize,
    weight: Uniform,
    bias: Uniform,
}

impl Draws {
    /// Draws weights, row-major, and biases of the next `outputs` outputs, in place of what was there.
    pub(super) fn next(&mut self, outputs: usize, (weight, bias): (&mut Vec<f32>, &mut Vec<f32>)) {
        self.weight.draw(outputs * self.fan_in, weight);
        self.bias.draw(outputs, bias);
    }
}

/// Numbers uniform in ±bound.
#[derive(Debug, Clone)]
struct Uniform {
    random: fastrand::Rng,
    bound: f32,
}

impl Uniform {
    fn draw(&mut self, count: usize, to: &mut Vec<f32>) {
        to.clear();
        to.extend((0..count).map(|_| self.bound * (2.0 * self.random.f32() - 1.0)));
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
    fn parts_are_those_of_the_whole_and_the_same_again() {
        let shape = [5, 4, 3, 3];
        let whole = |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            let layer = Init::Kaiming.draw(String::new(), shape.to_vec(), &mut random);
            (layer.weight, layer.bias, random.f32())
        };
        let mut random = fastrand::Rng::with_seed(1);
        let mut draws = Init::Kaiming.draws(&shape, &mut random);
        let (mut weight, mut bias, mut parts) = (Vec::new(), Vec::new(), [vec![], vec![]]);
        for outputs in [2, 3] {
            draws.next(outputs, (&mut weight, &mut bias));
            parts[0].extend_from_slice(&weight);
            parts[1].extend_from_slice(&bias);
        }
        let (all, biases, behind) = whole(1);
        assert_eq!(parts, [all.clone(), biases.clone()]);
        // As if drawn one after the other, biases after weights.
        let mut random_again = fastrand::Rng::with_seed(1);
        let bound = (6.0_f64 / 36.0).sqrt() as f32;
        let first: Vec<f32> =
            all.iter().map(|_| bound * (2.0 * random_again.f32() - 1.0)).collect();
        assert_eq!(all, first);
        biases.iter().for_each(|_| assert!(random_again.f32() < 1.0));
        assert_eq!([behind, random.f32()], [random_again.f32(); 2]);
        assert_ne!(whole(1), whole(2));
    }
}
