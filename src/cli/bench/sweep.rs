//! Steps as the batch, the resolution or the network grows.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use indicatif::ProgressBar;
use serde::Serialize;
use vgg_wgpu::gpu::{AdapterFacts, Gpu};
use vgg_wgpu::graph::{self, GraphError};
use vgg_wgpu::train::growth::{Growth, Panel, write_growth};

use super::super::common::{AdapterReport, bytes, columns, say};
use super::super::network::PassArg;
use super::measure::{Case, Measured};
use super::report::{CeilingsReport, Config, spread};
use super::{BenchArgs, Sweep};

#[derive(Debug, Serialize)]
struct Report {
    adapter: AdapterReport,
    ceilings: CeilingsReport,
    sweep: Sweep,
    /// The network without what the sweep changes.
    config: Config,
    rows: Vec<Row>,
    skipped: Vec<Skipped>,
}

#[derive(Debug, Serialize)]
struct Row {
    value: usize,
    micro_batch: usize,
    step_ms: f64,
    ms_per_image: f64,
    images_per_s: f64,
    gflops: f64,
    planned_bytes: u64,
}

/// A value that the adapter, the memory or the network does not allow.
#[derive(Debug, Serialize)]
struct Skipped {
    value: usize,
    reason: String,
}

impl Sweep {
    fn defaults(self) -> &'static [usize] {
        match self {
            Self::Batch => &[1, 2, 4, 8, 16, 32, 64, 128, 256],
            Self::Resize => &[32, 64, 96, 128, 160, 192, 224],
            Self::Ratio => &[16, 8, 4, 2, 1],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Resize => "resize",
            Self::Ratio => "ratio",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Batch => "images in a batch",
            Self::Resize => "pixels of a side",
            Self::Ratio => "channels divided by",
        }
    }

    /// The case of the flags with another value.
    fn case(self, args: &BenchArgs, value: usize) -> Case<'_> {
        let mut case = Case::of(args);
        match self {
            Self::Batch => case.batch = value,
            Self::Resize => case.network.resize = Some(value),
            Self::Ratio => case.network.ratio = Some(value),
        }
        case
    }
}

/// Measures all values that fit and reports them.
pub fn run(args: &BenchArgs, axis: Sweep) -> Result<()> {
    let gpu = args.adapter.open()?;
    let (ceilings, _) = super::ceilings(&gpu)?;
    let values = if args.values.is_empty() { axis.defaults() } else { &args.values };
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(values.len() as u64),
        false => ProgressBar::hidden(),
    };
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for &value in values {
        let case = axis.case(args, value);
        match why_not(&case, gpu.facts())? {
            Some(reason) => skipped.push(Skipped { value, reason }),
            None => rows.push(row(&case, &gpu, value)?),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let reason = skipped.first().map_or("", |skipped| &skipped.reason);
    ensure!(!rows.is_empty(), "no value of the sweep can be measured: {reason}");
    let report = Report {
        adapter: gpu.facts().into(),
        ceilings: (&ceilings).into(),
        sweep: axis,
        config: Case::of(args).config(),
        rows,
        skipped,
    };
    if let Some(path) = &args.plot {
        report.plot(path)?;
    }
    match args.json.as_deref() {
        None => report.print(gpu.facts()),
        Some(path) => super::write_json(path, &report),
    }
}

/// Why the memory plan of a case cannot be made, if that is so. A flag that makes no sense whatever
/// the value is an error.
fn why_not(case: &Case<'_>, facts: &AdapterFacts) -> Result<Option<String>> {
    let options = case.options(facts)?;
    let planned = case.architecture().and_then(|network| graph::plan(&network, &options, facts));
    match planned {
        Ok(_) => Ok(None),
        Err(error @ (GraphError::Table { .. } | GraphError::Dropout { .. })) => Err(error.into()),
        Err(error) => Ok(Some(error.to_string())),
    }
}

fn row(case: &Case<'_>, gpu: &Arc<Gpu>, value: usize) -> Result<Row> {
    let measured = case.measure(gpu, Instant::now(), false)?;
    let Measured { step_ms, micro_batch, planned_bytes, flop, .. } = measured;
    let step_ms = spread(step_ms).median;
    let ms_per_image = step_ms / case.batch as f64;
    let gflops = flop as f64 / step_ms / 1e6;
    let images_per_s = 1e3 / ms_per_image;
    Ok(Row { value, micro_batch, step_ms, ms_per_image, images_per_s, gflops, planned_bytes })
}

impl Report {
    fn print(&self, facts: &AdapterFacts) -> Result<()> {
        say(format!("adapter       {facts}"))?;
        say(format!(
            "ceilings      {:.1} GFLOP/s in registers, {:.1} GB/s copied",
            self.ceilings.gflops, self.ceilings.gb_per_s
        ))?;
        say(format!("network       {}\n", self.title()))?;
        let row = |row: &Row| {
            vec![
                row.value.to_string(),
                row.micro_batch.to_string(),
                format!("{:.1}", row.step_ms),
                format!("{:.2}", row.ms_per_image),
                format!("{:.1}", row.images_per_s),
                format!("{:.1}", row.gflops),
                bytes(row.planned_bytes),
            ]
        };
        let value = format!(">{}", self.sweep.name());
        let titles = [
            value.as_str(),
            ">micro-batch",
            ">ms a step",
            ">ms an image",
            ">images/s",
            ">GFLOP/s",
            ">planned",
        ];
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        say(columns(&titles, &rows).trim_end())?;
        for Skipped { value, reason } in &self.skipped {
            say(format!("\nnot measured: {} {value}: {reason}", self.sweep.name()))?;
        }
        Ok(())
    }

    /// The network in words, without what the sweep changes.
    fn title(&self) -> String {
        let Config { arch, ratio, resize, batch, pass, .. } = &self.config;
        let parts = [
            (Sweep::Ratio, format!("/ {ratio}")),
            (Sweep::Resize, format!("{resize} px")),
            (Sweep::Batch, format!("batch {batch}")),
        ];
        let kept: Vec<_> = parts.iter().filter(|(axis, _)| *axis != self.sweep).collect();
        let kept: Vec<_> = kept.into_iter().map(|(_, text)| text.as_str()).collect();
        let pass = if *pass == PassArg::Train { "training" } else { "inference" };
        format!("{arch} {}, {pass}", kept.join(", "))
    }

    fn plot(&self, path: &Path) -> Result<()> {
        let of = |value: fn(&Row) -> f64| self.rows.iter().map(value).collect();
        let growth = Growth {
            title: format!("{}: {}", self.adapter.name, self.title()),
            axis: self.sweep.label().to_owned(),
            values: self.rows.iter().map(|row| row.value.to_string()).collect(),
            panels: [
                Panel { name: "ms an image".to_owned(), values: of(|row| row.ms_per_image) },
                Panel { name: "GFLOP/s".to_owned(), values: of(|row| row.gflops) },
            ],
        };
        Ok(write_growth(&growth, path)?)
    }
}
