//! The training loop.

use std::ops::ControlFlow;
use std::time::Instant;

use super::history::{EpochRecord, History};
use super::schedule::{Course, Schedule};
use super::trainer::{Seen, sweep};
use super::{Metrics, TrainError, Trainer};
use crate::graph::Batch;

/// How long and how fast a network learns. The defaults are those of "Dive into Deep Learning" 7.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitOptions {
    /// Passes over the training images.
    pub epochs: u32,
    /// Images in a batch; the last one of an epoch may have fewer.
    pub batch: usize,
    /// Learning rate of SGD.
    pub learning_rate: f32,
    /// What the learning rate is multiplied by from step to step.
    pub schedule: Schedule,
    /// Momentum of SGD in PyTorch's form, `v = momentum v + gradient`; 0 for none. The network has
    /// to be made with [`crate::graph::NetworkOptions::momentum`].
    pub momentum: f32,
    /// Weight decay of SGD in PyTorch's form, added to the gradient of every parameter; 0 for none.
    pub weight_decay: f32,
    /// Share of a label that is spread over all classes in training, 0 to 1: see
    /// [`crate::ops::SoftmaxCrossEntropy`].
    pub label_smoothing: f32,
    /// The run ends after this many epochs in which the validation loss did not fall below its least.
    pub patience: Option<u32>,
    /// Seed of the order of images, of what is done to them, and of the dropout masks.
    pub seed: u64,
    /// True if each epoch takes the images in another order.
    pub shuffle: bool,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 128,
            learning_rate: 0.05,
            schedule: Schedule::default(),
            momentum: 0.0,
            weight_decay: 0.0,
            label_smoothing: 0.0,
            patience: None,
            seed: 0,
            shuffle: true,
        }
    }
}

/// What an epoch is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Training on the training images.
    Train,
    /// Measuring over the test images.
    Validate,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// The epoch, from 1.
    pub epoch: u32,
    /// What it is doing.
    pub phase: Phase,
    /// What was measured over the images of this phase so far.
    pub so_far: Metrics,
    /// What was measured over the last batch.
    pub batch: Metrics,
    /// Number of that batch among all of the run in this phase, from 0.
    pub step: u32,
    /// All images of the phase.
    pub images: u64,
    /// Seconds since the phase began.
    pub seconds: f64,
    /// Of these, seconds in which the host waited for images to be read.
    pub waited: f64,
}

/// Told of a run as it goes on.
pub trait Observer {
    /// The metrics of another batch have arrived; those of later ones are on their way.
    ///
    /// # Errors
    /// Whatever keeps its result from being kept; it ends the run.
    fn batch(&mut self, _progress: &Progress) -> Result<(), TrainError> {
        Ok(())
    }

    /// An epoch has ended; [`ControlFlow::Break`] makes it the last.
    ///
    /// # Errors
    /// Whatever keeps its result from being kept; it ends the run.
    fn epoch(
        &mut self,
        trainer: &Trainer,
        record: &EpochRecord,
    ) -> Result<ControlFlow<()>, TrainError>;
}

impl Trainer {
    /// Trains the network by stochastic gradient descent and measures it after each epoch.
    ///
    /// # Errors
    /// [`TrainError::EmptyBatch`] of batches without images, [`TrainError::Diverged`] if a loss is no
    /// number, [`TrainError::Graph`] if the device fails, and what `observer` reports.
    pub fn fit(
        &mut self,
        options: &FitOptions,
        observer: &mut dyn Observer,
    ) -> Result<History, TrainError> {
        if options.batch == 0 {
            return Err(TrainError::EmptyBatch);
        }
        let (asked, most) = (options.batch.min(self.train_images()), self.train.most());
        if asked > most {
            return Err(TrainError::BatchTooLarge { asked, most });
        }
        let mut history = History::default();
        for epoch in 1..=options.epochs {
            let start = Instant::now();
            if options.shuffle {
                self.train.shuffle(self.network.gpu(), options.seed, epoch)?;
            }
            let trained = self.train_epoch(epoch, options, observer)?;
            let train_seconds = start.elapsed().as_secs_f64();
            let validated = self.validate(epoch, options.batch, observer)?;
            let record = EpochRecord {
                epoch,
                train_loss: trained.loss(),
                train_acc: trained.accuracy(),
                val_loss: validated.loss(),
                val_acc: validated.accuracy(),
                seconds: start.elapsed().as_secs_f64(),
                images_per_s: trained.images as f64 / train_seconds,
            };
            history.epochs.push(record);
            let ends = observer.epoch(self, &record)?.is_break();
            if ends || options.patience.is_some_and(|patience| has_stalled(&history, patience)) {
                break;
            }
        }
        Ok(history)
    }

