//! How parameters follow their gradients.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kernel::Step;
use crate::shape::Layout;

/// How parameters follow their gradients, the learning rate aside: a rule, and what is done before it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Optimizer {
    /// The rule.
    pub rule: Rule,
    /// Weight decay in PyTorch's form: under SGD added to the gradient, `g + weight_decay * p`, under
    /// AdamW taken from the parameter, `p - learning_rate * weight_decay * p`. 0 for none.
    pub weight_decay: f32,
    /// True if it falls on biases, and on scales and shifts of normalisations, too.
    pub decay_all: bool,
    /// The gradients of all parameters, taken as one vector, are scaled down to this norm if they are
    /// longer (Pascanu et al., "On the difficulty of training recurrent neural networks",
    /// arXiv:1211.5063, section 3.2; PyTorch's `clip_grad_norm_`).
    pub clip_norm: Option<f32>,
}

/// An update rule, with its numbers in PyTorch's form.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Stochastic gradient descent: `m = momentum * m + g; p -= learning_rate * m`.
    Sgd {
        /// Momentum, 0 for none.
        momentum: f32,
        /// True for Nesterov's form, `p -= learning_rate * (g + momentum * m)` (Sutskever et al., "On
        /// the importance of initialization and momentum in deep learning", 2013, section 2).
        nesterov: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101, algorithm 2):
    /// `m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g^2`, both divided by what their
    /// start from 0 takes from them, and `p -= learning_rate * m / (sqrt(v) + epsilon)`.
    AdamW {
        /// How much of the mean of gradients stays from step to step.
        beta1: f32,
        /// The same of the mean of their squares.
        beta2: f32,
        /// Added to the divisor.
        epsilon: f32,
    },
}

impl Default for Rule {
    fn default() -> Self {
        Self::Sgd { momentum: 0.0, nesterov: false }
    }
}

/// The forms of the rules, which have kernels of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// SGD without momentum.
    Sgd,
    /// SGD with momentum.
    Momentum,
    /// SGD with Nesterov's momentum.
    Nesterov,
    /// AdamW.
    AdamW,
}

impl Optimizer {
    /// SGD with a momentum, 0 for none.
    pub fn sgd(momentum: f32) -> Self {
        Self { rule: Rule::Sgd { momentum, nesterov: false }, ..Self::default() }
    }

    /// The form of its rule.
    pub fn form(&self) -> Form {
        match self.rule {
            Rule::Sgd { momentum: 0.0, .. } => Form::Sgd,
            Rule::Sgd { nesterov: false, .. } => Form::Momentum,
            Rule::Sgd { nesterov: true, .. } => Form::Nesterov,
            Rule::AdamW { .. } => Form::AdamW,
        }
    }

    /// What its weight decay falls on.
    pub fn decay(&self) -> Decay {
        match (self.weight_decay == 0.0, self.decay_all) {
            (true, _) => Decay::None,
            (false, false) => Decay::Weights,
            (false, true) => Decay::All,
        }
    }

