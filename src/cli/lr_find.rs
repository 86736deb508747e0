use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;
use vgg_wgpu::train::{LrPoint, LrSweep, suggest_learning_rate, write_learning_rates};

use super::common::say;
use super::optimizer::positive;
use super::progress::bar;
use super::start::Start;
use super::training::{Prepared, TrainingArgs};

/// Find a learning rate: train with one that rises from step to step, and draw the loss
///
/// Takes the flags of `train`, or `--config` with the config.toml of a run: network, data, optimiser,
/// augmentation and batch are to be those of the run. What they say of --lr, epochs and schedule has no
/// part in it. The suggestion is where the smoothed loss falls fastest.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu lr-find --arch vgg11 --ratio 4 --resize 32 --batch 64 --init kaiming \
    --momentum 0.9 --plot lr.png",
    // They have no meaning here, but a command line of `train` may have them.
    mut_arg("lr", |arg| arg.hide(true)),
    mut_arg("epochs", |arg| arg.hide(true)),
    mut_arg("schedule", |arg| arg.hide(true)),
    mut_arg("warmup", |arg| arg.hide(true)),
    mut_arg("step_epochs", |arg| arg.hide(true)),
    mut_arg("step_factor", |arg| arg.hide(true)),
    mut_arg("patience", |arg| arg.hide(true))
)]
pub struct LrFindArgs {
    /// Learning rate of the first step
    #[arg(long, value_name = "RATE", default_value_t = 1e-6, value_parser = positive)]
    from: f32,
    /// Learning rate of the last step
    #[arg(long, value_name = "RATE", default_value_t = 1.0, value_parser = positive)]
    to: f32,
    /// Steps; the sweep ends sooner when the loss is four times its least
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..))]
    steps: u32,
    /// Draw the losses to FILE, as SVG or, if it ends with .png, as PNG
    #[arg(long, value_name = "FILE", default_value = "lr-find.png")]
    plot: PathBuf,
    /// Write suggestion and points as JSON to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    training: TrainingArgs,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    suggestion: Option<f64>,
    points: &'a [LrPoint],
}

/// Sweeps, draws, suggests.
pub fn run(args: &LrFindArgs) -> Result<()> {
    let training = &args.training;
    ensure!(args.from < args.to, "--from {} is not below --to {}", args.from, args.to);
    let opened = training.open()?;
    let start = Start::new(training, None, &opened)?;
    let gpu = training.adapter.open()?;
    say(format!("adapter   {}", gpu.facts()))?;
    let Prepared { mut trainer, .. } = training.prepare(opened, &start, &gpu, true)?;
    let rates = LrSweep { from: args.from.into(), to: args.to.into(), steps: args.steps };
    let bar = bar("sweep {bar:24} {pos}/{len} {elapsed} {msg}");
    bar.set_length(args.steps.into());
    let points = trainer.find_learning_rate(&training.fit(), &rates, |point| {
        bar.inc(1);
        bar.set_message(format!("rate {:.1e}, loss {:.3}", point.learning_rate, point.smooth));
    });
    bar.finish_and_clear();
    let points = points?;
    ensure!(
        points.len() >= 2,
        "the loss ran away within two steps; a lower --from begins more gently"
    );
    let suggestion = suggest_learning_rate(&points);
    let network = trainer.network().architecture().to_string();
    let title = format!("{network}, {}", training.learning.optimizer.of()?.form());
    let ran_away = points.len() < args.steps as usize;
    say(summary(&points, ran_away))?;
    say(match suggestion {
        Some(rate) => format!("suggested --lr {}: the loss falls fastest there", rounded(rate)),
        None if ran_away => "suggested nothing: the loss only rises; try a lower --from".into(),
        None => {
            "suggested nothing: the loss does not fall; try more --steps or a higher --to".into()
        }
    })?;
    write_learning_rates(&points, suggestion, &title, &args.plot)?;
    say(format!("picture   {}", args.plot.display()))?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&Report { suggestion, points: &points })?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What the sweep came to, in a line.
fn summary(points: &[LrPoint], ran_away: bool) -> String {
    let (first, last) = (points[0], points[points.len() - 1]);
    let least = points.iter().min_by(|a, b| a.smooth.total_cmp(&b.smooth)).unwrap_or(&last);
    let ended = if ran_away { ", where it ran away" } else { "" };
    format!(
        "loss      {:.4} at the rate {:.1e}, least {:.4} at {:.1e}, {:.4} at {:.1e}{ended}",
        first.smooth,
        first.learning_rate,
        least.smooth,
        least.learning_rate,
        last.smooth,
        last.learning_rate,
    )
}

/// To two digits: the sweep tells no more.
fn rounded(rate: f64) -> f64 {
    format!("{rate:.1e}").parse().unwrap_or(rate)
}
