use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;
use vgg_wgpu::data::BadPicture;
use vgg_wgpu::graph::{Network, NetworkOptions};
use vgg_wgpu::train::diagnosis::diagnose;
use vgg_wgpu::train::history::History;
use vgg_wgpu::train::{
    CHECKPOINT, Curve, FitOptions, MetricsLog, Observer, RunFolder, RunState, Schedule, StepLog,
    Trainer, TrainerOptions,
};

use super::augment_args::AugmentArgs;
use super::board::BoardArgs;
use super::common::{AdapterArgs, MemoryArgs, ResizeArg, bytes, count, positive, say};
use super::keep::{Ending, Interrupted, KeepArgs, Keeper, end_after_a_step};
use super::network::{FreezeArg, NetworkArgs, ScheduleArg};
use super::progress::Display;
use super::recorded;
use super::run_config::Config;
use super::sets::{SetArgs, say_bad};
use super::start::{InitFrom, Start};
use super::tuned::TuningArgs;

/// Train a network; the defaults are those of "Dive into Deep Learning" 7.2
///
/// Writes config.toml, history.csv, curves.svg, curves.png and the weights of the last epoch
/// (model.safetensors) and of the best one (best.safetensors) to the run folder, up to date after each
/// epoch, and metrics.jsonl, up to date after each step. Ctrl-C keeps the run after the step it is in;
/// --resume goes on with it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu train --arch vgg11 --ratio 4 --resize 32 --batch 64 --epochs 4 \
    --init kaiming --lr 0.02 --momentum 0.9"
)]
pub struct TrainArgs {
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    #[command(flatten)]
    pub(super) sets: SetArgs,
    /// Channels that pictures are given: 1 (grey) or 3 (RGB) [default: 3, or those of --init]
    #[arg(long, value_name = "1|3", value_parser = channels, help_heading = "Data")]
    pub(super) channels: Option<usize>,
    /// Train with the first N images, after a shuffle by the seed unless --no-shuffle [default: all]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Data")]
    pub(super) limit: Option<usize>,
    /// Weigh the images of rare classes more in the loss, so that all classes weigh the same
    #[arg(long, help_heading = "Data")]
    pub(super) balance: bool,
    /// Take the images in the order of the files, the same in each epoch
    #[arg(long, help_heading = "Data")]
    pub(super) no_shuffle: bool,
    /// How images are resized
    #[arg(long, value_enum, default_value_t = ResizeArg::Bilinear, help_heading = "Data")]
    pub(super) resize_filter: ResizeArg,
    #[command(flatten)]
    pub(super) learning: LearningArgs,
    #[command(flatten)]
    pub(super) augmentation: AugmentArgs,
    #[command(flatten)]
    pub(super) adapter: AdapterArgs,
    #[command(flatten)]
    pub(super) memory: MemoryArgs,
    #[command(flatten)]
    tuning: TuningArgs,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
    /// Run folder [default: runs/NAME]
    #[arg(long, value_name = "DIR", help_heading = "Results")]
    out: Option<PathBuf>,
    /// Write the loss of every step to this file, as CSV `step,loss`
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    log_steps: Option<PathBuf>,
    /// Name of the run, for its folder and its curves [default: the architecture and a number]
    #[arg(long, value_name = "NAME", help_heading = "Results", value_parser = name)]
    name: Option<String>,
    #[command(flatten)]
    board: BoardArgs,
    /// All of these with the value they have.
    #[arg(skip)]
    pub(super) flags: toml::Table,
}

