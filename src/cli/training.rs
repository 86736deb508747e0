//! What it takes to train, apart from what is kept of it: flags of network, data and learning, and what
//! they come to on a device.

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use vgg_wgpu::gpu::Gpu;
use vgg_wgpu::graph::{Network, NetworkOptions};
use vgg_wgpu::train::{Curve, FitOptions, RunState, Schedule, Trainer, TrainerOptions};

use super::augment_args::AugmentArgs;
use super::common::{AdapterArgs, MemoryArgs, ResizeArg, bytes, count, positive, say};
use super::network::{FreezeArg, NetworkArgs, ScheduleArg};
use super::optimizer::{OptimizerArgs, at_least_0, positive as above_0, share};
use super::sets::{Opened, SetArgs, Sets, say_bad};
use super::start::{InitFrom, Start};
use super::tuned::TuningArgs;

// Plain comments on these groups: clap would take doc comments for the help of the subcommand.

// What is trained, with what, and how.
#[derive(Debug, Clone, Args)]
pub struct TrainingArgs {
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub sets: SetArgs,
    /// Channels that pictures are given: 1 (grey) or 3 (RGB) [default: 3, or those of --init]
    #[arg(long, value_name = "1|3", value_parser = channels, help_heading = "Data")]
    pub channels: Option<usize>,
    /// Train with the first N images, after a shuffle by the seed unless --no-shuffle [default: all]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Data")]
    pub limit: Option<usize>,
    /// Weigh the images of rare classes more in the loss, so that all classes weigh the same
    #[arg(long, help_heading = "Data")]
    pub balance: bool,
    /// Take the images in the order of the files, the same in each epoch
    #[arg(long, help_heading = "Data")]
    pub no_shuffle: bool,
    /// How images are resized
    #[arg(long, value_enum, default_value_t = ResizeArg::Bilinear, help_heading = "Data")]
    pub resize_filter: ResizeArg,
    #[command(flatten)]
    pub learning: LearningArgs,
    #[command(flatten)]
    pub augmentation: AugmentArgs,
    #[command(flatten)]
    pub adapter: AdapterArgs,
    #[command(flatten)]
    pub memory: MemoryArgs,
    #[command(flatten)]
    tuning: TuningArgs,
}

// How it learns.
#[derive(Debug, Clone, Args, Serialize)]
#[command(next_help_heading = "Learning")]
pub struct LearningArgs {
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = positive)]
    pub batch: usize,
    /// Learning rate [default: 0.05, or 0.001 with --optimizer adamw]
    #[arg(long, value_name = "RATE", value_parser = at_least_0)]
    #[serde(skip)]
    lr: Option<f32>,
    /// How the learning rate goes on from --lr
    #[arg(long, value_enum, default_value_t = ScheduleArg::Constant)]
    schedule: ScheduleArg,
    /// Epochs in which the learning rate rises to --lr first, whole or not
    #[arg(long, value_name = "EPOCHS", default_value_t = 0.0, value_parser = at_least_0)]
    warmup: f32,
    /// Epochs after which --schedule step changes the learning rate
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    step_epochs: u32,
    /// What --schedule step multiplies it by
    #[arg(long, value_name = "FACTOR", default_value_t = 0.1, value_parser = above_0)]
    step_factor: f32,
    #[command(flatten)]
    #[serde(flatten)]
    pub optimizer: OptimizerArgs,
    /// Share of each label that is spread over all classes, in [0, 1): keeps a network from being too
    /// sure; the train loss then stays above 0
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    label_smoothing: f32,
    /// End the run after N epochs in which the validation loss did not fall
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    patience: Option<u32>,
    /// How weights are drawn: xavier (uniform, as in the book) or kaiming (uniform, for ReLU: deep or
    /// small networks leave the plateau sooner); or a file with weights, or a run, to go on from
    #[arg(long, value_name = "xavier|kaiming|FILE", default_value = "xavier")]
    pub init: InitFrom,
    /// Which layers are not trained
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    freeze: Option<FreezeArg>,
    /// Seed of weights, order of images, augmentation and dropout masks
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: u64,
}

impl LearningArgs {
    /// The learning rate, given or not.
    pub fn lr(&self) -> f32 {
        self.lr.unwrap_or_else(|| self.optimizer.learning_rate())
    }

    fn schedule(&self) -> Schedule {
        let curve = match self.schedule {
            ScheduleArg::Constant => Curve::Constant,
            ScheduleArg::Step => {
                Curve::Step { epochs: self.step_epochs, factor: self.step_factor.into() }
            }
            ScheduleArg::Cosine => Curve::Cosine,
            ScheduleArg::OneCycle => Curve::OneCycle,
        };
        Schedule { curve, warmup: self.warmup.into() }
    }
}

