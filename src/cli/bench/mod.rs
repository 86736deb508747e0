//! `bench`: what an adapter can do, what a network's kernels make of it, and how that compares.

mod compare;
mod measure;
mod report;
mod sweep;
mod table;
mod trace;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
use vgg_wgpu::gpu::Gpu;
use vgg_wgpu::kernel::Kernels;
use vgg_wgpu::ops::{self, Ceilings};

use super::common::{AdapterArgs, MemoryArgs, positive, say_json};
use super::network::{NetworkArgs, PassArg};
use compare::Earlier;
use measure::Case;
use report::Report;

/// Measure a network's steps on random images and weights, and each layer of one step
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu bench --arch vgg11 --ratio 4 --batch 8\n  vgg-wgpu bench \
    --pass infer --resize 64 --json -\n  vgg-wgpu bench --ratio 4 --batch 8 --compare before.json\n  \
    vgg-wgpu bench --ratio 4 --sweep batch --plot growth.svg\n\nA FLOP is counted for each \
    multiplication and addition of convolutions and dense layers;\na training step counts forward, \
    backward to weights, and backward to data\nexcept for the first convolution. GB/s counts each \
    tensor once: what caches keep\nfrom the memory can pass the ceiling."
)]
pub struct BenchArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive)]
    batch: usize,
    /// Steps to time, after a first one and one to warm up; each is followed by one whose kernels are
    /// timed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    steps: usize,
    /// What a step does
    #[arg(long, value_enum, default_value_t = PassArg::Train)]
    pass: PassArg,
    /// Seed of images and weights
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Write the results as JSON to FILE, or to the standard output for - [default: print a table]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Set the results beside those in FILE, which --json wrote for the same network
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    compare: Option<PathBuf>,
    /// Write a timeline of one step to FILE, which https://ui.perfetto.dev opens
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    trace: Option<PathBuf>,
    /// Measure steps as one number grows
    #[arg(long, value_enum)]
    sweep: Option<Sweep>,
    /// The numbers to measure in a sweep, parted by commas [default: up to 256 images, 224 pixels, a
    /// ratio of 1]
    #[arg(
        long,
        value_name = "N,..",
        requires = "sweep",
        value_delimiter = ',',
        value_parser = positive
    )]
    values: Vec<usize>,
    /// Draw the sweep to FILE, as SVG or, if it ends with .png, as PNG
    #[arg(long, value_name = "FILE", requires = "sweep")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    adapter: AdapterArgs,
    #[command(flatten)]
    memory: MemoryArgs,
}

/// What grows in a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Sweep {
    /// Images in a batch
    Batch,
    /// Pixels of a side
    Resize,
    /// What channels are divided by: falls, so that the network grows
    Ratio,
}

/// Measures and reports.
pub fn run(args: &BenchArgs) -> Result<()> {
    match args.sweep {
        Some(axis) => sweep::run(args, axis),
        None => run_one(args),
    }
}

fn run_one(args: &BenchArgs) -> Result<()> {
    let start = Instant::now();
    let case = Case::of(args);
    let earlier = match &args.compare {
        Some(path) => Some(Earlier::read(path, &case.config())?),
        None => None,
    };
    case.architecture()?;
    let gpu = args.adapter.open()?;
    let (ceilings, took) = ceilings(&gpu)?;
    let measured = case.measure(&gpu, start + took, true)?;
    let mut report = Report::new(&case, &gpu, &measured, ceilings);
    if let Some(path) = &args.trace {
        let run = measured.runs.last().context("no step was timed")?;
        let timeline = trace::timeline(run, gpu.facts(), &report.config);
        write(path, &serde_json::to_string(&timeline)?)?;
    }
    report.compare = earlier.map(|earlier| earlier.beside(&report));
    match args.json.as_deref() {
        None => table::print(&report, gpu.facts()),
        Some(path) => write_json(path, &report),
    }
}

/// The adapter's ceilings, and how long it took to measure them.
fn ceilings(gpu: &Arc<Gpu>) -> Result<(Ceilings, Duration)> {
    let start = Instant::now();
    let kernels = Kernels::new(Arc::clone(gpu))?;
    let found = ops::ceilings(&kernels);
    let found = found.map_err(|error| measure::with_another_variant(error, gpu.facts()))?;
    // The memory that was copied is given back before the network takes its own.
    drop(kernels);
    gpu.wait()?;
    Ok((found, start.elapsed()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}

fn write_json(path: &Path, report: &impl Serialize) -> Result<()> {
    match path.as_os_str() == "-" {
        true => say_json(report),
        false => write(path, &(serde_json::to_string_pretty(report)? + "\n")),
    }
}