// How it learns.
#[derive(Debug, Clone, Args, Serialize)]
#[command(next_help_heading = "Learning")]
pub(super) struct LearningArgs {
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = positive)]
    batch: usize,
    /// Learning rate of SGD
    #[arg(long, value_name = "RATE", default_value_t = 0.05, value_parser = rate)]
    lr: f32,
    /// How the learning rate goes on from --lr
    #[arg(long, value_enum, default_value_t = ScheduleArg::Constant)]
    schedule: ScheduleArg,
    /// Epochs in which the learning rate rises to --lr first, whole or not
    #[arg(long, value_name = "EPOCHS", default_value_t = 0.0, value_parser = rate)]
    warmup: f32,
    /// Epochs after which --schedule step changes the learning rate
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    step_epochs: u32,
    /// What --schedule step multiplies it by
    #[arg(long, value_name = "FACTOR", default_value_t = 0.1, value_parser = rate)]
    step_factor: f32,
    /// Momentum of SGD; 0 for none
    #[arg(long, value_name = "FACTOR", default_value_t = 0.0, value_parser = momentum)]
    momentum: f32,
    /// Weight decay of SGD, of every parameter; 0 for none
    #[arg(long, value_name = "FACTOR", default_value_t = 0.0, value_parser = rate)]
    weight_decay: f32,
    /// Share of each label that is spread over all classes, in [0, 1): keeps a network from being too
    /// sure; the train loss then stays above 0
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = momentum)]
    label_smoothing: f32,
    /// End the run after N epochs in which the validation loss did not fall
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    patience: Option<u32>,
    /// How weights are drawn: xavier (uniform, as in the book) or kaiming (uniform, for ReLU: deep or
    /// small networks leave the plateau sooner); or a file with weights, or a run, to go on from
    #[arg(long, value_name = "xavier|kaiming|FILE", default_value = "xavier")]
    pub(super) init: InitFrom,
    /// Which layers are not trained
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    freeze: Option<FreezeArg>,
    /// Seed of weights, order of images, augmentation and dropout masks
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(super) seed: u64,
}

