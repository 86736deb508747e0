use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use vgg_wgpu::data::{Dataset, Split};
use vgg_wgpu::gpu::AdapterFacts;
use vgg_wgpu::graph::{Network, NetworkOptions};
use vgg_wgpu::train::diagnosis::diagnose;
use vgg_wgpu::train::{self, Card, FitOptions, Init, RunFolder, Trainer};

use super::common::{
    AdapterArgs, DataArgs, MemoryArgs, NetworkArgs, ResizeArg, bytes, count, positive, say,
};
use super::progress::Display;

/// Train a network; the defaults are those of "Dive into Deep Learning" 7.2
///
/// Writes config.toml, history.csv, curves.svg, curves.png and model.safetensors to the run folder,
/// up to date after each epoch.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu train --arch vgg11 --ratio 4 --resize 32 --batch 64 --epochs 4 \
    --init kaiming --lr 0.02 --momentum 0.9"
)]
pub struct TrainArgs {
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Train with the first N images, after a shuffle by the seed unless --no-shuffle [default: all]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Data")]
    limit: Option<usize>,
    /// Take the images in the order of the files, the same in each epoch
    #[arg(long, help_heading = "Data")]
    no_shuffle: bool,
    /// How images are resized
    #[arg(long, value_enum, default_value_t = ResizeArg::Bilinear, help_heading = "Data")]
    resize_filter: ResizeArg,
    #[command(flatten)]
    learning: LearningArgs,
    #[command(flatten)]
    adapter: AdapterArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    /// Run folder [default: runs/NAME]
    #[arg(long, value_name = "DIR", help_heading = "Results")]
    out: Option<PathBuf>,
    /// Name of the run, for its folder and its curves [default: the architecture and a number]
    #[arg(long, value_name = "NAME", help_heading = "Results", value_parser = name)]
    name: Option<String>,
}

// How it learns.
#[derive(Debug, Clone, Args, Serialize)]
#[command(next_help_heading = "Learning")]
struct LearningArgs {
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = positive)]
    batch: usize,
    /// Learning rate of SGD
    #[arg(long, value_name = "RATE", default_value_t = 0.05, value_parser = rate)]
    lr: f32,
    /// Momentum of SGD; 0 for none
    #[arg(long, value_name = "FACTOR", default_value_t = 0.0, value_parser = momentum)]
    momentum: f32,
    /// How weights are drawn
    #[arg(long, value_enum, default_value_t = InitArg::Xavier)]
    init: InitArg,
    /// Seed of weights, order of images and dropout masks
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum InitArg {
    /// Xavier uniform, as in the book
    Xavier,
    /// Kaiming uniform, for ReLU: deep or small networks leave the plateau sooner
    Kaiming,
}

impl From<InitArg> for Init {
    fn from(init: InitArg) -> Self {
        match init {
            InitArg::Xavier => Self::Xavier,
            InitArg::Kaiming => Self::Kaiming,
        }
    }
}

/// What `config.toml` tells of a run: all that it takes to repeat it.
#[derive(Debug, Serialize)]
struct Config<'a> {
    version: &'static str,
    name: &'a str,
    network: NetworkConfig<'a>,
    data: DataConfig,
    learning: &'a LearningArgs,
    adapter: AdapterConfig<'a>,
}

#[derive(Debug, Serialize)]
struct NetworkConfig<'a> {
    arch: &'a str,
    ratio: usize,
    blocks: String,
    hidden: &'a [usize],
    dropout: f32,
    resize: usize,
    resize_filter: ResizeArg,
    parameters: u64,
}

#[derive(Debug, Serialize)]
struct DataConfig {
    set: String,
    source: String,
    train_images: usize,
    test_images: usize,
    shuffle: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
struct AdapterConfig<'a> {
    name: &'a str,
    backend: &'a str,
    driver: &'a str,
    micro_batch: usize,
    planned_bytes: u64,
    /// The kernel variants that ran; which one it is decides over the last bits of a result.
    variants: Vec<&'static str>,
}

