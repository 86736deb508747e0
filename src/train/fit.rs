//! The training loop.

use std::ops::ControlFlow;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::history::{EpochRecord, History};
use super::schedule::{Course, Schedule};
use super::trainer::{Seen, Swept, Watch, sweep};
use super::{Metrics, TrainError, Trainer};
use crate::graph::Batch;

/// How long and how fast a network learns, whose optimiser is in
/// [`NetworkOptions`](crate::graph::NetworkOptions::optimizer). The defaults are those of "Dive into Deep
/// Learning" 7.2.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FitOptions {
    /// Passes over the training images.
    pub epochs: u32,
    /// Images in a batch; the last one of an epoch may have fewer.
    pub batch: usize,
    /// Learning rate.
    pub learning_rate: f32,
    /// What the learning rate is multiplied by from step to step.
    pub schedule: Schedule,
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
    /// Learning rate of that step; 0 in validation.
    pub learning_rate: f32,
    /// All images of the phase.
    pub images: u64,
    /// Seconds since the phase began.
    pub seconds: f64,
    /// Of these, seconds in which the host waited for images to be read.
    pub waited: f64,
}

/// How far a run has come, between two of its steps: all that it takes to go on from there, beside the
/// network. The default is the beginning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Batches trained on in the epoch after those of the history.
    pub batches: u32,
    /// Seconds that they took.
    pub seconds: f64,
    /// What was measured over them.
    pub so_far: Metrics,
    /// The epochs that are finished.
    pub history: History,
}

impl Reached {
    /// The epoch that is to go on or to begin, from 1.
    pub fn epoch(&self) -> u32 {
        self.history.epochs.len() as u32 + 1
    }
}

/// What an observer wants between two steps; a later one outweighs those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Next {
    /// The next step.
    GoOn,
    /// [`Observer::save`] before it.
    Save,
    /// [`Observer::save`], and then no more.
    Stop,
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

    /// Asked between two steps.
    fn next(&mut self) -> Next {
        Next::GoOn
    }

    /// Keeps a run as it stands, so that [`Trainer::fit_from`] goes on from there: when [`Observer::next`]
    /// wants it, and after the last epoch. The device is done with all steps before.
    ///
    /// # Errors
    /// Whatever keeps it from being kept; it ends the run.
    fn save(
        &mut self,
        _trainer: &Trainer,
        _options: &FitOptions,
        _reached: &Reached,
    ) -> Result<(), TrainError> {
        Ok(())
    }
}

impl Trainer {
    /// Trains the network by its optimiser and measures it after each epoch. What the optimiser keeps of
    /// gradients stays in the network: AdamW takes it to be zero at the beginning, as it is in a new one.
    ///
    /// # Errors
    /// [`TrainError::EmptyBatch`] of batches without images, [`TrainError::Diverged`] if a loss is no
    /// number, [`TrainError::Graph`] if the device fails, and what `observer` reports.
    pub fn fit(
        &mut self,
        options: &FitOptions,
        observer: &mut dyn Observer,
    ) -> Result<History, TrainError> {
        self.fit_from(options, Reached::default(), observer)
    }

    /// As [`Trainer::fit`], from where a run stands that was kept: with the same options, images and
    /// kernels, and the weights and moments of then, each step and the result have the same bits as
    /// those of a run that never stopped.
    ///
    /// # Errors
    /// Those of [`Trainer::fit`].
    pub fn fit_from(
        &mut self,
        options: &FitOptions,
        mut reached: Reached,
        observer: &mut dyn Observer,
    ) -> Result<History, TrainError> {
        self.check_batch(options)?;
        while reached.epoch() <= options.epochs && options.stalled(&reached.history).is_none() {
            let (epoch, start) = (reached.epoch(), Instant::now());
            if options.shuffle {
                self.train.shuffle(self.network.gpu(), options.seed, epoch)?;
            }
            let before = reached.seconds;
            if self.train_epoch(options, &mut reached, observer)?.stopped {
                break;
            }
            let Some(validated) = self.validate(options, &reached, observer)? else { break };
            let trained = reached.so_far;
            let record = EpochRecord {
                epoch,
                train_loss: trained.loss(),
                train_acc: trained.accuracy(),
                val_loss: validated.loss(),
                val_acc: validated.accuracy(),
                seconds: before + start.elapsed().as_secs_f64(),
                images_per_s: trained.images as f64 / reached.seconds,
            };
            let mut history = reached.history;
            history.epochs.push(record);
            reached = Reached { history, ..Reached::default() };
            let ends = observer.epoch(self, &record)?.is_break();
            let ends =
                ends || epoch == options.epochs || options.stalled(&reached.history).is_some();
            let next = observer.next();
            if ends || next != Next::GoOn {
                observer.save(self, options, &reached)?;
            }
            if ends || next == Next::Stop {
                break;
            }
        }
        Ok(reached.history)
    }

    /// Fails of batches that cannot be run.
    pub(super) fn check_batch(&self, options: &FitOptions) -> Result<(), TrainError> {
        if options.batch == 0 {
            return Err(TrainError::EmptyBatch);
        }
        let (asked, most) = (options.batch.min(self.train_images()), self.train.most());
        if asked > most { Err(TrainError::BatchTooLarge { asked, most }) } else { Ok(()) }
    }

    /// The number of the next training step of a run, from 0.
    pub fn step(&self, options: &FitOptions, reached: &Reached) -> u32 {
        let Course { batches, .. } = self.course(options);
        batches.wrapping_mul(reached.epoch() - 1).wrapping_add(reached.batches)
    }

    fn course(&self, options: &FitOptions) -> Course {
        let batches = self.train.images().div_ceil(options.batch.max(1)) as u32;
        Course { batches, epochs: options.epochs }
    }

