use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;
use vgg_wgpu::gpu::{AdapterFacts, Gpu};
use vgg_wgpu::graph::{
    Architecture, Batch, ImageSource, LaunchTime, Network, NetworkOptions, Parameter, Pixels,
    Program, ResizeFilter, SourceShape,
};
use vgg_wgpu::shape::Layout;
use vgg_wgpu::weights::norm_from_torch;

use super::common::{
    AdapterArgs, AdapterReport, MemoryArgs, NetworkArgs, PassArg, bytes, columns, positive, say,
    say_json,
};

/// Measure a network's steps on random images and weights, and each layer of one step
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu bench --arch vgg11 --ratio 4 --batch 8\n  vgg-wgpu bench \
    --pass infer --resize 64 --json -\n\nA FLOP is counted for each multiplication and addition of \
    convolutions and dense layers;\na training step counts forward, backward to weights, and \
    backward to data\nexcept for the first convolution."
)]
pub struct BenchArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive)]
    batch: usize,
    /// Steps to time, after a first one and one to warm up
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
    #[command(flatten)]
    adapter: AdapterArgs,
    #[command(flatten)]
    memory: MemoryArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    adapter: AdapterReport,
    config: Config,
    step_ms: Spread,
    /// From submission to completion; drivers that compile at first use do it here.
    first_step_ms: f64,
    /// From the start of the program to the network bound to its images.
    startup_ms: f64,
    images_per_s: f64,
    gflops: f64,
    memory: Memory,
    layers: Vec<LayerReport>,
}

#[derive(Debug, Serialize)]
struct Config {
    arch: String,
    ratio: usize,
    resize: usize,
    batch: usize,
    micro_batch: usize,
    pass: PassArg,
    steps: usize,
}

#[derive(Debug, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct Memory {
    planned_bytes: u64,
    /// The most that the process held in main memory; null where the system does not tell.
    peak_rss_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LayerReport {
    name: String,
    op: &'static str,
    variant: &'static str,
    ms: f64,
    /// 0 for operations whose work is not counted.
    gflops: f64,
    #[serde(skip)]
    flop: u64,
}

/// Measures and reports.
pub fn run(args: &BenchArgs) -> Result<()> {
    let start = Instant::now();
    let architecture = args.network.architecture(CHANNELS, CLASSES)?;
    let gpu = args.adapter.open()?;
    let (network, program) = prepare(args, &gpu, architecture)?;
    gpu.wait()?;
    let startup_ms = milliseconds(start);
    let bench = Bench { args, network: &network, program: &program };
    let first_step_ms = bench.step(0)?;
    bench.check()?;
    bench.step(1)?;
    let steps = (2..2 + args.steps as u32).map(|number| bench.step(number));
    let step_ms = spread(steps.collect::<Result<_>>()?);
    let (times, by_timestamps) = program.run_timed(&network, &bench.batch(0))?;
    let report = bench.report(step_ms, first_step_ms, startup_ms, layers(times));
    match args.json.as_deref() {
        None => print(&report, gpu.facts(), by_timestamps),
        Some(path) if path.as_os_str() == "-" => say_json(&report),
        Some(path) => fs::write(path, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| format!("could not write {}", path.display())),
    }
}

const CHANNELS: usize = 1;
const CLASSES: usize = 10;

