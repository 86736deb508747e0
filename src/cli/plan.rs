use anyhow::Result;
use clap::Args;
use serde::Serialize;
use vgg_wgpu::gpu::AdapterFacts;
use vgg_wgpu::graph::{self, Architecture, Layer, MemoryPlan};

use super::common::{AdapterReport, bytes, columns, count, say, say_json};
use super::network::{PassArg, WorkArgs};
use super::tuned::{from_cache, in_use};

/// Show a network's layers, work and memory on an adapter, without running it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vgg-wgpu plan --arch vgg16 --resize 224 --batch 8")]
pub struct PlanArgs {
    #[command(flatten)]
    work: WorkArgs,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    adapter: AdapterReport,
    arch: String,
    batch: usize,
    pass: PassArg,
    layers: Vec<LayerReport>,
    parameters: u64,
    forward_flop: u64,
    training_flop: u64,
    memory: Memory,
    limits: Limits,
}

#[derive(Debug, Serialize)]
struct LayerReport {
    name: String,
    /// Height, width and channels, or the number of outputs alone.
    output: Vec<usize>,
    parameters: u64,
    flop: u64,
}

#[derive(Debug, Serialize)]
struct Memory {
    micro_batch: usize,
    parameters_bytes: u64,
    gradients_bytes: u64,
    moments_bytes: u64,
    clip_bytes: u64,
    statistics_bytes: u64,
    arena_bytes: u64,
    arena_unshared_bytes: u64,
    metrics_bytes: u64,
    total_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Limits {
    binding_bytes: u64,
    buffer_bytes: u64,
}

/// Prints the plan.
pub fn run(args: &PlanArgs) -> Result<()> {
    let architecture = args.work.architecture()?;
    let gpu = args.work.adapter.open()?;
    let options = args.work.options(gpu.facts())?;
    let options = from_cache(&architecture, options, gpu.facts());
    let plan = graph::plan(&architecture, &options, gpu.facts())?;
    let report = Report::of(args, &architecture, &plan, gpu.facts());
    if args.json {
        return say_json(&report);
    }
    say(report.layer_table())?;
    say(report.memory_table(gpu.facts()))?;
    match in_use(&options) {
        Some(line) => Ok(say(format!("with {line}"))?),
        None => Ok(()),
    }
}

impl Report {
    fn of(
        args: &PlanArgs,
        architecture: &Architecture,
        plan: &MemoryPlan,
        facts: &AdapterFacts,
    ) -> Self {
        let layers = architecture.layers().into_iter().map(|(name, layer)| LayerReport {
            name,
            output: output(&layer),
            parameters: layer.parameters(),
            flop: layer.flop(),
        });
        Self {
            adapter: facts.into(),
            arch: architecture.to_string(),
            batch: args.work.batch,
            pass: args.work.pass,
            layers: layers.collect(),
            parameters: architecture.parameters(),
            forward_flop: architecture.forward_flop(),
            training_flop: architecture.training_flop(),
            memory: Memory {
                micro_batch: plan.micro_batch,
                parameters_bytes: plan.parameters,
                gradients_bytes: plan.gradients,
                moments_bytes: plan.moments,
                clip_bytes: plan.clip,
                statistics_bytes: plan.statistics,
                arena_bytes: plan.arena,
                arena_unshared_bytes: plan.arena_unshared,
                metrics_bytes: plan.metrics,
                total_bytes: plan.bytes(),
            },
            limits: Limits { binding_bytes: facts.max_binding, buffer_bytes: facts.max_buffer },
        }
    }

    fn layer_table(&self) -> String {
        let mega = |flop: u64| format!("{:.2}", flop as f64 / 1e6);
        let mut rows: Vec<Vec<String>> = Vec::new();
        for layer in &self.layers {
            let sizes: Vec<String> = layer.output.iter().map(usize::to_string).collect();
            let (parameters, flop) = (count(layer.parameters), mega(layer.flop));
            rows.push(vec![layer.name.clone(), sizes.join("x"), parameters, flop]);
        }
        let (parameters, flop) = (count(self.parameters), mega(self.forward_flop));
        rows.push(vec!["all".to_owned(), String::new(), parameters, flop]);
        let titles = ["layer", "output HxWxC", ">parameters", ">MFLOP forward"];
        format!(
            "{}\nan image: {:.4} GFLOP forward, {:.4} GFLOP for a training step",
            columns(&titles, &rows),
            self.forward_flop as f64 / 1e9,
            self.training_flop as f64 / 1e9,
        )
    }

    fn memory_table(&self, facts: &AdapterFacts) -> String {
        let Self { memory, batch, .. } = self;
        let row = |what: &str, size: u64, note: String| vec![what.to_owned(), bytes(size), note];
        let unshared = format!("{} if nothing shared memory", bytes(memory.arena_unshared_bytes));
        let rows = [
            row("parameters", memory.parameters_bytes, String::new()),
            row("gradients", memory.gradients_bytes, String::new()),
            row("moments", memory.moments_bytes, String::new()),
            row("clip", memory.clip_bytes, String::new()),
            row("statistics", memory.statistics_bytes, String::new()),
            row("arena", memory.arena_bytes, unshared),
            row("metrics", memory.metrics_bytes, String::new()),
            row("all", memory.total_bytes, String::new()),
        ];
        let micro_batches = batch.div_ceil(memory.micro_batch);
        format!(
            "\nmemory on {facts}\nbatch of {batch} in {micro_batches} micro-batch{} of {}\n\n{}\n\
             limits of the adapter: a binding {}, a buffer {}",
            if micro_batches == 1 { "" } else { "es" },
            memory.micro_batch,
            columns(&["memory", ">size", ""], &rows),
            bytes(facts.max_binding),
            bytes(facts.max_buffer),
        )
    }
}

fn output(layer: &Layer) -> Vec<usize> {
    match *layer {
        Layer::Conv { output, .. }
        | Layer::MaxPool { output, .. }
        | Layer::AvgPool { output, .. }
        | Layer::BatchNorm { map: output } => vec![output.height, output.width, output.channels],
        Layer::Dense { outputs, .. } => vec![outputs],
        Layer::Dropout { columns, .. } => vec![columns],
    }
}
