//! What a training run shows: a bar on a terminal, plain lines elsewhere, a row an epoch. The bar serves
//! whatever else takes long.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use vgg_wgpu::train::history::{EpochRecord, loss_text};
use vgg_wgpu::train::{
    FitOptions, Next, Observer, Phase, Progress, Reached, RunFolder, StepLog, TrainError, Trainer,
};

use super::common::{OutputError, say};
use super::keep::{Ending, Keeper};

/// Without a terminal a line is printed at most this often.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Shows a run and keeps its epochs in its folder.
pub struct Display {
    folder: RunFolder,
    steps: Option<StepLog>,
    epochs: u32,
    keeper: Keeper,
    bar: ProgressBar,
    terminal: bool,
    last_line: Instant,
    /// Seconds of training before this epoch and in it, and those of them that the host waited for
    /// images.
    trained: [(f64, f64); 2],
    /// The first line that could not be printed; the run goes on without.
    outcome: Result<(), OutputError>,
}

impl Display {
    /// Prints the head of the table.
    pub fn new(
        folder: RunFolder,
        steps: Option<StepLog>,
        epochs: u32,
        keeper: Keeper,
    ) -> Result<Self, OutputError> {
        let bar = bar("{prefix} {bar:24} {pos}/{len} {msg}");
        let terminal = !bar.is_hidden();
        say("epoch  train loss  train acc  val loss  val acc  seconds  images/s")?;
        let (last_line, outcome) = (Instant::now(), Ok(()));
        let trained = [(0.0, 0.0); 2];
        Ok(Self { folder, steps, epochs, keeper, bar, terminal, last_line, trained, outcome })
    }

    /// Removes the bar. The share of the time in training that the host waited for images, and why the
    /// run ended where it ended early.
    pub fn finish(self) -> Result<(f64, Option<Ending>), OutputError> {
        self.bar.finish_and_clear();
        let [before, last] = self.trained;
        let waited = share(before.1 + last.1, before.0 + last.0);
        self.outcome.map(|()| (waited, self.keeper.ending))
    }

    fn line(&mut self, line: &str) {
        let printed = self.bar.suspend(|| say(line));
        if self.outcome.is_ok() {
            self.outcome = printed;
        }
    }
}

impl Observer for Display {
    fn batch(&mut self, progress: &Progress) -> Result<(), TrainError> {
        let Progress { epoch, phase, so_far, images, seconds, waited, .. } = *progress;
        if let (Phase::Train, Some(steps)) = (phase, &mut self.steps) {
            steps.record(progress)?;
        }
        if phase == Phase::Train {
            self.trained[1] = (seconds, waited);
        }
        let rate = so_far.images as f64 / seconds;
        let what = match phase {
            Phase::Train => "train",
            Phase::Validate => "validate",
        };
        let (loss, accuracy) = (loss_text(so_far.loss()), so_far.accuracy());
        let waiting = match waited > 0.0 {
            true => format!(", {:.0} % waiting for pictures", 100.0 * share(waited, seconds)),
            false => String::new(),
        };
        if self.terminal {
            self.bar.set_length(images);
            self.bar.set_position(so_far.images);
            self.bar.set_prefix(format!("epoch {epoch}/{} {what}", self.epochs));
            let left = (images - so_far.images) as f64 / rate;
            self.bar.set_message(format!(
                "loss {loss}, accuracy {accuracy:.4}, {rate:.1} images/s{waiting}, {} left",
                clock(left)
            ));
        } else if self.last_line.elapsed() >= LINE_EVERY && so_far.images < images {
            self.last_line = Instant::now();
            self.line(&format!(
                "  epoch {epoch}/{} {what} {}/{images}: loss {loss}, accuracy {accuracy:.4}, \
                 {rate:.1} images/s{waiting}",
                self.epochs, so_far.images
            ));
        }
        Ok(())
    }

    fn epoch(
        &mut self,
        trainer: &Trainer,
        record: &EpochRecord,
    ) -> Result<ControlFlow<()>, TrainError> {
        let EpochRecord { epoch, train_acc, val_acc, seconds, images_per_s, .. } = *record;
        let [train_loss, val_loss] = [record.train_loss, record.val_loss].map(loss_text);
        self.line(&format!(
            "{epoch:>5}  {train_loss:>10}  {train_acc:>9.4}  {val_loss:>8}  {val_acc:>7.4}  \
             {seconds:>7.1}  {images_per_s:>8.1}"
        ));
        self.last_line = Instant::now();
        let [before, last] = self.trained;
        self.trained = [(before.0 + last.0, before.1 + last.1), (0.0, 0.0)];
        self.keeper.epoch();
        self.folder.epoch(trainer, record)
    }

    fn next(&mut self) -> Next {
        self.keeper.next()
    }

    fn save(
        &mut self,
        trainer: &Trainer,
        options: &FitOptions,
        reached: &Reached,
    ) -> Result<(), TrainError> {
        self.folder.save(trainer, options, reached)?;
        self.keeper.kept();
        Ok(())
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// A bar that a terminal shows, and nothing else does. Were the template wrong, the plain bar would do.
pub fn bar(template: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Seconds as `1:02` or `1:02:03`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round().max(0.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_hours_where_there_are_some() {
        assert_eq!([0.4, 62.0, 3723.0].map(clock), ["0:00", "1:02", "1:02:03"]);
    }
}
