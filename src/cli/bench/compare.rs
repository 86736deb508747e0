//! A run beside an earlier one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::super::common::{columns, say};
use super::super::network::PassArg;
use super::report::{Config, Report};

/// What is read of an earlier report.
#[derive(Debug, Deserialize)]
struct Numbers {
    adapter: Adapter,
    config: EarlierConfig,
    step_ms: Median,
    layers: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
struct Adapter {
    name: String,
}

/// Reports of the first versions have no head.
#[derive(Debug, Deserialize)]
struct EarlierConfig {
    arch: String,
    ratio: usize,
    resize: usize,
    #[serde(default)]
    head: Option<String>,
    batch: usize,
    pass: String,
}

#[derive(Debug, Deserialize)]
struct Median {
    median: f64,
}

#[derive(Debug, Deserialize)]
struct Layer {
    name: String,
    op: String,
    variant: String,
    ms: f64,
}

/// An earlier report of the same network.
#[derive(Debug)]
pub struct Earlier {
    file: PathBuf,
    numbers: Numbers,
}

/// How a report compares with an earlier one.
#[derive(Debug, Serialize)]
pub struct Comparison {
    file: String,
    adapter: String,
    step_ms: f64,
    was_step_ms: f64,
    /// The earlier time over this one: above 1 where this one is faster.
    step_ratio: f64,
    layers: Vec<Row>,
}

/// An operation of a layer in both; null where one of them has it not.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    op: String,
    variant: Option<String>,
    was_variant: Option<String>,
    ms: Option<f64>,
    was_ms: Option<f64>,
    ratio: Option<f64>,
}

impl Earlier {
    /// Reads the report in `file`, which must be of the network that `config` describes.
    pub fn read(file: &Path, config: &Config) -> Result<Self> {
        let shown = file.display();
        let text = fs::read_to_string(file).with_context(|| format!("could not read {shown}"))?;
        let numbers: Numbers = serde_json::from_str(&text).with_context(|| {
            format!("{shown} is no report of a network that `vgg-wgpu bench --json` wrote")
        })?;
        ensure!(
            numbers.step_ms.median > 0.0,
            "{shown} tells of a step of {} ms: nothing to compare with",
            numbers.step_ms.median
        );
        let differences = differences(config, &numbers.config);
        if !differences.is_empty() {
            bail!("{shown} measured other work: {}", differences.join(", "));
        }
        Ok(Self { file: file.to_owned(), numbers })
    }

    /// Sets `report` beside it.
    pub fn beside(self, report: &Report) -> Comparison {
        let now: Vec<_> = report.layers.iter().map(Layer::from).collect();
        let (step_ms, was_step_ms) = (report.step_ms.median, self.numbers.step_ms.median);
        Comparison {
            file: self.file.display().to_string(),
            adapter: self.numbers.adapter.name,
            step_ms,
            was_step_ms,
            step_ratio: was_step_ms / step_ms,
            layers: rows(&now, &self.numbers.layers),
        }
    }
}

impl From<&super::report::LayerReport> for Layer {
    fn from(layer: &super::report::LayerReport) -> Self {
        Self {
            name: layer.name.clone(),
            op: layer.op.to_owned(),
            variant: layer.variant.to_owned(),
            ms: layer.ms,
        }
    }
}

/// What the two measured differently, as `batch 32 there, 8 here`.
fn differences(here: &Config, there: &EarlierConfig) -> Vec<String> {
    let pass = match here.pass {
        PassArg::Train => "train",
        PassArg::Infer => "infer",
    };
    let head = |head: &Option<String>| head.clone().unwrap_or_else(|| "flatten".to_owned());
    let here_head = here.head.map(|head| head.to_string());
    let pairs = [
        ("--arch", there.arch.to_lowercase(), here.arch.to_lowercase()),
        ("--ratio", there.ratio.to_string(), here.ratio.to_string()),
        ("--resize", there.resize.to_string(), here.resize.to_string()),
        ("--head", head(&there.head), head(&here_head)),
        ("--batch", there.batch.to_string(), here.batch.to_string()),
        ("--pass", there.pass.clone(), pass.to_owned()),
    ];
    let differ = pairs.into_iter().filter(|(_, there, here)| there != here);
    differ.map(|(flag, there, here)| format!("{flag} {there} there, {here} here")).collect()
}

/// Each layer and operation of either, in the order of `now`; variants of one operation are added up.
fn rows(now: &[Layer], was: &[Layer]) -> Vec<Row> {
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for layer in now.iter().chain(was) {
        if !keys.contains(&(&layer.name, &layer.op)) {
            keys.push((&layer.name, &layer.op));
        }
    }
    let row = |(name, op): (&str, &str)| {
        let of = |layers: &[Layer]| {
            let mut same = layers.iter().filter(|l| l.name == name && l.op == op).peekable();
            let variant = same.peek()?.variant.clone();
            Some((variant, same.map(|layer| layer.ms).sum::<f64>()))
        };
        let ((variant, ms), (was_variant, was_ms)) = (of(now).unzip(), of(was).unzip());
        let ratio = ms.zip(was_ms).filter(|(ms, _)| *ms > 0.0).map(|(ms, was)| was / ms);
        let (name, op) = (name.to_owned(), op.to_owned());
        Row { name, op, variant, was_variant, ms, was_ms, ratio }
    };
    keys.into_iter().map(row).collect()
}

impl Comparison {
    /// Prints it as a table.
    pub fn print(&self) -> Result<()> {
        say(format!("\nbeside {} ({})\n", self.file, self.adapter))?;
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
        let mut rows = vec![vec![
            "step".to_owned(),
            String::new(),
            number(Some(self.was_step_ms)),
            number(Some(self.step_ms)),
            number(Some(self.step_ratio)),
        ]];
        rows.extend(self.layers.iter().map(|row| {
            let kernel = match (&row.was_variant, &row.variant) {
                (Some(was), Some(now)) if was != now => {
                    let short = was.strip_prefix(&row.op).unwrap_or(was).trim_start_matches('_');
                    format!("{now}, was {short}")
                }
                (was, now) => now.clone().or(was.clone()).unwrap_or_default(),
            };
            let numbers = [row.was_ms, row.ms, row.ratio].map(number);
            [row.name.clone(), kernel].into_iter().chain(numbers).collect()
        }));
        let titles = ["layer", "kernel", ">was ms", ">ms", ">times as fast"];
        Ok(say(columns(&titles, &rows).trim_end())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, op: &str, variant: &str, ms: f64) -> Layer {
        Layer { name: name.to_owned(), op: op.to_owned(), variant: variant.to_owned(), ms }
    }

    #[test]
    fn layers_are_matched_by_operation_whatever_the_variant() {
        let now = [layer("dense1", "dense_forward", "tiled", 2.0), layer("a", "new", "new", 1.0)];
        let was = [
            layer("b", "gone", "gone", 1.0),
            layer("dense1", "dense_forward", "shuffle", 5.0),
            layer("dense1", "dense_forward", "other", 1.0),
        ];
        let rows = rows(&now, &was);
        let ratios: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.ratio)).collect();
        assert_eq!(ratios, [("dense1", Some(3.0)), ("a", None), ("b", None)]);
        assert_eq!((rows[1].was_ms, rows[2].ms), (None, None));
    }
}