/// A network with its images on a device, ready to be trained.
pub struct Prepared {
    pub trainer: Trainer,
    pub sets: Sets,
    /// The pixels that the shorter side of a picture is given before the middle is cut out.
    pub shorter: Option<usize>,
}

impl TrainingArgs {
    /// How it learns.
    pub fn fit(&self) -> FitOptions {
        let learning = &self.learning;
        FitOptions {
            epochs: learning.epochs,
            batch: learning.batch,
            learning_rate: learning.lr(),
            schedule: learning.schedule(),
            label_smoothing: learning.label_smoothing,
            patience: learning.patience,
            seed: learning.seed,
            shuffle: !self.no_shuffle,
        }
    }

    /// Finds the images, once it is known that the flags go together.
    pub fn open(&self) -> Result<Opened> {
        self.learning.optimizer.of()?;
        Ok(self.sets.open()?)
    }

    /// Reads the images, makes the network and binds both, telling of it. `in_place` allows updates that
    /// leave no gradients.
    ///
    /// # Errors
    /// Of images, files and devices.
    pub fn prepare(
        &self,
        opened: Opened,
        start: &Start,
        gpu: &Arc<Gpu>,
        in_place: bool,
    ) -> Result<Prepared> {
        let learning = &self.learning;
        let optimizer = learning.optimizer.of()?;
        let classes = opened.classes().len();
        let order = (learning.seed, !self.no_shuffle);
        let form = self.sets.form(start.architecture.input(), start.shorter());
        let shorter = if opened.are_pictures() { form.shorter } else { start.shorter() };
        let sets = opened.load(&self.sets, form, self.limit, order)?;
        say(format!("data      {sets}"))?;
        if self.limit.is_some_and(|limit| limit < sets.offered) {
            let used = count(sets.train.len() as u64);
            say(format!("          {used} of the train images are used"))?;
        }
        say_bad(&sets.bad)?;
        let batch = learning.batch.min(sets.train.len()).max(1);
        let options = NetworkOptions {
            batch,
            optimizer,
            freeze_features: learning.freeze.is_some(),
            ghost_batch: self.network.ghost_batch_norm,
            update_in_place: in_place,
            ..NetworkOptions::default()
        };
        let options = self.memory.apply(options, gpu.facts())?;
        let options = match start.kept() {
            Some(run) => as_before(run, options),
            None => self.tuning.apply(&start.architecture, options, gpu)?,
        };
        let network = Network::new(Arc::clone(gpu), start.architecture.clone(), options)?;
        say(network_line(&network, batch))?;
        let class_weights = match self.balance {
            true => balanced(&sets.train.labels(), classes),
            false => Vec::new(),
        };
        let (filter, augmentation) = (self.resize_filter.into(), self.augmentation.of());
        let how = TrainerOptions { filter, class_weights, augmentation };
        let fill = |network: &Network| start.fill(network, learning);
        let feeds = (sets.train.feed(), sets.test.feed());
        let trainer = Trainer::with_weights(network, feeds.0, feeds.1, &how, fill)?;
        Ok(Prepared { trainer, sets, shorter })
    }
}

/// `options` with the kernels and the micro-batches of a run, unless flags ask for others.
fn as_before(run: &RunState, options: NetworkOptions) -> NetworkOptions {
    let micro_batch = options.micro_batch.or(Some(run.micro_batch));
    NetworkOptions { micro_batch, choices: run.choices(), ..options }
}

fn network_line(network: &Network, batch: usize) -> String {
    let plan = network.plan();
    let cut = match plan.micro_batch {
        all if all >= batch => String::new(),
        part => format!(" in micro-batches of {part}"),
    };
    format!(
        "network   {} at {} px: {} parameters, {}; batches of {batch}{cut}",
        network.architecture(),
        network.architecture().input().height,
        count(network.architecture().parameters()),
        bytes(plan.bytes()),
    )
}

/// What an image of each class weighs so that all classes weigh the same, and an image 1 on average.
fn balanced(labels: &[u32], classes: usize) -> Vec<f32> {
    let mut counts = vec![0_usize; classes];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    let there = counts.iter().filter(|&&count| count > 0).count();
    let weight = |&count: &usize| labels.len() as f64 / (there * count.max(1)) as f64;
    counts.iter().map(|count| weight(count) as f32).collect()
}

/// The channels of a picture.
pub fn channels(text: &str) -> Result<usize> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => bail!("expected 1 (grey) or 3 (red, green, blue)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_classes_weigh_the_same() {
        // Six, two and none.
        let labels = [0, 0, 1, 0, 0, 1, 0, 0];
        let weights = balanced(&labels, 3);
        assert_eq!(weights[..2], [8.0 / 12.0, 2.0]);
        let all: f32 = labels.iter().map(|&label| weights[label as usize]).sum();
        assert!((all - 8.0).abs() < 1e-6);
    }
}
