//! The settings of a run that is on disk, as its `config.toml` tells them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};
use toml::Table;

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
    pub momentum: f64,
    pub weight_decay: f64,
    pub label_smoothing: f64,
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