/// The network with random weights, bound to a batch of random images.
fn prepare(
    args: &BenchArgs,
    gpu: &Arc<Gpu>,
    architecture: Architecture,
) -> Result<(Network, Program)> {
    let options = NetworkOptions {
        batch: args.batch,
        train: args.pass == PassArg::Train,
        ghost_batch: args.network.ghost_batch_norm,
        ..NetworkOptions::default()
    };
    let options = args.memory.apply(options, gpu.facts())?;
    let network = Network::new(Arc::clone(gpu), architecture, options)?;
    let mut random = fastrand::Rng::with_seed(args.seed);
    for (i, parameter) in network.parameters().iter().enumerate() {
        network.write_parameter(i, &weights(parameter, &mut random))?;
    }
    let size = args.network.resize();
    let shape = SourceShape { count: args.batch, height: size, width: size, channels: CHANNELS };
    let mut pixels = vec![0; args.batch * size * size * CHANNELS];
    random.fill(&mut pixels);
    let labels: Vec<u32> = (0..args.batch).map(|_| u32::from(random.u8(..CLASSES as u8))).collect();
    let pixels = Pixels::Bytes(&pixels, ResizeFilter::Bilinear);
    let source = Arc::new(ImageSource::upload(gpu, shape, pixels, &labels)?);
    let program = network.bind(args.pass.into(), source)?;
    Ok((network, program))
}

/// Values that keep the size of activations from layer to layer: uniform in ±sqrt(6 / inputs)
/// (He et al., arXiv:1502.01852). Paddings are zero.
fn weights(parameter: &Parameter, random: &mut fastrand::Rng) -> Vec<f32> {
    let layout = parameter.layout;
    let inputs = match layout {
        Layout::Filter { c, .. } => 9 * c,
        Layout::Panels { inputs, .. } => inputs,
        // The identity: scale 1, shift 0.
        Layout::Norm { c } => return norm_from_torch(&[&vec![1.0; c], &vec![0.0; c]]),
        _ => layout.len(1),
    };
    let bound = (6.0 / inputs.max(1) as f32).sqrt();
    let mut value = |i| match layout.is_padding(i) {
        true => 0.0,
        false => bound * (2.0 * random.f32() - 1.0),
    };
    (0..layout.len(1)).map(&mut value).collect()
}

struct Bench<'a> {
    args: &'a BenchArgs,
    network: &'a Network,
    program: &'a Program,
}

impl Bench<'_> {
    /// All images; nothing is learnt, so that every step does the same work.
    fn batch(&self, number: u32) -> Batch {
        let (count, seed) = (self.args.batch, self.args.seed as u32);
        Batch { count, number, seed, ..Batch::default() }
    }

    /// Runs a step to its end and returns its milliseconds.
    fn step(&self, number: u32) -> Result<f64> {
        let start = Instant::now();
        self.program.run(self.network, &self.batch(number))?;
        self.network.gpu().wait()?;
        Ok(milliseconds(start))
    }

    /// Refuses to time a step whose results cannot be right.
    fn check(&self) -> Result<()> {
        let gpu = self.network.gpu();
        let metrics: Vec<f32> = gpu.finish_read(self.network.start_metrics()?)?;
        let slot = metrics.get(..4).unwrap_or_default();
        if let [loss, _, images, _] = *slot {
            let (name, mean) = (&gpu.facts().name, loss / images);
            ensure!(
                mean.is_finite() && images == self.args.batch as f32,
                "wrong results on {name}: a loss of {mean} over {images} of {} images",
                self.args.batch
            );
        }
        let last = self.args.batch % self.network.plan().micro_batch;
        let images = if last == 0 { self.network.plan().micro_batch } else { last };
        let logits = self.program.read_logits(self.network, images)?;
        let finite = logits.iter().all(|logit| logit.is_finite());
        ensure!(finite, "wrong results on {}: logits that are no number", gpu.facts().name);
        ensure!(
            logits.iter().any(|&logit| logit != 0.0),
            "wrong results on {}: all logits are 0",
            gpu.facts().name
        );
        Ok(())
    }

    fn report(
        &self,
        step_ms: Spread,
        first_step_ms: f64,
        startup_ms: f64,
        layers: Vec<LayerReport>,
    ) -> Report {
        let Self { args, network, .. } = self;
        let plan = network.plan();
        let flop = match args.pass {
            PassArg::Train => network.architecture().training_flop(),
            PassArg::Infer => network.architecture().forward_flop(),
        };
        let images_per_s = args.batch as f64 / step_ms.median * 1e3;
        Report {
            adapter: network.gpu().facts().into(),
            config: Config {
                arch: args.network.arch().to_owned(),
                ratio: args.network.ratio(),
                resize: args.network.resize(),
                batch: args.batch,
                micro_batch: plan.micro_batch,
                pass: args.pass,
                steps: args.steps,
            },
            step_ms,
            first_step_ms,
            startup_ms,
            images_per_s,
            gflops: images_per_s * flop as f64 / 1e9,
            memory: Memory { planned_bytes: plan.bytes(), peak_rss_bytes: peak_rss_bytes() },
            layers,
        }
    }
}

