//! The subcommands: one file each, with its flags (`…Args`) and `run`. The only place that prints.
//! It uses the library from outside, as `vgg_wgpu`.

mod adapters;
mod augment;
mod augment_args;
mod bench;
mod common;
mod completions;
mod eval;
mod export;
mod fetch;
mod gradients;
mod import;
mod infer;
mod model;
mod network;
mod plan;
mod predict;
mod progress;
mod raw;
mod report;
mod run_config;
mod sets;
mod shaders;
mod start;
mod train;
mod tune;
mod tuned;

use anyhow::Result;
use clap::{Parser, Subcommand};

pub use report::failed;

/// Trains and runs VGG networks on any GPU
///
/// Without a GPU it runs on a software adapter such as Mesa's lavapipe. `vgg-wgpu adapters` shows
/// what there is on this machine.
#[derive(Debug, Parser)]
#[command(name = "vgg-wgpu", version, max_term_width = 100)]
#[command(after_help = "Example:\n  vgg-wgpu plan --arch vgg16 --resize 224 --batch 8")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // A script's flags can be overridden by those that a person adds.
    #[command(args_override_self = true)]
    Train(Box<train::TrainArgs>),
    Eval(eval::EvalArgs),
    Predict(predict::PredictArgs),
    Augment(augment::AugmentPreviewArgs),
    Plan(plan::PlanArgs),
    Adapters(adapters::AdaptersArgs),
    Bench(bench::BenchArgs),
    Tune(tune::TuneArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Infer(infer::InferArgs),
    Gradients(gradients::GradientsArgs),
    Fetch(fetch::FetchArgs),
    Shaders(shaders::ShadersArgs),
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// Runs the subcommand.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Command::Train(args) => train::run(args),
            Command::Eval(args) => eval::run(args),
            Command::Predict(args) => predict::run(args),
            Command::Augment(args) => augment::run(args),
            Command::Plan(args) => plan::run(args),
            Command::Adapters(args) => adapters::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Tune(args) => tune::run(args),
            Command::Import(args) => import::run(args),
            Command::Export(args) => export::run(args),
            Command::Infer(args) => infer::run(args),
            Command::Gradients(args) => gradients::run(args),
            Command::Fetch(args) => fetch::run(args),
            Command::Shaders(args) => shaders::run(args),
            Command::Completions(args) => completions::run(args),
        }
    }
}