    /// Trains on what is left of an epoch.
    fn train_epoch(
        &self,
        options: &FitOptions,
        reached: &mut Reached,
        observer: &mut dyn Observer,
    ) -> Result<Swept, TrainError> {
        let course = self.course(options);
        let first = course.batches.wrapping_mul(reached.epoch() - 1);
        let numbered = |place| {
            let number = first.wrapping_add(place);
            Batch {
                number,
                // Any 32 bits of the seed will do for the masks.
                seed: options.seed as u32,
                learning_rate: options.rate(number, course),
                label_smoothing: options.label_smoothing,
                ..Batch::default()
            }
        };
        let Reached { batches, so_far, .. } = *reached;
        let swept = Swept { batches, so_far, stopped: false };
        let start = Instant::now();
        let mut watch = Watched::new(self, options, reached, (Phase::Train, first), observer);
        let swept =
            sweep(&self.network, &self.train, options.batch, (swept, &numbered), &mut watch)?;
        reached.seconds += start.elapsed().as_secs_f64();
        (reached.batches, reached.so_far) = (swept.batches, swept.so_far);
        Ok(swept)
    }

    /// Measures over the test images; nothing if the run stops before the end.
    fn validate(
        &self,
        options: &FitOptions,
        reached: &Reached,
        observer: &mut dyn Observer,
    ) -> Result<Option<Metrics>, TrainError> {
        let batches = self.test.images().div_ceil(options.batch) as u32;
        let first = batches.wrapping_mul(reached.epoch() - 1);
        let mut watch = Watched::new(self, options, reached, (Phase::Validate, first), observer);
        let swept = self.test(options.batch, &mut watch)?;
        Ok((!swept.stopped).then_some(swept.so_far))
    }
}

/// A phase of an epoch, for an observer.
struct Watched<'a> {
    trainer: &'a Trainer,
    options: &'a FitOptions,
    /// Where the run stood when the phase began.
    reached: Reached,
    phase: Phase,
    /// Number of the next batch whose metrics arrive.
    step: u32,
    start: Instant,
    observer: &'a mut dyn Observer,
}

impl<'a> Watched<'a> {
    /// `first` is the number of the epoch's first batch in this phase.
    fn new(
        trainer: &'a Trainer,
        options: &'a FitOptions,
        reached: &Reached,
        (phase, first): (Phase, u32),
        observer: &'a mut dyn Observer,
    ) -> Self {
        let done = if phase == Phase::Train { reached.batches } else { 0 };
        let (reached, step) = (reached.clone(), first.wrapping_add(done));
        Self { trainer, options, reached, phase, step, start: Instant::now(), observer }
    }

    /// The learning rate of a step; 0 in validation.
    fn learning_rate(&self, step: u32) -> f32 {
        match self.phase {
            Phase::Train => self.options.rate(step, self.trainer.course(self.options)),
            Phase::Validate => 0.0,
        }
    }

    /// Seconds of the phase.
    fn seconds(&self) -> f64 {
        let before = if self.phase == Phase::Train { self.reached.seconds } else { 0.0 };
        before + self.start.elapsed().as_secs_f64()
    }
}

impl Watch for Watched<'_> {
    fn seen(&mut self, Seen { so_far, batch, waited }: Seen) -> Result<(), TrainError> {
        let (phase, epoch, step) = (self.phase, self.reached.epoch(), self.step);
        self.step = step.wrapping_add(1);
        let images = match phase {
            Phase::Train => self.trainer.train.images(),
            Phase::Validate => self.trainer.test.images(),
        } as u64;
        let seconds = self.seconds();
        let learning_rate = self.learning_rate(step);
        let progress =
            Progress { epoch, phase, so_far, batch, step, learning_rate, images, seconds, waited };
        self.observer.batch(&progress)?;
        match so_far.loss() {
            loss if phase == Phase::Train && !loss.is_finite() => {
                Err(TrainError::Diverged { epoch, images: so_far.images, loss })
            }
            _ => Ok(()),
        }
    }

    /// Measuring changes nothing that would have to be kept.
    fn next(&mut self) -> Next {
        match (self.phase, self.observer.next()) {
            (Phase::Validate, Next::Save) => Next::GoOn,
            (_, next) => next,
        }
    }

    fn save(&mut self, swept: &Swept) -> Result<(), TrainError> {
        if self.phase == Phase::Train {
            self.reached.seconds = self.seconds();
            self.start = Instant::now();
            (self.reached.batches, self.reached.so_far) = (swept.batches, swept.so_far);
        }
        self.observer.save(self.trainer, self.options, &self.reached)
    }
}

impl FitOptions {
    /// The learning rate of a step.
    fn rate(&self, number: u32, course: Course) -> f32 {
        (f64::from(self.learning_rate) * self.schedule.factor(number, course)) as f32
    }

    /// The patience, if the validation loss has been no less than before for as long.
    pub fn stalled(&self, history: &History) -> Option<u32> {
        let patience = self.patience?;
        let losses = history.epochs.iter().map(|epoch| epoch.val_loss).enumerate();
        // The first of the least: an epoch that only equals it brings nothing.
        let best = losses.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(place, _)| place);
        (history.epochs.len() > best + patience.max(1) as usize).then_some(patience)
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
            let options = FitOptions { patience: Some(2), ..FitOptions::default() };
            options.stalled(&History { epochs: epochs.collect() }).is_some()
        };
        assert!(!after(&[1.0]) && !after(&[1.0, 2.0]) && !after(&[1.0, 2.0, 0.9]));
        assert!(after(&[1.0, 2.0, 3.0]) && after(&[1.0, 1.0, 1.0]));
        assert!(!after(&[1.0, 2.0, 0.5, 0.6]));
        assert!(after(&[0.5, f64::NAN, f64::NAN]));
    }
}
