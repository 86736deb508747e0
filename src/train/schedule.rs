//! How the learning rate goes through a run.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// A learning rate by step, as a factor of the rate that was asked for.
///
/// Every step has a rate of its own, also within an epoch. With a warm-up the factor first rises in
/// equal parts to 1, and the curve is drawn over the steps that are left.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Schedule {
    /// The curve after the warm-up.
    pub curve: Curve,
    /// Epochs of the warm-up, whole or not; 0 for none.
    pub warmup: f64,
}

/// The course of a learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Curve {
    /// Always the same.
    #[default]
    Constant,
    /// Multiplied by `factor` after each `epochs` epochs (PyTorch's `StepLR`).
    Step {
        /// Epochs between two changes, at least 1.
        epochs: u32,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// Half a cosine down to 0 at the run's end (Loshchilov and Hutter, "SGDR", arXiv:1608.03983,
    /// equation 5, without restarts; PyTorch's `CosineAnnealingLR`).
    Cosine,
    /// From a 25th of the rate up to it over 30 % of the steps and down to a 250,000th of it, both in
    /// half a cosine (Smith and Topin, "Super-Convergence", arXiv:1708.07120; PyTorch's `OneCycleLR`
    /// with its defaults, of the rate alone).
    OneCycle,
}

/// Steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// Steps in an epoch.
    pub batches: u32,
    /// Epochs.
    pub epochs: u32,
}

impl Schedule {
    /// The factor of step `number`, from 0.
    pub fn factor(&self, number: u32, course: Course) -> f64 {
        let (batches, all) = (f64::from(course.batches), steps(course));
        let warmup = (self.warmup * batches).round().min(all);
        let step = f64::from(number);
        if step < warmup {
            return (step + 1.0) / warmup;
        }
        let (step, all) = (step - warmup, all - warmup);
        match self.curve {
            Curve::Constant => 1.0,
            Curve::Step { epochs, factor } => {
                let epoch = (step / batches.max(1.0)).floor();
                factor.powf((epoch / f64::from(epochs.max(1))).floor())
            }
            Curve::Cosine => between(1.0, 0.0, step / all),
            Curve::OneCycle => {
                // The last step of the rise is the 30th of a hundred, counted from 0.
                let (low, end) = (1.0 / 25.0, 1.0 / 25.0 / 1e4);
                let peak = (0.3 * all - 1.0).max(0.0);
                match step <= peak && peak > 0.0 {
                    true => between(low, 1.0, step / peak),
                    false => between(1.0, end, (step - peak) / (all - 1.0 - peak).max(1.0)),
                }
            }
        }
    }
}

fn steps(course: Course) -> f64 {
    f64::from(course.batches) * f64::from(course.epochs)
}

/// Half a cosine from one value to another, at `share` of the way.
fn between(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (PI * share.clamp(0.0, 1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(curve: Curve, warmup: f64, course: Course) -> Vec<f64> {
        let all = course.batches * course.epochs;
        (0..all).map(|step| Schedule { curve, warmup }.factor(step, course)).collect()
    }

    fn assert_near(found: &[f64], wanted: &[f64]) {
        assert_eq!(found.len(), wanted.len());
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
        assert!(found.iter().zip(wanted).all(near), "{found:?}\n{wanted:?}");
    }

    /// What torch.optim.lr_scheduler (2.15) gives for a rate of 1.
    #[test]
    fn curves_are_those_of_pytorch() {
        let course = |batches, epochs| Course { batches, epochs };
        let one_cycle = [
            0.04, 0.131672, 0.371672, 0.668328, 0.908328, 1.0, 0.987464, 0.950485, 0.890916,
            0.811746, 0.716943, 0.611262, 0.500002, 0.388742, 0.283061, 0.188258, 0.109088,
            0.049519, 0.01254, 4e-6,
        ];
        assert_near(&factors(Curve::OneCycle, 0.0, course(5, 4)), &one_cycle);
        // Where the peak lies between two steps.
        let short = [0.04, 0.980557, 0.919044, 0.672684, 0.357739, 0.099297, 4e-6];
        assert_near(&factors(Curve::OneCycle, 0.0, course(7, 1)), &short);
        let cosine = [
            1.0, 0.975528, 0.904508, 0.793893, 0.654508, 0.5, 0.345492, 0.206107, 0.095492,
            0.024472,
        ];
        assert_near(&factors(Curve::Cosine, 0.0, course(2, 5)), &cosine);
        let step = Curve::Step { epochs: 2, factor: 0.5 };
        let wanted = [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25];
        assert_near(&factors(step, 0.0, course(2, 5)), &wanted);
    }

    #[test]
    fn a_warm_up_rises_to_the_rate_and_the_curve_has_the_rest() {
        let course = Course { batches: 4, epochs: 3 };
        let found = factors(Curve::Constant, 1.0, course);
        assert_near(&found[..5], &[0.25, 0.5, 0.75, 1.0, 1.0]);
        let found = factors(Curve::Cosine, 0.5, course);
        assert_near(&found[..3], &[0.5, 1.0, 1.0]);
        assert_near(&found[2..], &factors(Curve::Cosine, 0.0, Course { batches: 10, epochs: 1 }));
        // One that takes all of a run.
        assert_near(&factors(Curve::OneCycle, 9.0, course)[11..], &[1.0]);
    }

    #[test]
    fn the_shortest_runs_have_rates() {
        for curve in [Curve::OneCycle, Curve::Cosine, Curve::Step { epochs: 0, factor: 0.1 }] {
            for (batches, epochs) in [(1, 1), (2, 1), (1, 3)] {
                let found = factors(curve, 0.0, Course { batches, epochs });
                assert!(found.iter().all(|factor| (0.0..=1.0).contains(factor)), "{found:?}");
            }
        }
    }
}
