use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use vgg_wgpu::weights::{
    ImportOptions, Model, Naming, export_tensors, write_onnx, write_pth, write_safetensors,
};

use super::common::say;
use super::model;

/// Write a model for other programs: PyTorch, ONNX
///
/// torchvision and d2l name the tensors so that load_state_dict(strict=True) takes them, in a .pth
/// file, or in a safetensors file if the name of the file ends so. pth is the same as torchvision.
/// onnx takes a batch of any size as `input`, normalised, and gives `logits`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vgg-wgpu export runs/vgg11-1 --format onnx --out vgg11.onnx")]
pub struct ExportArgs {
    /// Run folder, model.safetensors, or any file that `import` reads
    #[arg(value_name = "RUN|FILE")]
    model: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    format: Format,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// State dict with torchvision's names
    Torchvision,
    /// State dict with the names of the notebook of "Dive into Deep Learning"
    D2l,
    /// Model file of this program, with its card
    Safetensors,
    /// State dict with torchvision's names, as a .pth file whatever it is called
    Pth,
    /// ONNX of opset 17
    Onnx,
}

/// Exports.
pub fn run(args: &ExportArgs) -> Result<()> {
    let read = model::read(&args.model, &ImportOptions::default())?;
    let model = &read.model;
    match args.format {
        Format::Torchvision => state_dict(model, Naming::Torchvision, &args.out)?,
        Format::D2l => state_dict(model, Naming::D2l, &args.out)?,
        Format::Safetensors => model.save(&args.out)?,
        Format::Pth => write_pth(&args.out, &export_tensors(model, Naming::Torchvision)?)?,
        Format::Onnx => write_onnx(model, &args.out)?,
    }
    Ok(say(format!("written   {}", args.out.display()))?)
}

fn state_dict(model: &Model, naming: Naming, out: &Path) -> Result<()> {
    let tensors = export_tensors(model, naming)?;
    match out.extension().is_some_and(|extension| extension == "safetensors") {
        true => write_safetensors(out, &tensors, None)?,
        false => write_pth(out, &tensors)?,
    }
    Ok(())
}
