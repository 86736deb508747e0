//! The training loop.

use std::ops::ControlFlow;
use std::time::Instant;

use super::history::{EpochRecord, History};
use super::trainer::{Hyper, Seen, sweep};
use super::{Metrics, TrainError, Trainer};

/// How long and how fast a network learns. The defaults are those of "Dive into Deep Learning" 7.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitOptions {
    /// Passes over the training images.
    pub epochs: u32,
    /// Images in a batch; the last one of an epoch may have fewer.
    pub batch: usize,
    /// Learning rate of SGD.
    pub learning_rate: f32,
    /// Momentum of SGD in PyTorch's form, `v = momentum v + gradient`; 0 for none. The network has
    /// to be made with [`crate::graph::NetworkOptions::momentum`].
    pub momentum: f32,
    /// Weight decay of SGD in PyTorch's form, added to the gradient of every parameter; 0 for none.
    pub weight_decay: f32,
    /// Seed of the order of images and of the dropout masks.
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
            momentum: 0.0,
            weight_decay: 0.0,
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
            if observer.epoch(self, &record)?.is_break() {
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
        let hyper = Hyper {
            number: batches.wrapping_mul(epoch - 1),
            // Any 32 bits of the seed will do for the masks.
            seed: options.seed as u32,
            learning_rate: options.learning_rate,
            momentum: options.momentum,
            weight_decay: options.weight_decay,
        };
        let mut report = reporter(epoch, Phase::Train, images, options.batch, observer);
        sweep(&self.network, &self.train, options.batch, hyper, |seen| {
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
