//! The settings of a run that is on disk, as its `config.toml` tells them.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};
use toml::Table;
use vgg_wgpu::train::CHECKPOINT;

use super::common::ResizeArg;
use super::config::FLAGS;

/// The file of a run's settings.
pub const CONFIG: &str = "config.toml";

/// The settings that a list of runs shows: the least that a run has.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    pub name: String,
    pub network: NetworkSettings,
    pub learning: LearningSettings,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct NetworkSettings {
    pub arch: String,
    pub ratio: usize,
    pub resize: usize,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct LearningSettings {
    pub epochs: u32,
    pub batch: usize,
    pub lr: f64,
    pub schedule: String,
    pub warmup: f64,
    // Not there in runs of earlier versions, which knew SGD alone.
    #[serde(default = "sgd")]
    pub optimizer: String,
    pub momentum: f64,
    #[serde(default)]
    pub nesterov: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    pub weight_decay: f64,
    pub label_smoothing: f64,
}

fn sgd() -> String {
    "sgd".to_owned()
}

/// Reads the whole `config.toml` of a run.
///
/// # Errors
/// Of a file that cannot be read or is no TOML, with the line.
pub fn read(run: &Path) -> Result<Table> {
    let path = run.join(CONFIG);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse::<Table>().map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.get(..start).unwrap_or(&text).matches('\n').count() + 1;
        anyhow!("{}:{line}: {}", path.display(), error.message())
    })
}

/// What a list of runs shows of the settings that [`read`] gave for `run`.
///
/// # Errors
/// Names the first setting that is missing.
pub fn settings(run: &Path, table: &Table) -> Result<Settings> {
    Settings::deserialize(table.clone())
        .map_err(|error| anyhow!("{}: {}", run.join(CONFIG).display(), error.message()))
}

/// The name of a run.
///
/// # Errors
/// Of settings that cannot be read, or have none.
pub fn name_of(run: &Path) -> Result<String> {
    let table = read(run)?;
    let name = table.get("name").and_then(|name| name.as_str());
    let missing = || format!("{}: missing field `name`", run.join(CONFIG).display());
    name.map(str::to_owned).with_context(missing)
}

/// The program's version that wrote the settings, if it is another one.
pub fn other_version(table: &Table) -> Option<&str> {
    let version = table.get("version")?.as_str()?;
    (version != env!("CARGO_PKG_VERSION")).then_some(version)
}

/// How the images of a run were resized: of the run in the folder `model`, or of the one that the
/// model file belongs to. Nothing where there is no run, or it does not say.
///
/// # Errors
/// Of settings that cannot be read.
pub fn resize_filter(model: &Path) -> Result<Option<ResizeArg>> {
    let untold = "how the run's images were resized cannot be read; --resize-filter tells it";
    let Some((run, table)) = of_model(model).context(untold)? else { return Ok(None) };
    let flags = table.get(FLAGS).and_then(|flags| flags.as_table());
    let Some(filter) = flags.and_then(|flags| flags.get("resize-filter")) else { return Ok(None) };
    let known = filter.as_str().and_then(|text| ResizeArg::from_str(text, true).ok());
    let unknown = || format!("{}: no resize-filter is {filter}", run.join(CONFIG).display());
    known.with_context(unknown).context(untold).map(Some)
}

/// The seed and the share by which a run set pictures aside, as [`resize_filter`] finds it.
///
/// # Errors
/// Of settings that cannot be read.
pub fn set_aside(model: &Path) -> Result<(Option<u64>, Option<f64>)> {
    let Some((_, table)) = of_model(model)? else { return Ok((None, None)) };
    let of = |section: &str, key: &str| table.get(section)?.as_table()?.get(key).cloned();
    let seed = of("learning", "seed").and_then(|seed| u64::try_from(seed.as_integer()?).ok());
    Ok((seed, of("data", "val").and_then(|val| val.as_float())))
}

/// The run that is a folder, or that a model file belongs to, with its settings.
fn of_model(model: &Path) -> Result<Option<(&Path, Table)>> {
    let run = match (model.is_dir(), model.file_name(), model.parent()) {
        (true, ..) => model,
        (false, Some(name), Some(folder)) if is_of_run(name) => folder,
        _ => return Ok(None),
    };
    if !run.join(CONFIG).exists() {
        return Ok(None);
    }
    Ok(Some((run, read(run)?)))
}

/// True of the names of a run's files that hold weights.
fn is_of_run(name: &OsStr) -> bool {
    ["model.safetensors", "best.safetensors", CHECKPOINT].iter().any(|known| name == *known)
}