/// Trains.
pub fn run(args: &TrainArgs) -> Result<()> {
    let dataset = args.data.open()?;
    let architecture =
        args.network.architecture(dataset.train.images.channels, dataset.classes.len())?;
    let images = args.images(&dataset);
    let (name, path) = args.place()?;
    let gpu = args.adapter.open()?;
    say(format!("adapter   {}", gpu.facts()))?;
    say(format!("data      {dataset}"))?;
    if images.len() < dataset.train.len() {
        say(format!("          {} of the train images are used", count(images.len() as u64)))?;
    }
    let learning = &args.learning;
    let batch = learning.batch.min(images.len());
    let options =
        NetworkOptions { batch, momentum: learning.momentum > 0.0, ..NetworkOptions::default() };
    let options = args.memory.apply(options, gpu.facts())?;
    let network = Network::new(Arc::clone(&gpu), architecture, options)?;
    say(network_line(&network, args, batch))?;
    train::initialise(&network, learning.init.into(), learning.seed)?;
    let filter = args.resize_filter.into();
    let mut trainer = Trainer::with_filter(network, &images, &dataset.test, filter)?;

    let config = toml::to_string(&args.config(&name, &dataset, &trainer, gpu.facts()))?;
    let folder = RunFolder::create(&path, &config, &name, Card::of(&dataset.classes))?;
    say(format!("run       {}\n", path.display()))?;
    let mut display = Display::new(folder, None, learning.epochs)?;
    let fit = FitOptions {
        epochs: learning.epochs,
        batch: learning.batch,
        learning_rate: learning.lr,
        momentum: learning.momentum,
        weight_decay: 0.0,
        seed: learning.seed,
        shuffle: !args.no_shuffle,
    };
    let outcome = trainer.fit(&fit, &mut display);
    display.finish()?;
    let history = outcome.with_context(|| kept(&path))?;
    if let Some(diagnosis) = diagnose(&history, dataset.classes.len()) {
        say(format!("\n{diagnosis}"))?;
    }
    say(format!("\nmodel     {}", path.join("model.safetensors").display()))?;
    say(format!("history   {}", path.join("history.csv").display()))?;
    say(format!("curves    {}", path.join("curves.png").display()))?;
    Ok(())
}

impl TrainArgs {
    fn images(&self, dataset: &Dataset) -> Split {
        match self.limit {
            Some(limit) if self.no_shuffle => dataset.train.clone().take(limit),
            Some(limit) => dataset.train.shuffled_subset(limit, self.learning.seed),
            None => dataset.train.clone(),
        }
    }

    /// The run's name and folder.
    fn place(&self) -> Result<(String, PathBuf)> {
        let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let named = self.name.clone().or_else(|| self.out.as_deref().and_then(last));
        let name = match named {
            Some(name) => name,
            None => self.free_name()?,
        };
        let path = self.out.clone().unwrap_or_else(|| Path::new("runs").join(&name));
        Ok((name, path))
    }

    /// `vgg11-1`, or the first number that no folder under `runs` has.
    fn free_name(&self) -> Result<String> {
        let stem = if self.network.arch.contains(',') { "vgg" } else { &self.network.arch };
        let taken = |name: &String| Path::new("runs").join(name).exists();
        let mut names = (1..10_000).map(|number| format!("{stem}-{number}"));
        names.find(|name| !taken(name)).context("runs/ is full; --name gives the run a name")
    }

    fn config<'a>(
        &'a self,
        name: &'a str,
        dataset: &Dataset,
        trainer: &'a Trainer,
        facts: &'a AdapterFacts,
    ) -> Config<'a> {
        let network = trainer.network();
        let architecture = network.architecture();
        Config {
            version: env!("CARGO_PKG_VERSION"),
            name,
            network: NetworkConfig {
                arch: &self.network.arch,
                ratio: self.network.ratio,
                blocks: architecture.to_string(),
                hidden: architecture.hidden(),
                dropout: architecture.dropout(),
                resize: self.network.resize,
                resize_filter: self.resize_filter,
                parameters: architecture.parameters(),
            },
            data: DataConfig {
                set: dataset.name.clone(),
                source: dataset.source.to_string(),
                train_images: trainer.train_images(),
                test_images: dataset.test.len(),
                shuffle: !self.no_shuffle,
                limit: self.limit,
            },
            learning: &self.learning,
            adapter: AdapterConfig {
                name: &facts.name,
                backend: &facts.backend,
                driver: &facts.driver,
                micro_batch: network.plan().micro_batch,
                planned_bytes: network.plan().bytes(),
                variants: trainer.variants(),
            },
        }
    }
}

fn network_line(network: &Network, args: &TrainArgs, batch: usize) -> String {
    let plan = network.plan();
    let cut = match plan.micro_batch {
        all if all >= batch => String::new(),
        part => format!(" in micro-batches of {part}"),
    };
    format!(
        "network   {} at {} px: {} parameters, {}; batches of {batch}{cut}",
        network.architecture(),
        args.network.resize,
        count(network.architecture().parameters()),
        bytes(plan.bytes()),
    )
}

/// What is left of a run that failed.
fn kept(path: &Path) -> String {
    match fs::exists(path.join("model.safetensors")) {
        Ok(true) => format!("the run stopped; {} keeps the epochs before", path.display()),
        _ => "the run stopped in its first epoch".to_owned(),
    }
}

/// A name that is one part of a path.
fn name(text: &str) -> Result<String> {
    let path = Path::new(text);
    let plain = path.file_name().is_some_and(|name| name == text);
    ensure!(plain, "a name is no path; --out takes one");
    Ok(text.to_owned())
}

fn rate(text: &str) -> Result<f32> {
    let rate: f32 = text.parse().context("expected a number")?;
    ensure!(rate.is_finite() && rate >= 0.0, "expected a number of at least 0");
    Ok(rate)
}

fn momentum(text: &str) -> Result<f32> {
    let momentum = rate(text)?;
    ensure!(momentum < 1.0, "expected a number in [0, 1)");
    Ok(momentum)
}