impl LearningArgs {
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

/// Trains.
pub fn run(args: &TrainArgs) -> Result<()> {
    let opened = args.sets.open()?;
    let classes = opened.classes().to_vec();
    let start = Start::new(args, &opened)?;
    let (name, path) = args.place()?;
    let learning = &args.learning;
    let reached = start.kept().map(|run| run.reached.clone()).unwrap_or_default();
    if reached.epoch() > learning.epochs {
        let (epochs, path) = (reached.epoch() - 1, path.display());
        return Ok(say(format!("{path} has all of its {epochs} epochs; --epochs N goes on to N"))?);
    }
    if args.keep.resume.is_none() {
        args.board.check(&path)?;
    }
    let gpu = args.adapter.open()?;
    say(format!("adapter   {}", gpu.facts()))?;
    let order = (learning.seed, !args.no_shuffle);
    let form = args.sets.form(start.architecture.input(), start.shorter());
    let shorter = if opened.are_pictures() { form.shorter } else { start.shorter() };
    let sets = opened.load(&args.sets, form, args.limit, order)?;
    say(format!("data      {sets}"))?;
    if args.limit.is_some_and(|limit| limit < sets.offered) {
        let used = count(sets.train.len() as u64);
        say(format!("          {used} of the train images are used"))?;
    }
    say_bad(&sets.bad)?;
    let batch = learning.batch.min(sets.train.len()).max(1);
    let options = NetworkOptions {
        batch,
        momentum: learning.momentum > 0.0,
        freeze_features: learning.freeze.is_some(),
        ghost_batch: args.network.ghost_batch_norm,
        update_in_place: !args.board.is_wanted(),
        ..NetworkOptions::default()
    };
    let options = args.memory.apply(options, gpu.facts())?;
    let options = match start.kept() {
        Some(run) => as_before(run, options),
        None => args.tuning.apply(&start.architecture, options, &gpu)?,
    };
    let network = Network::new(Arc::clone(&gpu), start.architecture.clone(), options)?;
    say(network_line(&network, batch))?;
    start.fill(&network, args)?;
    let class_weights = match args.balance {
        true => balanced(&sets.train.labels(), classes.len()),
        false => Vec::new(),
    };
    let (filter, augmentation) = (args.resize_filter.into(), args.augmentation.of());
    let how = TrainerOptions { filter, class_weights, augmentation };
    let mut trainer = Trainer::with_options(network, sets.train.feed(), sets.test.feed(), &how)?;
    let fit = args.fit();

    let config = toml::to_string(&Config::of(args, &name, &sets, &trainer, gpu.facts()))?;
    let card = start.card(&classes, shorter, gpu.facts());
    if let Some(run) = start.kept() {
        run.check(&trainer, &fit)?;
        say_going_on(run, &trainer)?;
    }
    let folder = match &args.keep.resume {
        Some(_) => RunFolder::resume(&path, &config, &name, card, &reached.history)?,
        None => RunFolder::create(&path, &config, &name, card)?,
    };
    write_bad(&path, &sets.bad)?;
    let log = |path: &PathBuf| match start.kept() {
        Some(run) => StepLog::resume(path, trainer.step(&fit, &run.reached)),
        None => StepLog::create(path),
    };
    let steps = args.log_steps.as_ref().map(log).transpose()?;
    say(format!("run       {}\n", path.display()))?;
    let begun = (trainer.step(&fit, &reached), reached.seconds);
    let mut metrics = MetricsLog::resume(&path.join("metrics.jsonl"), begun)?;
    let seen = (start.architecture.input(), args.resize_filter.into());
    let shuffled = (!args.no_shuffle).then_some(learning.seed);
    let mut board = match start.kept() {
        Some(_) => args.board.go_on(&path, (begun.0, reached.epoch()))?,
        None => args.board.open(&path, &sets.train, &classes, seen, shuffled)?,
    };
    let mut display = Display::new(folder, steps, learning.epochs, Keeper::new(&args.keep))?;
    end_after_a_step()?;
    let mut observers: Vec<&mut dyn Observer> = vec![&mut metrics];
    observers.extend(board.as_mut().map(|board| board as &mut dyn Observer));
    // The folder's record of an epoch comes last: with it the epoch is finished.
    observers.push(&mut display);
    let outcome = trainer.fit_from(&fit, reached, &mut observers);
    let (waited, ending) = display.finish()?;
    let history = outcome.with_context(|| failed(&path))?;
    args.say_results(&path, &history)?;
    if trainer.is_streamed() {
        say(format!("waiting   {:.1} % of the time in training for pictures", 100.0 * waited))?;
    }
    if let (None, Some(diagnosis)) = (ending, diagnose(&history, classes.len())) {
        say(format!("\n{diagnosis}"))?;
    }
    if let Some(ending) = ending {
        let (epoch, path) = (history.epochs.len() + 1, path.display());
        say(format!("\nended     in epoch {epoch}; `vgg-wgpu train --resume {path}` goes on"))?;
        ensure!(ending != Ending::Interrupted, Interrupted);
    }
    Ok(())
}

/// `options` with the kernels and the micro-batches of a run, unless flags ask for others.
fn as_before(run: &RunState, options: NetworkOptions) -> NetworkOptions {
    let micro_batch = options.micro_batch.or(Some(run.micro_batch));
    NetworkOptions { micro_batch, choices: run.choices(), ..options }
}

/// Tells from where a run goes on.
fn say_going_on(run: &RunState, trainer: &Trainer) -> Result<()> {
    let reached = &run.reached;
    let (epoch, images) = (reached.epoch(), reached.so_far.images);
    say(format!("goes on   in epoch {epoch}, after {} images of it", count(images)))?;
    let now = RunState::of(trainer, &run.options, reached).adapter;
    if run.adapter != now {
        let before = &run.adapter;
        say(format!("          the run was on {before}: from here on its last bits may differ"))?;
    }
    Ok(())
}

impl TrainArgs {
    fn fit(&self) -> FitOptions {
        let learning = &self.learning;
        FitOptions {
            epochs: learning.epochs,
            batch: learning.batch,
            learning_rate: learning.lr,
            schedule: learning.schedule(),
            momentum: learning.momentum,
            weight_decay: learning.weight_decay,
            label_smoothing: learning.label_smoothing,
            patience: learning.patience,
            seed: learning.seed,
            shuffle: !self.no_shuffle,
        }
    }

