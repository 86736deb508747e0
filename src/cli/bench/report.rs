//! What is reported of a measured network, as JSON has it.

use std::fs;

use serde::Serialize;
use vgg_wgpu::gpu::{Clock, Gpu};
use vgg_wgpu::graph::{Checked, LaunchTime, TimedRun};
use vgg_wgpu::ops::{Bound, Ceilings};

use super::super::common::AdapterReport;
use super::super::network::{HeadArg, PassArg};
use super::compare::Comparison;
use super::measure::{Case, Measured};

#[derive(Debug, Serialize)]
pub struct Report {
    pub adapter: AdapterReport,
    pub config: Config,
    pub ceilings: CeilingsReport,
    /// What kernels were timed by.
    pub timed_by: Clock,
    pub step_ms: Spread,
    /// From submission to completion; drivers that compile at first use do it here.
    pub first_step_ms: f64,
    /// From the start of the program to the network bound to its images, without the ceilings.
    pub startup_ms: f64,
    pub images_per_s: f64,
    pub gflops: f64,
    /// The sum of all kernels' medians.
    pub kernels_ms: f64,
    /// The share of the step outside kernels: below 0 if they took longer when they were timed.
    pub unexplained: f64,
    pub memory: Memory,
    /// Kinds of work whose kernel was chosen by `vgg-wgpu tune`.
    pub tuned: usize,
    pub checked: Vec<CheckedReport>,
    pub layers: Vec<LayerReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<Comparison>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    pub arch: String,
    pub ratio: usize,
    pub resize: usize,
    pub head: Option<HeadArg>,
    pub batch: usize,
    pub micro_batch: usize,
    pub pass: PassArg,
    pub steps: usize,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct CeilingsReport {
    pub gflops: f64,
    pub gb_per_s: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

#[derive(Debug, Serialize)]
pub struct Memory {
    pub planned_bytes: u64,
    /// The most that the process held in main memory; null where the system does not tell.
    pub peak_rss_bytes: Option<u64>,
}

/// A kernel that was compared with its reference before it was timed.
#[derive(Debug, Serialize)]
pub struct CheckedReport {
    op: &'static str,
    variant: &'static str,
    /// The largest error relative to the largest magnitude of the output, and the largest allowed.
    pub deviation: f64,
    tolerance: f64,
}

#[derive(Debug, Serialize)]
pub struct LayerReport {
    pub name: String,
    pub op: &'static str,
    pub variant: &'static str,
    /// The median over the timed steps.
    pub ms: f64,
    /// 0 for operations whose work is not counted.
    pub gflops: f64,
    pub gb_per_s: f64,
    /// Which of the adapter's ceilings is nearer: `compute` or `memory`.
    pub bound: &'static str,
    /// The least time that the ceilings leave for the work.
    pub floor_ms: f64,
    /// `floor_ms / ms`.
    pub of_ceiling: f64,
    #[serde(skip)]
    flop: u64,
    #[serde(skip)]
    bytes: u64,
}

impl Report {
    /// What was measured, against the adapter's ceilings.
    pub fn new(case: &Case<'_>, gpu: &Gpu, measured: &Measured, ceilings: Ceilings) -> Self {
        let step_ms = spread(measured.step_ms.clone());
        let layers = layers(&measured.runs, &ceilings);
        let kernels_ms: f64 = layers.iter().map(|layer| layer.ms).sum();
        let clock = measured.runs.first().map_or(ceilings.clock, |run| run.clock);
        Self {
            adapter: gpu.facts().into(),
            config: Config { micro_batch: measured.micro_batch, ..case.config() },
            ceilings: (&ceilings).into(),
            timed_by: clock,
            images_per_s: case.batch as f64 / step_ms.median * 1e3,
            gflops: measured.flop as f64 / step_ms.median / 1e6,
            kernels_ms,
            unexplained: 1.0 - kernels_ms / step_ms.median,
            step_ms,
            first_step_ms: measured.first_step_ms,
            startup_ms: measured.startup_ms,
            memory: Memory {
                planned_bytes: measured.planned_bytes,
                peak_rss_bytes: peak_rss_bytes(),
            },
            tuned: measured.tuned,
            checked: measured.checked.iter().map(CheckedReport::from).collect(),
            layers,
            compare: None,
        }
    }
}

impl From<&Ceilings> for CeilingsReport {
    fn from(ceilings: &Ceilings) -> Self {
        Self { gflops: ceilings.flop_per_s / 1e9, gb_per_s: ceilings.bytes_per_s / 1e9 }
    }
}

impl From<&Checked> for CheckedReport {
    fn from(checked: &Checked) -> Self {
        let Checked { op, variant, deviation } = *checked;
        Self { op, variant, deviation: deviation.relative, tolerance: deviation.tolerance }
    }
}

/// The launches of a step, each by the median of its times, those of one layer, operation and variant
/// added up.
fn layers(runs: &[TimedRun], ceilings: &Ceilings) -> Vec<LayerReport> {
    let mut layers: Vec<LayerReport> = Vec::new();
    let launches = runs.first().map_or(&[][..], |run| &run.times);
    for (place, LaunchTime { info, flop, bytes, .. }) in launches.iter().enumerate() {
        let times = runs.iter().filter_map(|run| run.times.get(place)).map(|time| time.seconds);
        let ms = spread(times.collect()).median * 1e3;
        let same = |layer: &&mut LayerReport| {
            layer.name == info.layer && layer.op == info.op && layer.variant == info.variant
        };
        if let Some(layer) = layers.iter_mut().find(same) {
            layer.ms += ms;
            layer.flop += flop;
            layer.bytes += bytes;
            continue;
        }
        layers.push(LayerReport {
            name: info.layer.clone(),
            op: info.op,
            variant: info.variant,
            ms,
            gflops: 0.0,
            gb_per_s: 0.0,
            bound: "",
            floor_ms: 0.0,
            of_ceiling: 0.0,
            flop: *flop,
            bytes: *bytes,
        });
    }
    layers.iter_mut().for_each(|layer| layer.judge(ceilings));
    layers
}

impl LayerReport {
    /// Works out the rates and what they are of the ceilings.
    fn judge(&mut self, ceilings: &Ceilings) {
        let (floor, bound) = ceilings.floor(self.flop, self.bytes);
        self.floor_ms = floor * 1e3;
        self.bound = match bound {
            Bound::Compute => "compute",
            Bound::Memory => "memory",
        };
        // A clock too coarse may see no time pass.
        if self.ms > 0.0 {
            self.gflops = self.flop as f64 / self.ms / 1e6;
            self.gb_per_s = self.bytes as f64 / self.ms / 1e6;
            self.of_ceiling = self.floor_ms / self.ms;
        }
    }
}

/// Median, least and most; NaN of nothing.
pub fn spread(mut times: Vec<f64>) -> Spread {
    times.sort_by(f64::total_cmp);
    let at = |i: usize| times.get(i).copied().unwrap_or(f64::NAN);
    let last = times.len().saturating_sub(1);
    Spread { median: (at(last / 2) + at(last.div_ceil(2))) / 2.0, min: at(0), max: at(last) }
}

/// The most memory the process held, where Linux tells.
fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use vgg_wgpu::graph::{HostTimes, LaunchInfo};

    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        let spread = spread(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((spread.median, spread.min, spread.max), (2.5, 1.0, 4.0));
        assert_eq!(super::spread(vec![7.0, 5.0, 6.0]).median, 6.0);
    }

    #[test]
    fn a_layer_is_judged_by_the_sum_of_its_launches() {
        let time = |seconds, flop, bytes| LaunchTime {
            info: LaunchInfo { layer: "dense1".to_owned(), op: "dense_forward", variant: "tiled" },
            seconds,
            flop,
            bytes,
        };
        let run = |a, b| TimedRun {
            times: vec![time(a, 3_000_000_000, 8), time(b, 1_000_000_000, 8)],
            launches: Vec::new(),
            host: HostTimes::default(),
            clock: Clock::Timestamps,
        };
        let ceilings = Ceilings { flop_per_s: 16e9, bytes_per_s: 1e9, clock: Clock::Timestamps };
        let layers = layers(&[run(0.5, 0.5), run(0.7, 0.3), run(9.0, 0.1)], &ceilings);
        assert_eq!(layers.len(), 1);
        assert_eq!((layers[0].ms, layers[0].gflops, layers[0].bound), (1000.0, 4.0, "compute"));
        assert_eq!((layers[0].floor_ms, layers[0].of_ceiling), (250.0, 0.25));
    }
}
