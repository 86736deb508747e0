//! The settings of a run, as `config.toml` keeps them.

use serde::Serialize;
use vgg_wgpu::gpu::AdapterFacts;
use vgg_wgpu::graph::Chosen;
use vgg_wgpu::train::Trainer;

use super::augment_args::AugmentArgs;
use super::common::ResizeArg;
use super::network::HeadArg;
use super::sets::{FitArg, Sets};
use super::train::TrainArgs;
use super::training::LearningArgs;

/// What `config.toml` tells of a run: all that it takes to repeat it.
#[derive(Debug, Serialize)]
pub struct Config<'a> {
    version: &'static str,
    name: &'a str,
    network: NetworkConfig<'a>,
    data: DataConfig,
    learning: LearningConfig<'a>,
    #[serde(skip_serializing_if = "AugmentArgs::is_none")]
    augmentation: &'a AugmentArgs,
    adapter: AdapterConfig<'a>,
    /// What `--config` takes from this file.
    flags: &'a toml::Table,
    /// What ran where several kernels could: with these a run on the same adapter gives the same bits.
    choices: Vec<Chosen>,
}

#[derive(Debug, Serialize)]
struct NetworkConfig<'a> {
    arch: &'a str,
    ratio: usize,
    blocks: String,
    hidden: &'a [usize],
    head: HeadArg,
    #[serde(skip_serializing_if = "Option::is_none")]
    ghost_batch_norm: Option<usize>,
    dropout: f32,
    resize: usize,
    resize_filter: ResizeArg,
    parameters: u64,
}

#[derive(Debug, Serialize)]
struct LearningConfig<'a> {
    lr: f32,
    #[serde(flatten)]
    flags: &'a LearningArgs,
}

#[derive(Debug, Serialize)]
struct DataConfig {
    set: String,
    source: String,
    train_images: usize,
    test_images: usize,
    skipped: usize,
    channels: usize,
    /// Of pictures: how they became images, and the share that was set aside where no folder said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    fit: Option<FitArg>,
    #[serde(skip_serializing_if = "Option::is_none")]
    val: Option<f64>,
    shuffle: bool,
    balance: bool,
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

impl<'a> Config<'a> {
    /// The settings of `args` with what they came to.
    pub fn of(
        TrainArgs { training: args, flags, .. }: &'a TrainArgs,
        name: &'a str,
        sets: &Sets,
        trainer: &'a Trainer,
        facts: &'a AdapterFacts,
    ) -> Self {
        let network = trainer.network();
        let architecture = network.architecture();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            name,
            network: NetworkConfig {
                arch: args.network.arch(),
                ratio: args.network.ratio(),
                blocks: architecture.to_string(),
                hidden: architecture.hidden(),
                head: architecture.head().into(),
                ghost_batch_norm: args.network.ghost_batch_norm,
                dropout: architecture.dropout(),
                resize: architecture.input().height,
                resize_filter: args.resize_filter,
                parameters: architecture.parameters(),
            },
            data: DataConfig {
                set: sets.name.clone(),
                source: sets.source.clone(),
                train_images: trainer.train_images(),
                test_images: sets.test.len(),
                skipped: sets.bad.len(),
                channels: architecture.input().channels,
                fit: sets.form.map(|_| args.sets.fit),
                val: sets.form.map(|_| args.sets.val(None)),
                shuffle: !args.no_shuffle,
                balance: args.balance,
                limit: args.limit,
            },
            learning: LearningConfig { lr: args.learning.lr(), flags: &args.learning },
            augmentation: &args.augmentation,
            adapter: AdapterConfig {
                name: &facts.name,
                backend: &facts.backend,
                driver: &facts.driver,
                micro_batch: network.plan().micro_batch,
                planned_bytes: network.plan().bytes(),
                variants: trainer.variants(),
            },
            flags,
            choices: trainer.choices(),
        }
    }
}
