//! What the curves of a run say about it: one sentence for its summary.
//!
//! The thresholds are for cross-entropy in nats, one value an epoch. Such values carry noise of one
//! or two per cent from epoch to epoch, so each rule asks for a change well above that, or for one
//! that lasts. A rule that is unsure says nothing.

use std::fmt;

use super::history::{EpochRecord, History, loss_text};

/// A loss within this fraction of `ln(classes)` is the loss of guessing: a network that learnt
/// nothing stays within a few tenths of a per cent, one that learns leaves the band in an epoch.
const GUESSING_BAND: f64 = 0.01;
/// A network that classifies this many times better than chance is learning, whatever its loss.
const BETTER_THAN_CHANCE: f64 = 2.0;
/// A loss that stays within this fraction of its first value over [`FROZEN_EPOCHS`] is stuck, ...
const FROZEN_BAND: f64 = 0.005;
/// ... as noise alone moves a loss that is falling by more; two epochs may agree by chance.
const FROZEN_EPOCHS: usize = 3;
/// ... unless it is under this fraction of `ln(classes)`: then it has converged.
const CONVERGED: f64 = 0.5;
/// A last loss over this many times `ln(classes)` is far worse than guessing. The first epochs of
/// a healthy run may start there, but they come down.
const FAR_ABOVE_GUESSING: f64 = 2.0;
/// Rise of the validation loss over its best that counts, as the mean of up to three last epochs:
/// noise of 2 % lifts that mean about 4 % over the lowest of 10 epochs, ...
const RISE: f64 = 0.05;
/// ... and twice as much is asked for where only two epochs follow the best one.
const RISE_OF_TWO: f64 = 0.10;
/// Changes below this many nats do not matter, however large a fraction of a tiny loss they are.
const LEAST_NATS: f64 = 0.005;
/// Fall of the train loss since the best epoch that shows that training went on.
const TRAIN_FALL: f64 = 0.05;
/// A validation loss without a new best for this many epochs stalls, if meanwhile ...
const STALL_EPOCHS: usize = 5;
/// ... the train loss fell by this fraction.
const STALL_TRAIN_FALL: f64 = 0.10;
/// Both losses are still falling if they fell by this fraction over the last two epochs, ...
const STILL_FALLING: f64 = 0.05;
/// ... and by this fraction in each: one lucky epoch is not a trend.
const STILL_FALLING_STEP: f64 = 0.01;

/// Which of the two losses is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// The loss over the training images.
    Train,
    /// The loss over the validation images.
    Validation,
}

