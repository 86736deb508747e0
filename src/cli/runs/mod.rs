//! `runs`: the runs in a folder, and two of them beside each other.

mod compare;
mod list;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::common::{say, say_json};
use compare::Comparison;
use list::{Listing, Run};

/// List the runs in a folder with their settings and results, or compare two of them
///
/// Best is the epoch with the highest validation accuracy; all losses are of validation. Folders that are
/// no runs are passed over; runs that cannot be read, or have no epoch yet, are named below the table with
/// the reason.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu runs\n  vgg-wgpu runs --compare vgg11-1 vgg11-2 --plot both.svg"
)]
pub struct RunsArgs {
    /// Folder that holds run folders, or a run folder
    #[arg(value_name = "DIR", default_value = "runs")]
    folder: PathBuf,
    /// What the table is sorted by
    #[arg(long, value_enum, default_value_t = SortArg::Accuracy)]
    sort: SortArg,
    /// Show how two runs differ, in settings and epoch by epoch: run folders, or names of runs in DIR
    #[arg(long, value_names = ["A", "B"], num_args = 2)]
    compare: Vec<PathBuf>,
    /// Draw the curves of the two runs into one picture: PNG if the name ends with .png, else SVG
    #[arg(long, value_name = "FILE", requires = "compare")]
    plot: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum SortArg {
    /// By name
    Name,
    /// The highest best accuracy first
    Accuracy,
    /// The least loss of the best epoch first
    Loss,
    /// Those written last first
    Time,
}

/// Lists or compares.
pub fn run(args: &RunsArgs) -> Result<()> {
    match args.compare.as_slice() {
        [a, b] => compare(args, [a, b]),
        _ => list(args),
    }
}

fn list(args: &RunsArgs) -> Result<()> {
    let listing = Listing::of(&args.folder, args.sort)?;
    match args.json {
        true => say_json(&listing),
        false => listing.print(),
    }
}

fn compare(args: &RunsArgs, [a, b]: [&PathBuf; 2]) -> Result<()> {
    let [a, b] = [args.read(a)?, args.read(b)?];
    let comparison = Comparison::of([&a, &b]);
    if let Some(file) = &args.plot {
        comparison.plot(file)?;
    }
    if args.json {
        return say_json(&comparison);
    }
    comparison.print()?;
    match &args.plot {
        Some(file) => Ok(say(format!("\ndrawn     {}", file.display()))?),
        None => Ok(()),
    }
}

impl RunsArgs {
    /// A run that is named by its path, or by its name in DIR.
    fn read(&self, run: &Path) -> Result<Run> {
        let places = [run.to_owned(), self.folder.join(run)];
        let found = places.iter().find(|path| list::is_run(path));
        let (run, folder) = (run.display(), self.folder.display());
        let none = || format!("there is no run {run}, nor one of this name in {folder}");
        Run::read(found.with_context(none)?)
    }
}
