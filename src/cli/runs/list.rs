//! The runs in a folder as a table.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Error, Result, anyhow};
use indicatif::HumanDuration;
use serde::Serialize;
use toml::Table;
use vgg_wgpu::train::CHECKPOINT;
use vgg_wgpu::train::history::{EpochRecord, History, loss_text};

use super::SortArg;
use crate::cli::common::{columns, say};
use crate::cli::recorded::{
    self, CONFIG, LearningSettings, NetworkSettings, Settings, other_version,
};

/// The file of a run's epochs.
const HISTORY: &str = "history.csv";

/// A run that has finished an epoch.
#[derive(Debug)]
pub struct Run {
    pub folder: PathBuf,
    pub settings: Settings,
    /// All of its `config.toml`.
    pub table: Table,
    pub history: History,
}

/// The runs in a folder, in order.
#[derive(Debug, Serialize)]
pub struct Listing {
    folder: PathBuf,
    sort: SortArg,
    runs: Vec<RunReport>,
    without_results: Vec<WithoutResults>,
}

#[derive(Debug, Serialize)]
struct RunReport {
    name: String,
    folder: PathBuf,
    #[serde(flatten)]
    network: NetworkSettings,
    learning: LearningSettings,
    /// Epochs that are done; `learning` tells how many were wanted.
    epochs: usize,
    /// The epoch with the highest validation accuracy.
    best: EpochRecord,
    last: EpochRecord,
    /// Of all epochs together.
    seconds: f64,
    /// When the run was written to last, in seconds since 1970.
    written: u64,
}

/// A run that has nothing to show.
#[derive(Debug, Serialize)]
struct WithoutResults {
    folder: PathBuf,
    reason: String,
}

/// True of a folder that a run has written to, whole or not.
pub fn is_run(folder: &Path) -> bool {
    [CONFIG, HISTORY].iter().any(|name| folder.join(name).is_file())
}

impl Run {
    /// Reads settings and history of a run.
    ///
    /// # Errors
    /// Of a file that cannot be read or says less than it should, and of a run without an epoch.
    pub fn read(folder: &Path) -> Result<Self> {
        let table = recorded::read(folder)?;
        Self::of(folder, &table).map_err(|error| match other_version(&table) {
            Some(version) => error.context(format!(
                "it was written by vgg-wgpu {version}, this is {}",
                env!("CARGO_PKG_VERSION")
            )),
            None => error,
        })
    }

    fn of(folder: &Path, table: &Table) -> Result<Self> {
        let settings = recorded::settings(folder, table)?;
        let history = history(&folder.join(HISTORY))?.ok_or_else(|| {
            let (folder, wanted) = (folder.display(), settings.learning.epochs);
            anyhow!("{folder}: no epoch of {wanted} is finished")
        })?;
        Ok(Self { folder: folder.to_owned(), settings, table: table.clone(), history })
    }

    /// The best epoch; a run has one.
    pub fn best(&self) -> EpochRecord {
        self.history.best().copied().unwrap_or(NO_EPOCH)
    }

    /// The last epoch.
    pub fn last(&self) -> EpochRecord {
        self.history.epochs.last().copied().unwrap_or(NO_EPOCH)
    }

    /// Seconds of all epochs.
    pub fn seconds(&self) -> f64 {
        self.history.epochs.iter().map(|epoch| epoch.seconds).sum()
    }

    fn report(&self) -> RunReport {
        let Settings { name, network, learning } = self.settings.clone();
        let (folder, epochs) = (self.folder.clone(), self.history.epochs.len());
        let (best, last, seconds) = (self.best(), self.last(), self.seconds());
        let written = written(&self.folder);
        RunReport { name, folder, network, learning, epochs, best, last, seconds, written }
    }
}

/// Nothing was measured.
const NO_EPOCH: EpochRecord = EpochRecord {
    epoch: 0,
    train_loss: f64::NAN,
    train_acc: f64::NAN,
    val_loss: f64::NAN,
    val_acc: f64::NAN,
    seconds: 0.0,
    images_per_s: f64::NAN,
};

/// The epochs of a history that has some. The file of a run in its first epoch is empty.
fn history(path: &Path) -> Result<Option<History>> {
    let length = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if length.len() == 0 {
        return Ok(None);
    }
    let history = History::read(path)?;
    Ok((!history.epochs.is_empty()).then_some(history))
}

/// When a run's training wrote to its folder last, in seconds since 1970.
fn written(folder: &Path) -> u64 {
    let files = [HISTORY, "metrics.jsonl", CHECKPOINT].map(|name| folder.join(name));
    let times = files.iter().filter_map(|file| fs::metadata(file).ok()?.modified().ok());
    let since = times.filter_map(|time| time.duration_since(UNIX_EPOCH).ok());
    since.max().unwrap_or_default().as_secs()
}