/// What a run's curves show. [`fmt::Display`] gives one sentence with advice; losses in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Diagnosis {
    /// A loss became NaN or infinite.
    NotFinite {
        /// The first epoch of which this is true.
        epoch: u32,
        /// The curve it happened to, the train loss first.
        curve: Curve,
        /// The value: NaN or an infinity.
        value: f64,
    },
    /// The train loss ended far above that of guessing.
    Diverged {
        /// The first epoch of the stretch that lasts to the end.
        epoch: u32,
        /// The train loss of the last epoch.
        loss: f64,
        /// Number of classes.
        classes: usize,
    },
    /// The train loss never left that of guessing.
    Guessing {
        /// The train loss of the last epoch.
        loss: f64,
        /// Number of classes.
        classes: usize,
    },
    /// The train loss did not move from its first value.
    Frozen {
        /// The train loss of the last epoch.
        loss: f64,
        /// Number of epochs over which it stood still.
        epochs: usize,
    },
    /// The validation loss rose, or stalled, while the train loss went on falling.
    OverFitting {
        /// The epoch with the lowest validation loss.
        best_epoch: u32,
        /// That loss.
        best_loss: f64,
        /// The last epoch.
        last_epoch: u32,
        /// The validation loss of the last epoch.
        last_loss: f64,
        /// False if the loss stalled instead of rising.
        rising: bool,
    },
    /// Both losses still fell clearly at the end.
    StillImproving {
        /// The validation loss two epochs before the last.
        before: f64,
        /// The validation loss of the last epoch.
        last: f64,
    },
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotFinite { epoch, curve, value } => {
                let curve = match curve {
                    Curve::Train => "train",
                    Curve::Validation => "validation",
                };
                let value = if value.is_nan() { "NaN" } else { "infinite" };
                write!(
                    f,
                    "the {curve} loss became {value} at epoch {epoch}: the run diverged; \
                     try a lower --lr"
                )
            }
            Self::Diverged { epoch, loss, classes } => write!(
                f,
                "from epoch {epoch} on the train loss was far above {:.3} = ln({classes}), the \
                 loss of guessing, and ended at {}: the run diverged; try a lower --lr",
                guessing(classes),
                loss_text(loss)
            ),
            Self::Guessing { loss, classes } => write!(
                f,
                "the train loss stayed at {loss:.3}, the loss of guessing (ln({classes}) = {:.3}): \
                 the network learnt nothing; try --init kaiming, --momentum 0.9, a lower --lr, \
                 or more epochs",
                guessing(classes)
            ),
            Self::Frozen { loss, epochs } => write!(
                f,
                "the train loss stayed at {loss:.3} over all {epochs} epochs: the network does \
                 not learn; try --init kaiming, --momentum 0.9, or another --lr"
            ),
            Self::OverFitting { best_epoch, best_loss, last_epoch, last_loss, rising } => {
                let what = if rising { "has risen to" } else { "has stalled, at" };
                write!(
                    f,
                    "over-fitting: the validation loss was best at epoch {best_epoch} with \
                     {best_loss:.4} and {what} {last_loss:.4} by epoch {last_epoch}, while the \
                     train loss went on falling; try fewer epochs, more data or more dropout"
                )
            }
            Self::StillImproving { before, last } => write!(
                f,
                "still improving: the validation loss fell from {before:.4} to {last:.4} over the \
                 last two epochs; more epochs would help"
            ),
        }
    }
}

/// Says what the curves of a run over `classes` classes show, or `None` if nothing stands out.
///
/// The gravest finding wins: a loss that is not finite, one that diverged, one that never moved,
/// over-fitting, and last a run that was stopped early.
/// A validation loss that is NaN in every epoch means that none was measured.
///
/// ```
/// use vgg_wgpu::train::diagnosis::{Diagnosis, diagnose};
/// use vgg_wgpu::train::history::{EpochRecord, History};
///
/// let row = |epoch, train_loss| EpochRecord {
///     epoch,
///     train_loss,
///     train_acc: 0.1,
///     val_loss: 2.303,
///     val_acc: 0.1,
///     seconds: 60.0,
///     images_per_s: 1000.0,
/// };
/// let history = History { epochs: vec![row(1, 2.304), row(2, 2.303)] };
/// let found = diagnose(&history, 10);
/// assert_eq!(found, Some(Diagnosis::Guessing { loss: 2.303, classes: 10 }));
/// ```
#[must_use]
pub fn diagnose(history: &History, classes: usize) -> Option<Diagnosis> {
    let epochs = history.epochs.as_slice();
    not_finite(epochs)
        .or_else(|| diverged(epochs, classes))
        .or_else(|| guessed(epochs, classes))
        .or_else(|| frozen(epochs, classes))
        .or_else(|| over_fitting(epochs))
        .or_else(|| still_improving(epochs))
}

/// The cross-entropy of guessing all classes alike, in nats.
fn guessing(classes: usize) -> f64 {
    // Class counts are far below 2^52, where this would round.
    (classes as f64).ln()
}

fn not_finite(epochs: &[EpochRecord]) -> Option<Diagnosis> {
    let validated = epochs.iter().any(|record| !record.val_loss.is_nan());
    epochs.iter().find_map(|record| {
        let epoch = record.epoch;
        if !record.train_loss.is_finite() {
            let (curve, value) = (Curve::Train, record.train_loss);
            return Some(Diagnosis::NotFinite { epoch, curve, value });
        }
        let (curve, value) = (Curve::Validation, record.val_loss);
        (validated && !value.is_finite()).then_some(Diagnosis::NotFinite { epoch, curve, value })
    })
}

