use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use vgg_wgpu::graph::{Network, NetworkOptions};
use vgg_wgpu::train;
use vgg_wgpu::weights::{Tensor, write_safetensors};

use super::common::{AdapterArgs, MemoryArgs, say};
use super::raw::RawArgs;

/// Compute the loss of raw tensors and its gradient by every parameter
///
/// The safetensors file given holds `input`, (N, C, H, W) of 32-bit floats, and `target`, (N) of
/// integers; the one written holds `loss`, their mean cross-entropy without dropout, and gradients
/// under torchvision's names, in its shapes. Batch normalisations take the statistics of the batch.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu gradients --weights vgg11.pth --input x.safetensors --out \
    g.safetensors"
)]
pub struct GradientsArgs {
    #[command(flatten)]
    raw: RawArgs,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    adapter: AdapterArgs,
    #[command(flatten)]
    memory: MemoryArgs,
}

/// Computes gradients.
pub fn run(args: &GradientsArgs) -> Result<()> {
    let input = args.raw.input()?;
    let targets = args.raw.targets(input.images())?;
    let recognised = args.raw.model(&input)?;
    let gpu = args.adapter.open()?;
    let architecture = train::architecture_of(&recognised.model.description)?.with_dropout(0.0);
    let options = NetworkOptions { batch: input.images(), ..NetworkOptions::default() };
    let options = args.memory.apply(options, gpu.facts())?;
    let network = Network::new(gpu.clone(), architecture, options)?;
    train::load(&network, &recognised.model)?;
    let source = input.upload(&gpu, Some(&targets))?;
    let (loss, mut tensors) = train::gradients(&network, source).context("no gradients")?;
    let loss = [loss];
    tensors.insert(0, Tensor::floats("loss", &[], &loss));
    write_safetensors(&args.out, &tensors, None)?;
    say(format!("loss      {}", loss[0]))?;
    Ok(say(format!("written   {}", args.out.display()))?)
}
