use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use vgg_wgpu::train;
use vgg_wgpu::weights::{Tensor, write_safetensors};

use super::common::{AdapterArgs, MemoryArgs, say};
use super::model;
use super::raw::RawArgs;

/// Run raw tensors through a network: `input` in, `logits` out
///
/// The safetensors file given holds `input`, (N, C, H, W) of 32-bit floats, as the first convolution
/// reads it; the one written holds `logits`, (N, classes).
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu infer --weights vgg16.pth --input x.safetensors --out y.safetensors"
)]
pub struct InferArgs {
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

/// Infers.
pub fn run(args: &InferArgs) -> Result<()> {
    let input = args.raw.input()?;
    let recognised = args.raw.model(&input)?;
    let gpu = args.adapter.open()?;
    let network = model::network(&recognised.model, &gpu, &args.memory, input.images())?;
    let rows = train::logits_of(&network, input.upload(&gpu, None)?, |_| {})?;
    let classes = recognised.model.description.classes.len();
    let logits: Vec<f32> = rows.into_iter().flatten().collect();
    let tensors = [Tensor::floats("logits", &[input.images(), classes], &logits)];
    write_safetensors(&args.out, &tensors, None)?;
    Ok(say(format!("written   {}", args.out.display()))?)
}