fn diverged(epochs: &[EpochRecord], classes: usize) -> Option<Diagnosis> {
    // Of one class, or none, guessing has no loss to compare with.
    if classes < 2 {
        return None;
    }
    let limit = FAR_ABOVE_GUESSING * guessing(classes);
    let above = epochs.iter().rev().take_while(|record| record.train_loss > limit).last()?;
    let loss = epochs.last()?.train_loss;
    Some(Diagnosis::Diverged { epoch: above.epoch, loss, classes })
}

fn guessed(epochs: &[EpochRecord], classes: usize) -> Option<Diagnosis> {
    let guess = guessing(classes);
    let last = epochs.last()?;
    let stayed = epochs.iter().all(|r| (r.train_loss - guess).abs() <= GUESSING_BAND * guess);
    let learns = last.train_acc > BETTER_THAN_CHANCE / classes as f64;
    let found = classes >= 2 && stayed && !learns;
    found.then_some(Diagnosis::Guessing { loss: last.train_loss, classes })
}

fn frozen(epochs: &[EpochRecord], classes: usize) -> Option<Diagnosis> {
    let (first, last) = (epochs.first()?.train_loss, epochs.last()?.train_loss);
    let stayed = epochs.iter().all(|r| (r.train_loss - first).abs() <= FROZEN_BAND * first);
    let high = classes >= 2 && last > CONVERGED * guessing(classes);
    let found = epochs.len() >= FROZEN_EPOCHS && stayed && high;
    found.then_some(Diagnosis::Frozen { loss: last, epochs: epochs.len() })
}

fn over_fitting(epochs: &[EpochRecord]) -> Option<Diagnosis> {
    let last = epochs.last()?;
    let lowest = |a: &(usize, &EpochRecord), b: &(usize, &EpochRecord)| {
        a.1.val_loss.total_cmp(&b.1.val_loss)
    };
    let measured = epochs.iter().enumerate().filter(|(_, record)| record.val_loss.is_finite());
    let (best_index, best) = measured.min_by(lowest)?;
    let since = epochs.len() - 1 - best_index;
    let recent = mean_val(&epochs[epochs.len() - since.min(3)..])?;
    let fell_to = |fall: f64| last.train_loss <= (1.0 - fall) * best.train_loss;

    let rise = if since == 2 { RISE_OF_TWO } else { RISE };
    let rose = recent - best.val_loss >= (rise * best.val_loss).max(LEAST_NATS);
    let rising = since >= 2 && rose && fell_to(TRAIN_FALL);
    // Means of three on both sides, as the best epoch alone is best partly by luck.
    let around_best = mean_val(&epochs[best_index.saturating_sub(1)..=best_index + since.min(1)])?;
    let stalled = since >= STALL_EPOCHS && recent >= around_best && fell_to(STALL_TRAIN_FALL);
    (rising || stalled).then_some(Diagnosis::OverFitting {
        best_epoch: best.epoch,
        best_loss: best.val_loss,
        last_epoch: last.epoch,
        last_loss: last.val_loss,
        rising,
    })
}

/// Mean validation loss, `None` of no epochs or where it is not finite.
fn mean_val(epochs: &[EpochRecord]) -> Option<f64> {
    let sum: f64 = epochs.iter().map(|record| record.val_loss).sum();
    let mean = sum / epochs.len() as f64;
    mean.is_finite().then_some(mean)
}

fn still_improving(epochs: &[EpochRecord]) -> Option<Diagnosis> {
    let [.., before, middle, last] = epochs else { return None };
    let falls = |a: f64, b: f64, c: f64| {
        let step = 1.0 - STILL_FALLING_STEP;
        b < step * a && c < step * b && c < (1.0 - STILL_FALLING) * a
    };
    let found = before.val_loss - last.val_loss >= LEAST_NATS
        && falls(before.val_loss, middle.val_loss, last.val_loss)
        && falls(before.train_loss, middle.train_loss, last.train_loss);
    found.then_some(Diagnosis::StillImproving { before: before.val_loss, last: last.val_loss })
}