    /// `step`, which has its number and learning rate, with what the rule takes beside them.
    pub fn step(&self, step: Step) -> Step {
        let weight_decay = self.weight_decay;
        let step = Step { weight_decay, max_norm: self.clip_norm.unwrap_or(0.0), ..step };
        match self.rule {
            Rule::Sgd { momentum, .. } => Step { momentum, ..step },
            Rule::AdamW { beta1, beta2, epsilon } => {
                // What means that began at 0 lack after so many steps: Kingma and Ba, "Adam",
                // arXiv:1412.6980, section 2, in the efficient order at its end.
                let lacks = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(step.number) + 1.0);
                let root = lacks(beta2).sqrt();
                let rate = f64::from(step.learning_rate) * root / lacks(beta1);
                Step {
                    momentum: beta1,
                    beta2,
                    adam_rate: rate as f32,
                    // Never 0, by which a mean of 0 would be divided.
                    adam_epsilon: ((f64::from(epsilon) * root) as f32).max(f32::MIN_POSITIVE),
                    ..step
                }
            }
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sgd => "SGD",
            Self::Momentum => "SGD with momentum",
            Self::Nesterov => "SGD with Nesterov's momentum",
            Self::AdamW => "AdamW",
        })
    }
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sgd, Self::Momentum, Self::Nesterov, Self::AdamW];

    /// How many values the rule keeps for each of a parameter.
    pub fn moments(self) -> usize {
        match self {
            Self::Sgd => 0,
            Self::Momentum | Self::Nesterov => 1,
            Self::AdamW => 2,
        }
    }

    /// The constants of `shaders/common/optimizer.wgsl`.
    pub(super) fn constants(self) -> [(&'static str, u32); 3] {
        let (nesterov, adam) = (self == Self::Nesterov, self == Self::AdamW);
        [
            ("MOMENTS", self.moments() as u32),
            ("NESTEROV", u32::from(nesterov)),
            ("ADAM", u32::from(adam)),
        ]
    }

    /// The step of one value `p` with gradient `g` and the moments that the rule keeps, in f64; weight
    /// decay falls on it if `decays`.
    pub(super) fn advance(
        self,
        step: &Step,
        decays: bool,
        (p, g): (f64, f64),
        moments: [f64; 2],
    ) -> (f64, [f64; 2]) {
        let (rate, momentum) = (f64::from(step.learning_rate), f64::from(step.momentum));
        let decay = if decays { f64::from(step.weight_decay) } else { 0.0 };
        let [m, v] = moments;
        if self == Self::AdamW {
            let beta2 = f64::from(step.beta2);
            let (m, v) = (m + (1.0 - momentum) * (g - m), v + (1.0 - beta2) * (g * g - v));
            let divisor = v.sqrt() + f64::from(step.adam_epsilon);
            let p = p * (1.0 - rate * decay) - f64::from(step.adam_rate) * m / divisor;
            return (p, [m, v]);
        }
        let g = g + decay * p;
        let kept = momentum * m + g;
        match self {
            Self::Sgd => (p - rate * g, moments),
            Self::Nesterov => (p - rate * (g + momentum * kept), [kept, v]),
            _ => (p - rate * kept, [kept, v]),
        }
    }
}

/// What weight decay falls on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    /// Nothing: there is none.
    None,
    /// Weights of convolutions and dense layers, without biases.
    Weights,
    /// All parameters.
    All,
}

impl Decay {
    /// The elements of a parameter that it falls on.
    pub(super) fn of(self, layout: Layout) -> Decayed {
        match self {
            Self::None => Decayed { weights: 0, ..Decayed::all(layout.len(1)) },
            Self::Weights => Decayed::weights_of(layout),
            Self::All => Decayed::all(layout.len(1)),
        }
    }
}

/// Which elements weight decay falls on: the first `weights` of each `period`, both multiples of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decayed {
    /// Elements after which it is the same again.
    pub period: usize,
    /// Elements of these that it falls on.
    pub weights: usize,
}

impl Decayed {
    /// All of `len` elements.
    pub fn all(len: usize) -> Self {
        Self { period: len, weights: len }
    }

    /// The weights in a layout, without biases, and without scale and shift of a normalisation.
    pub fn weights_of(layout: Layout) -> Self {
        let (period, weights) = layout.weights();
        Self { period, weights }
    }

    /// True if it falls on element `i`.
    pub(super) fn holds(&self, i: usize) -> bool {
        i % self.period < self.weights
    }

    /// True if it falls on all of `len` elements.
    pub(super) fn is_all(&self) -> bool {
        self.weights == self.period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_spares_the_biases_of_each_layout() {
        let decayed = |layout: Layout| {
            let decayed = Decayed::weights_of(layout);
            (0..layout.len(1)).filter(|&i| decayed.holds(i)).collect::<Vec<_>>()
        };
        // Rows of 4 outputs: 9 taps of 4 inputs, then the bias.
        assert!(decayed(Layout::Filter { c: 1, k: 3 }).into_iter().eq(0..144));
        assert!(decayed(Layout::Norm { c: 5 }).is_empty());
        // Two panels of 8 inputs and a bias.
        let panels = decayed(Layout::Panels { inputs: 8, outputs: 40 });
        assert!(panels.into_iter().eq((0..256).chain(512..768)));
    }

    #[test]
    fn adam_makes_up_for_a_start_at_zero() {
        let rule = Rule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
        let optimizer = Optimizer { rule, ..Optimizer::default() };
        let of = |number| {
            optimizer.step(Step { number, learning_rate: 0.1, ..Step::default() }).adam_rate
        };
        // 0.1 * sqrt(1 - 0.999) / (1 - 0.9), and 0.1 in the end.
        assert!((of(0) - 0.031_622_8).abs() < 1e-5, "{}", of(0));
        assert!((of(1_000_000) - 0.1).abs() < 1e-6);
        assert!((of(u32::MAX) - 0.1).abs() < 1e-6);
    }
}
