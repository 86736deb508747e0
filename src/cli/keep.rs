//! When a run is kept, and when it ends before its last epoch.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use thiserror::Error;
use vgg_wgpu::train::Next;

use super::report::note;

// How a run is kept and goes on.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Results")]
pub struct KeepArgs {
    /// Go on with the run in this folder from where it was kept last, with its flags; those given beside
    /// it win. The weights come out as if it had never stopped
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "name"])]
    pub resume: Option<PathBuf>,
    /// Keep the run, so that it can go on, after every N epochs, or with `min` every N minutes
    #[arg(long, value_name = "N|Nmin", default_value_t = SaveEvery::Epochs(1))]
    pub save_every: SaveEvery,
    /// End the run, and keep it, after the step in which N minutes have passed
    #[arg(long, value_name = "N", value_parser = minutes)]
    pub max_minutes: Option<Duration>,
}

/// How often a run is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SaveEvery {
    Epochs(u32),
    Minutes(f64),
}

impl FromStr for SaveEvery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "expected a number of epochs of at least 1, or minutes such as 10min".to_owned();
        match text.strip_suffix("min") {
            Some(number) => {
                let number: f64 = number.trim().parse().map_err(|_| wrong())?;
                Some(number).filter(|n| n.is_finite() && *n > 0.0).map(Self::Minutes)
            }
            None => text.parse().ok().filter(|&epochs| epochs > 0).map(Self::Epochs),
        }
        .ok_or_else(wrong)
    }
}

impl Display for SaveEvery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(epochs) => write!(f, "{epochs}"),
            Self::Minutes(minutes) => write!(f, "{minutes}min"),
        }
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: Option<f64> = text.parse().ok().filter(|&minutes| minutes > 0.0);
    let duration = minutes.and_then(|minutes| Duration::try_from_secs_f64(60.0 * minutes).ok());
    duration.ok_or_else(|| "expected a number of minutes above 0".to_owned())
}

/// How the program ends when Ctrl-C ended it: 128 and the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Set by the signal that asks the program to end.
static ASKED_TO_END: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C (and on Unix SIGTERM and SIGHUP) lets the run end by itself; the second one ends
/// the program.
pub fn end_after_a_step() -> Result<()> {
    ctrlc::set_handler(|| {
        if ASKED_TO_END.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
        note("\nthe run ends after this step and is kept; Ctrl-C again ends it at once");
    })
    .context("cannot wait for Ctrl-C")
}

/// Why a run ended before its last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Interrupted,
    OutOfTime,
}

/// The program ends since it was asked to, and has said so.
#[derive(Debug, Clone, Copy, Error)]
#[error("the run was interrupted")]
pub struct Interrupted;

/// Says when a run is to be kept, and when it is to end.
#[derive(Debug)]
pub struct Keeper {
    every: SaveEvery,
    /// When the run has to end.
    end: Option<Instant>,
    /// When it was last kept.
    kept: Instant,
    /// Epochs since then.
    epochs: u32,
    /// Why it ends, once it does.
    pub ending: Option<Ending>,
}

impl Keeper {
    /// For a run that begins now.
    pub fn new(args: &KeepArgs) -> Self {
        let now = Instant::now();
        let end = args.max_minutes.and_then(|most| now.checked_add(most));
        Self { every: args.save_every, end, kept: now, epochs: 0, ending: None }
    }

    /// Between two steps.
    pub fn next(&mut self) -> Next {
        if ASKED_TO_END.load(Ordering::Relaxed) {
            self.ending = Some(Ending::Interrupted);
        } else if self.end.is_some_and(|end| Instant::now() >= end) {
            self.ending = Some(Ending::OutOfTime);
        }
        let due = match self.every {
            SaveEvery::Epochs(every) => self.epochs >= every,
            SaveEvery::Minutes(every) => self.kept.elapsed().as_secs_f64() >= 60.0 * every,
        };
        match (self.ending, due) {
            (Some(_), _) => Next::Stop,
            (None, true) => Next::Save,
            (None, false) => Next::GoOn,
        }
    }

    /// Another epoch has ended.
    pub fn epoch(&mut self) {
        self.epochs += 1;
    }

    /// The run was kept.
    pub fn kept(&mut self) {
        (self.kept, self.epochs) = (Instant::now(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_kept_by_epochs_or_minutes() {
        assert_eq!("3".parse(), Ok(SaveEvery::Epochs(3)));
        assert_eq!("0.5min".parse(), Ok(SaveEvery::Minutes(0.5)));
        assert_eq!("10 min".parse(), Ok(SaveEvery::Minutes(10.0)));
        for wrong in ["", "0", "-1", "1.5", "min", "0min", "-1min", "infmin", "NaNmin", "5s"] {
            assert!(wrong.parse::<SaveEvery>().is_err(), "{wrong}");
        }
        for text in ["7", "0.25min"] {
            assert_eq!(text.parse::<SaveEvery>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_run_is_kept_when_it_is_due_and_ends_when_its_time_is_over() {
        let args = |save_every, max_minutes| KeepArgs { resume: None, save_every, max_minutes };
        let mut keeper = Keeper::new(&args(SaveEvery::Epochs(2), None));
        keeper.epoch();
        assert_eq!(keeper.next(), Next::GoOn);
        keeper.epoch();
        assert_eq!(keeper.next(), Next::Save);
        keeper.kept();
        assert_eq!(keeper.next(), Next::GoOn);
        let mut keeper = Keeper::new(&args(SaveEvery::Minutes(1e-9), Some(Duration::ZERO)));
        assert_eq!((keeper.next(), keeper.ending), (Next::Stop, Some(Ending::OutOfTime)));
        let mut keeper = Keeper::new(&args(SaveEvery::Minutes(1e-9), None));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!((keeper.next(), keeper.ending), (Next::Save, None));
    }
}
