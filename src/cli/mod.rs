//! The subcommands: one file each, with its flags (`…Args`) and `run`. The only place that prints.
//! It uses the library from outside, as `vgg_wgpu`.

mod adapters;
mod augment;
mod augment_args;
mod bench;
mod board;
mod common;
mod completions;
mod config;
mod eval;
mod explain;
mod export;
mod fetch;
mod gradients;
mod import;
mod infer;
mod keep;
mod lr_find;
mod man;
mod model;
mod network;
mod optimizer;
mod pictures;
mod plan;
mod predict;
mod progress;
mod raw;
mod recorded;
mod report;
mod run_config;
mod runs;
mod sets;
mod shaders;
mod start;
mod train;
mod training;
mod tune;
mod tuned;

use std::path::PathBuf;

use anyhow::Result;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
    /// TOML file with flags of the subcommand, such as `batch = 64`, or the config.toml of a run; flags
    /// that are typed win
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    // A script's flags can be overridden by those that a person adds.
    #[command(args_override_self = true)]
    Train(Box<train::TrainArgs>),
    Eval(eval::EvalArgs),
    Predict(predict::PredictArgs),
    Runs(runs::RunsArgs),
    Explain(explain::ExplainArgs),
    #[command(args_override_self = true)]
    LrFind(Box<lr_find::LrFindArgs>),
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
    Man(man::ManArgs),
}

impl Cli {
    /// Reads the command line, and the file that `--config` names. Ends the process where either is
    /// wrong.
    ///
    /// # Errors
    /// Of a file that cannot be read.
    pub fn read() -> Result<Self> {
        let mut command = Self::command();
        let arguments = config::with_file(command.clone(), std::env::args_os().collect());
        let arguments = arguments.or_else(|error| match error.downcast::<clap::Error>() {
            Ok(wrong) => wrong.exit(),
            Err(error) => Err(error),
        })?;
        let matches =
            command.try_get_matches_from_mut(arguments).unwrap_or_else(|wrong| wrong.exit());
        let mut cli = Self::from_arg_matches(&matches)
            .unwrap_or_else(|wrong| wrong.format(&mut command).exit());
        if let (Command::Train(args), Some((name, given))) =
            (&mut cli.command, matches.subcommand())
            && let Some(command) = command.find_subcommand(name)
        {
            args.flags = config::resolved(command, given);
        }
        Ok(cli)
    }

    /// Runs the subcommand.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Command::Train(args) => train::run(args),
            Command::Eval(args) => eval::run(args),
            Command::Predict(args) => predict::run(args),
            Command::Runs(args) => runs::run(args),
            Command::Explain(args) => explain::run(args),
            Command::LrFind(args) => lr_find::run(args),
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
            Command::Man(args) => man::run(args),
        }
    }
}
