use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use vgg_wgpu::data::BadPicture;
use vgg_wgpu::train::diagnosis::diagnose;
use vgg_wgpu::train::history::History;
use vgg_wgpu::train::{CHECKPOINT, MetricsLog, Observer, RunFolder, RunState, StepLog, Trainer};

use super::board::BoardArgs;
use super::common::{count, say};
use super::keep::{Ending, Interrupted, KeepArgs, Keeper, end_after_a_step};
use super::progress::Display;
use super::recorded;
use super::run_config::Config;
use super::start::Start;
use super::training::{Prepared, TrainingArgs};

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
    pub(super) training: TrainingArgs,
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

/// Trains.
pub fn run(args: &TrainArgs) -> Result<()> {
    let training = &args.training;
    let opened = training.open()?;
    let classes = opened.classes().to_vec();
    let start = Start::new(training, args.keep.resume.as_deref(), &opened)?;
    let (name, path) = args.place()?;
    let fit = training.fit();
    let reached = start.kept().map(|run| run.reached.clone()).unwrap_or_default();
    if reached.epoch() > fit.epochs {
        let (epochs, path) = (reached.epoch() - 1, path.display());
        return Ok(say(format!("{path} has all of its {epochs} epochs; --epochs N goes on to N"))?);
    }
    if args.keep.resume.is_none() {
        args.board.check(&path)?;
    }
    let gpu = training.adapter.open()?;
    say(format!("adapter   {}", gpu.facts()))?;
    let in_place = !args.board.is_wanted();
    let Prepared { mut trainer, sets, shorter } =
        training.prepare(opened, &start, &gpu, in_place)?;

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
    let seen = (start.architecture.input(), training.resize_filter.into());
    let shuffled = fit.shuffle.then_some(fit.seed);
    let mut board = match start.kept() {
        Some(_) => args.board.go_on(&path, (begun.0, reached.epoch()))?,
        None => args.board.open(&path, &sets.train, &classes, seen, shuffled)?,
    };
    let mut display = Display::new(folder, steps, fit.epochs, Keeper::new(&args.keep))?;
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
    /// What the run left, and whether it ended early by itself.
    fn say_results(&self, path: &Path, history: &History) -> Result<()> {
        say("")?;
        let (epochs, wanted) = (history.epochs.len() as u32, self.training.learning.epochs);
        if let Some(patience) = self.training.fit().stalled(history).filter(|_| epochs < wanted) {
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
        let arch = self.training.network.arch();
        let stem = if arch.contains(',') { "vgg" } else { arch };
        let taken = |name: &String| Path::new("runs").join(name).exists();
        let mut names = (1..10_000).map(|number| format!("{stem}-{number}"));
        names.find(|name| !taken(name)).context("runs/ is full; --name gives the run a name")
    }
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
