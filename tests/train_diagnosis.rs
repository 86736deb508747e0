//! What the curves of a run are said to show, and that noise is not said to show anything.

use vgg_wgpu::train::diagnosis::{Curve, Diagnosis, diagnose};
use vgg_wgpu::train::history::{EpochRecord, History};

const CLASSES: usize = 10;
const LN_10: f64 = std::f64::consts::LN_10;

/// A history of (train loss, validation loss) an epoch.
fn history(losses: &[(f64, f64)]) -> History {
    let row = |(epoch, &(train_loss, val_loss))| EpochRecord {
        epoch,
        train_loss,
        train_acc: 0.1,
        val_loss,
        val_acc: 0.1,
        seconds: 1.0,
        images_per_s: 1.0,
    };
    History { epochs: (1..).zip(losses).map(row).collect() }
}

fn of(losses: &[(f64, f64)]) -> Option<Diagnosis> {
    diagnose(&history(losses), CLASSES)
}

/// Noise of standard deviation 1: the sum of twelve uniform values, from a fixed generator.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 40) as f64 / (1u64 << 24) as f64
        };
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    }
}

#[test]
fn no_epochs_show_nothing() {
    assert_eq!(of(&[]), None);
}

#[test]
fn a_loss_that_is_not_finite_is_named_with_its_epoch() {
    let found = of(&[(2.0, 2.0), (1.5, 1.6), (f64::NAN, f64::NAN), (f64::NAN, f64::NAN)]);
    let Some(Diagnosis::NotFinite { epoch: 3, curve: Curve::Train, .. }) = found else {
        panic!("{found:?}")
    };
    let sentence = found.expect("found").to_string();
    assert!(sentence.contains("train loss became NaN at epoch 3"), "{sentence}");
    assert!(sentence.contains("lower --lr"), "{sentence}");

    let found = of(&[(2.0, 2.0), (1.5, f64::INFINITY)]).expect("found");
    assert!(matches!(found, Diagnosis::NotFinite { epoch: 2, curve: Curve::Validation, .. }));
    assert!(found.to_string().contains("validation loss became infinite at epoch 2"));
}

#[test]
fn a_run_without_validation_has_not_diverged() {
    let losses: Vec<_> = (1..10).map(|e| (2.0 / f64::from(e), f64::NAN)).collect();
    assert_eq!(of(&losses), None);
}

#[test]
fn a_loss_far_above_guessing_at_the_end_has_diverged() {
    let found = of(&[(1.9, 1.8), (9.0, 8.0), (1.7, 1.8), (12.0, 14.0), (55.0, 60.0)]);
    assert_eq!(found, Some(Diagnosis::Diverged { epoch: 4, loss: 55.0, classes: CLASSES }));
    let sentence = found.expect("found").to_string();
    assert!(sentence.contains("from epoch 4 on"), "{sentence}");
    assert!(sentence.contains("2.303 = ln(10)"), "{sentence}");
}

#[test]
fn a_bad_start_that_recovers_has_not_diverged() {
    assert_eq!(of(&[(40.0, 9.0), (2.1, 2.0), (1.9, 2.0)]), None);
}

#[test]
fn a_loss_that_stays_at_guessing_is_a_plateau() {
    for epochs in [1, 2, 10, 50] {
        let mut noise = Noise(epochs);
        let losses: Vec<_> = (0..epochs).map(|_| (LN_10 + 0.002 * noise.next(), LN_10)).collect();
        let found = of(&losses).expect("a plateau");
        assert!(matches!(found, Diagnosis::Guessing { classes: CLASSES, .. }), "{found:?}");
        let sentence = found.to_string();
        for part in ["the loss of guessing", "ln(10) = 2.303", "--init kaiming", "--momentum 0.9"] {
            assert!(sentence.contains(part), "{sentence}");
        }
    }
    let mut of_a_hundred = history(&[(4.61, 4.6), (4.602, 4.6)]);
    of_a_hundred.epochs[1].train_acc = 0.012;
    let found = diagnose(&of_a_hundred, 100);
    assert_eq!(found, Some(Diagnosis::Guessing { loss: 4.602, classes: 100 }));
}

#[test]
fn leaving_the_plateau_is_no_plateau() {
    assert_eq!(of(&[(2.303, 2.302), (2.302, 2.298), (2.27, 2.20)]), None);
    // The loss of the first epoch is the mean over it: high while the network learnt already.
    let mut learning = history(&[(2.29, 2.2)]);
    learning.epochs[0].train_acc = 0.25;
    assert_eq!(diagnose(&learning, CLASSES), None);
}