    fn train_epoch(
        &self,
        epoch: u32,
        options: &FitOptions,
        observer: &mut dyn Observer,
    ) -> Result<Metrics, TrainError> {
        let images = self.train.images();
        let batches = images.div_ceil(options.batch) as u32;
        let course = Course { batches, epochs: options.epochs };
        let numbered = |number| Batch {
            number,
            // Any 32 bits of the seed will do for the masks.
            seed: options.seed as u32,
            learning_rate: options.rate(number, course),
            momentum: options.momentum,
            weight_decay: options.weight_decay,
            label_smoothing: options.label_smoothing,
            ..Batch::default()
        };
        let first = batches.wrapping_mul(epoch - 1);
        let mut report = reporter(epoch, Phase::Train, images, options.batch, observer);
        sweep(&self.network, &self.train, options.batch, (first, &numbered), |seen| {
            report(seen)?;
            match seen.so_far.loss() {
                loss if loss.is_finite() => Ok(()),
                loss => Err(TrainError::Diverged { epoch, images: seen.so_far.images, loss }),
            }
        })
    }

    fn validate(
        &self,
        epoch: u32,
        batch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Metrics, TrainError> {
        let images = self.test.images();
        let report = reporter(epoch, Phase::Validate, images, batch, observer);
        self.test(batch, report)
    }
}

impl FitOptions {
    /// The learning rate of a step.
    fn rate(&self, number: u32, course: Course) -> f32 {
        (f64::from(self.learning_rate) * self.schedule.factor(number, course)) as f32
    }
}

/// True if the validation loss has been no less than before for `patience` epochs.
fn has_stalled(history: &History, patience: u32) -> bool {
    let losses = history.epochs.iter().map(|epoch| epoch.val_loss).enumerate();
    // The first of the least: an epoch that only equals it brings nothing.
    let best = losses.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(place, _)| place);
    history.epochs.len() > best + patience.max(1) as usize
}

fn reporter(
    epoch: u32,
    phase: Phase,
    images: usize,
    size: usize,
    observer: &mut dyn Observer,
) -> impl FnMut(Seen) -> Result<(), TrainError> {
    let start = Instant::now();
    let batches = images.div_ceil(size) as u32;
    let mut steps = batches.wrapping_mul(epoch - 1)..;
    move |Seen { so_far, batch, waited }| {
        let seconds = start.elapsed().as_secs_f64();
        let (images, step) = (images as u64, steps.next().unwrap_or(u32::MAX));
        observer.batch(&Progress { epoch, phase, so_far, batch, step, images, seconds, waited })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_stalls_when_its_loss_has_not_fallen_for_as_long_as_it_may() {
        let after = |losses: &[f64]| {
            let epochs = losses.iter().map(|&val_loss| EpochRecord {
                epoch: 1,
                train_loss: 1.0,
                train_acc: 0.5,
                val_loss,
                val_acc: 0.5,
                seconds: 1.0,
                images_per_s: 1.0,
            });
            has_stalled(&History { epochs: epochs.collect() }, 2)
        };
        assert!(!after(&[1.0]) && !after(&[1.0, 2.0]) && !after(&[1.0, 2.0, 0.9]));
        assert!(after(&[1.0, 2.0, 3.0]) && after(&[1.0, 1.0, 1.0]));
        assert!(!after(&[1.0, 2.0, 0.5, 0.6]));
        assert!(after(&[0.5, f64::NAN, f64::NAN]));
    }
}