    /// What the run left, and whether it ended early by itself.
    fn say_results(&self, path: &Path, history: &History) -> Result<()> {
        say("")?;
        let (epochs, wanted) = (history.epochs.len() as u32, self.learning.epochs);
        if let Some(patience) = self.fit().stalled(history).filter(|_| epochs < wanted) {
            say(format!(
                "ended     after {epochs} epochs of {wanted}: the validation loss did not fall for \
                 {patience}"
            ))?;
        }
        let Some(best) = history.best() else { return Ok(()) };
        let file = |name| path.join(name).display().to_string();
        let (accuracy, epoch) = (best.val_acc, best.epoch);
        say(format!("model     {}", file("model.safetensors")))?;
        say(format!(
            "best      {}: accuracy {accuracy:.4} in epoch {epoch}",
            file("best.safetensors")
        ))?;
        say(format!("history   {}", file("history.csv")))?;
        Ok(say(format!("curves    {}", file("curves.png")))?)
    }

    /// The run's name and folder.
    fn place(&self) -> Result<(String, PathBuf)> {
        if let Some(run) = &self.keep.resume {
            return Ok((recorded::name_of(run)?, run.clone()));
        }
        let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let named = self.name.clone().or_else(|| self.out.as_deref().and_then(last));
        let name = match named {
            Some(name) => name,
            None => self.free_name()?,
        };
        let path = self.out.clone().unwrap_or_else(|| Path::new("runs").join(&name));
        Ok((name, path))
    }

    /// `vgg11-1`, or the first number that no folder under `runs` has.
    fn free_name(&self) -> Result<String> {
        let arch = self.network.arch();
        let stem = if arch.contains(',') { "vgg" } else { arch };
        let taken = |name: &String| Path::new("runs").join(name).exists();
        let mut names = (1..10_000).map(|number| format!("{stem}-{number}"));
        names.find(|name| !taken(name)).context("runs/ is full; --name gives the run a name")
    }
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

/// Keeps the names of the pictures that were passed over.
fn write_bad(run: &Path, bad: &[BadPicture]) -> Result<()> {
    if bad.is_empty() {
        return Ok(());
    }
    let (file, lines) = (run.join("skipped.txt"), bad.iter().map(|bad| format!("{bad}\n")));
    fs::write(&file, lines.collect::<String>())
        .with_context(|| format!("cannot write {}", file.display()))
}

/// What is left of a run that failed.
fn failed(path: &Path) -> String {
    let path = path.display();
    match fs::exists(format!("{path}/{CHECKPOINT}")) {
        Ok(true) => format!(
            "the run stopped; `vgg-wgpu train --resume {path}` goes on from what {path} keeps"
        ),
        _ => "the run stopped in its first epoch".to_owned(),
    }
}

/// A name that is one part of a path.
fn name(text: &str) -> Result<String> {
    let path = Path::new(text);
    let plain = path.file_name().is_some_and(|name| name == text);
    ensure!(plain, "a name is no path; --out takes one");
    Ok(text.to_owned())
}

pub(super) fn channels(text: &str) -> Result<usize> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => anyhow::bail!("expected 1 (grey) or 3 (red, green, blue)"),
    }
}

fn rate(text: &str) -> Result<f32> {
    let rate: f32 = text.parse().context("expected a number")?;
    ensure!(rate.is_finite() && rate >= 0.0, "expected a number of at least 0");
    Ok(rate)
}

fn momentum(text: &str) -> Result<f32> {
    let momentum = rate(text)?;
    ensure!(momentum < 1.0, "expected a number in [0, 1)");
    Ok(momentum)
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