#[test]
fn a_loss_that_does_not_move_is_frozen() {
    let found = of(&[(1.950, 1.9), (1.951, 1.9), (1.949, 1.9)]);
    assert_eq!(found, Some(Diagnosis::Frozen { loss: 1.949, epochs: 3 }));
    assert!(found.expect("found").to_string().contains("over all 3 epochs"));
    // Two epochs may agree by chance, and a low loss has converged.
    assert_eq!(of(&[(1.950, 1.9), (1.951, 1.9)]), None);
    assert_eq!(of(&[(0.2000, 0.3), (0.2001, 0.3), (0.2002, 0.3), (0.2, 0.3)]), None);
}

#[test]
fn a_rising_validation_loss_is_over_fitting() {
    let losses =
        [(1.0, 0.9), (0.6, 0.5), (0.4, 0.40), (0.3, 0.41), (0.2, 0.44), (0.12, 0.50), (0.07, 0.57)];
    let found = of(&losses);
    let expected = Diagnosis::OverFitting {
        best_epoch: 3,
        best_loss: 0.40,
        last_epoch: 7,
        last_loss: 0.57,
        rising: true,
    };
    assert_eq!(found, Some(expected));
    let sentence = expected.to_string();
    for part in ["best at epoch 3 with 0.4000", "risen to 0.5700 by epoch 7", "fewer epochs"] {
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[test]
fn a_stalled_validation_loss_is_over_fitting_if_the_train_loss_falls() {
    let stalled = |fall: f64| {
        let early = [(1.0, 0.9), (0.6, 0.5), (0.45, 0.400)];
        let late = (1..=7).map(|e| (0.45 - fall * f64::from(e), 0.402 + 0.001 * f64::from(e % 2)));
        early.into_iter().chain(late).collect::<Vec<_>>()
    };
    let found = of(&stalled(0.03));
    // The three around the best epoch include the fall to it, so they are not the lower ones ...
    assert_eq!(found, None);
    // ... until the best lies within the level stretch.
    let mut level = stalled(0.03);
    level[3].1 = 0.401;
    level[2].1 = 0.401;
    level[1].1 = 0.402;
    let found = of(&level);
    assert!(matches!(found, Some(Diagnosis::OverFitting { rising: false, .. })), "{found:?}");
    assert!(found.expect("found").to_string().contains("has stalled, at 0.40"));
}

#[test]
fn a_rise_of_one_epoch_is_not_over_fitting() {
    assert_eq!(of(&[(1.0, 0.9), (0.6, 0.5), (0.4, 0.40), (0.3, 0.55)]), None);
}

#[test]
fn a_rise_of_both_losses_is_not_over_fitting() {
    let losses = [(1.0, 0.9), (0.6, 0.5), (0.4, 0.4), (0.45, 0.5), (0.5, 0.55), (0.5, 0.6)];
    assert_eq!(of(&losses), None);
}

#[test]
fn noise_about_a_falling_loss_shows_nothing_grave() {
    for seed in 0..500 {
        let mut noise = Noise(seed);
        let mut value = |base: f64| base * (1.0 + 0.02 * noise.next());
        let losses: Vec<_> = (0..20)
            .map(|e| 1.5 * 0.93f64.powi(e) + 0.1)
            .map(|base| (value(base), value(base + 0.1)))
            .collect();
        let found = of(&losses);
        assert!(
            matches!(found, None | Some(Diagnosis::StillImproving { .. })),
            "{seed}: {found:?}"
        );
    }
}

#[test]
fn noise_about_level_losses_shows_nothing() {
    for seed in 0..500 {
        let mut noise = Noise(seed);
        let losses: Vec<_> = (0..20)
            .map(|_| (0.4 * (1.0 + 0.01 * noise.next()), 0.5 * (1.0 + 0.01 * noise.next())))
            .collect();
        assert_eq!(of(&losses), None, "seed {seed}");
    }
}

#[test]
fn two_falling_losses_are_still_improving() {
    let found = of(&[(1.5, 1.4), (1.2, 1.1), (1.0, 0.95)]);
    assert_eq!(found, Some(Diagnosis::StillImproving { before: 1.4, last: 0.95 }));
    assert!(found.expect("found").to_string().contains("more epochs would help"));
    // A fall that nobody would notice is none.
    assert_eq!(of(&[(0.005, 0.002), (0.003, 0.001), (0.001, 0.0005)]), None);
    // One epoch's fall, or a fall of the train loss alone, is no trend.
    assert_eq!(of(&[(1.5, 1.4), (1.0, 0.95)]), None);
    assert_eq!(of(&[(1.5, 1.4), (1.2, 1.4), (1.0, 1.39)]), None);
}

#[test]
fn counts_of_classes_that_make_no_sense_are_no_panic() {
    for classes in [0, 1] {
        assert_eq!(diagnose(&history(&[(0.0, 0.0), (0.0, 0.0), (0.0, 0.0)]), classes), None);
        assert_eq!(diagnose(&history(&[(9.0, 9.0)]), classes), None);
    }
}