impl Listing {
    /// Reads all runs in `folder`, which may be one itself.
    ///
    /// # Errors
    /// Of a folder that cannot be read.
    pub fn of(folder: &Path, sort: SortArg) -> Result<Self> {
        let (mut runs, mut without_results) = (Vec::new(), Vec::new());
        for folder in run_folders(folder)? {
            match Run::read(&folder) {
                Ok(run) => runs.push(run.report()),
                Err(error) => {
                    without_results.push(WithoutResults { folder, reason: one_line(&error) })
                }
            }
        }
        runs.sort_by(|a, b| sort.compare(a, b).then_with(|| a.name.cmp(&b.name)));
        Ok(Self { folder: folder.to_owned(), sort, runs, without_results })
    }

    /// Prints it.
    pub fn print(&self) -> Result<()> {
        if self.runs.is_empty() && self.without_results.is_empty() {
            let folder = self.folder.display();
            return Ok(say(format!("no runs in {folder}; `vgg-wgpu train` makes one"))?);
        }
        if !self.runs.is_empty() {
            let rows: Vec<_> = self.runs.iter().map(RunReport::row).collect();
            say(columns(&TITLES, &rows).trim_end())?;
        }
        for WithoutResults { folder, reason } in &self.without_results {
            // The reason names the file mostly, and with it the folder.
            let folder = folder.display().to_string();
            let place =
                if reason.contains(&folder) { String::new() } else { format!("{folder}: ") };
            say(format!("without results   {place}{reason}"))?;
        }
        Ok(())
    }
}

impl SortArg {
    fn compare(self, a: &RunReport, b: &RunReport) -> Ordering {
        // What was not measured comes last.
        let known = |value: f64| if value.is_nan() { f64::INFINITY } else { value };
        match self {
            Self::Name => a.name.cmp(&b.name),
            Self::Accuracy => known(-a.best.val_acc).total_cmp(&known(-b.best.val_acc)),
            Self::Loss => known(a.best.val_loss).total_cmp(&known(b.best.val_loss)),
            Self::Time => b.written.cmp(&a.written),
        }
    }
}

const TITLES: [&str; 12] = [
    "run",
    "network",
    ">px",
    ">batch",
    "lr",
    ">epochs",
    ">best acc",
    ">in epoch",
    ">its loss",
    ">last loss",
    ">seconds",
    "written",
];

impl RunReport {
    /// Its cells below [`TITLES`].
    fn row(&self) -> Vec<String> {
        let Self { network, learning, best, last, .. } = self;
        vec![
            self.name.clone(),
            network.text(),
            network.resize.to_string(),
            learning.batch.to_string(),
            learning.text(),
            format!("{}/{}", self.epochs, learning.epochs),
            format!("{:.4}", best.val_acc),
            best.epoch.to_string(),
            loss_text(best.val_loss),
            loss_text(last.val_loss),
            format!("{:.1}", self.seconds),
            ago(self.written),
        ]
    }
}

impl NetworkSettings {
    fn text(&self) -> String {
        match self.ratio {
            1 => self.arch.clone(),
            ratio => format!("{} / {ratio}", self.arch),
        }
    }
}

impl LearningSettings {
    /// The rule unless it is SGD, the learning rate, and what is not left at nothing.
    fn text(&self) -> String {
        let schedule = match self.schedule.as_str() {
            "constant" => String::new(),
            schedule => format!(" {schedule}"),
        };
        let rule = match self.optimizer.as_str() {
            "sgd" => String::new(),
            rule => format!("{rule} "),
        };
        let momentum = if self.nesterov { "Nesterov momentum" } else { "momentum" };
        let others = [
            ("warm-up", self.warmup),
            (momentum, self.momentum),
            ("decay", self.weight_decay),
            ("clip", self.clip_norm.unwrap_or_default()),
            ("smoothing", self.label_smoothing),
        ];
        let set = others.iter().filter(|(_, value)| *value != 0.0);
        let set: String = set.map(|(name, value)| format!(", {name} {value}")).collect();
        format!("{rule}{}{schedule}{set}", self.lr)
    }
}

/// The run folders in a folder by name, or itself if it is one.
fn run_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    if is_run(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    let read = || format!("cannot read the folder {}", folder.display());
    let entries = fs::read_dir(folder).with_context(read)?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>();
    let mut runs: Vec<_> = paths.with_context(read)?.into_iter().filter(|p| is_run(p)).collect();
    runs.sort();
    Ok(runs)
}

/// An error with its causes, in a line.
fn one_line(error: &Error) -> String {
    let parts: Vec<String> =
        error.chain().map(|cause| cause.to_string().replace('\n', " ")).collect();
    parts.join(": ")
}

fn ago(seconds: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_secs(seconds);
    // A clock may have been put back since.
    let since = SystemTime::now().duration_since(then).unwrap_or_default();
    format!("{} ago", HumanDuration(since))
}