/// The launches of a step, those of one layer, operation and variant added up.
fn layers(times: Vec<LaunchTime>) -> Vec<LayerReport> {
    let mut layers: Vec<LayerReport> = Vec::new();
    for LaunchTime { info, seconds, flop } in times {
        let ms = seconds * 1e3;
        let same = |layer: &&mut LayerReport| {
            layer.name == info.layer && layer.op == info.op && layer.variant == info.variant
        };
        match layers.iter_mut().find(same) {
            Some(layer) => {
                layer.ms += ms;
                layer.flop += flop;
            }
            None => layers.push(LayerReport {
                name: info.layer,
                op: info.op,
                variant: info.variant,
                ms,
                gflops: 0.0,
                flop,
            }),
        }
    }
    for layer in &mut layers {
        if layer.ms > 0.0 {
            layer.gflops = layer.flop as f64 / layer.ms / 1e6;
        }
    }
    layers
}

fn print(report: &Report, facts: &AdapterFacts, by_timestamps: bool) -> Result<()> {
    let Report { config, step_ms, memory, .. } = report;
    say(format!("adapter       {facts}"))?;
    say(format!(
        "network       {} / {}, {} px, batch {} in micro-batches of {}, {}",
        config.arch,
        config.ratio,
        config.resize,
        config.batch,
        config.micro_batch,
        if config.pass == PassArg::Train { "training" } else { "inference" },
    ))?;
    say(format!(
        "start         {:.0} ms, first step {:.0} ms",
        report.startup_ms, report.first_step_ms
    ))?;
    say(format!(
        "step          {:.1} ms (median of {}; {:.1} to {:.1})",
        step_ms.median, config.steps, step_ms.min, step_ms.max
    ))?;
    say(format!(
        "speed         {:.1} images/s, {:.1} GFLOP/s",
        report.images_per_s, report.gflops
    ))?;
    let peak = memory.peak_rss_bytes.map(|peak| format!(", process at most {}", bytes(peak)));
    say(format!(
        "memory        planned {}{}",
        bytes(memory.planned_bytes),
        peak.unwrap_or_default()
    ))?;
    let clock = if by_timestamps { "timestamps of the device" } else { "the wall clock" };
    say(format!("\none step by layer, timed by {clock}\n"))?;
    let all: f64 = report.layers.iter().map(|layer| layer.ms).sum();
    let row = |layer: &LayerReport| {
        let gflops = if layer.flop > 0 { format!("{:.1}", layer.gflops) } else { String::new() };
        vec![
            layer.name.clone(),
            layer.variant.to_owned(),
            format!("{:.2}", layer.ms),
            format!("{:.1}", 100.0 * layer.ms / all),
            gflops,
        ]
    };
    let rows: Vec<_> = report.layers.iter().map(row).collect();
    let table = columns(&["layer", "kernel", ">ms", ">%", ">GFLOP/s"], &rows);
    Ok(say(table.trim_end())?)
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn spread(mut times: Vec<f64>) -> Spread {
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
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        let spread = spread(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((spread.median, spread.min, spread.max), (2.5, 1.0, 4.0));
        assert_eq!(super::spread(vec![7.0, 5.0, 6.0]).median, 6.0);
    }
}
