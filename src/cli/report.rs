use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use vgg_wgpu::data::{DataError, FetchError};
use vgg_wgpu::gpu::GpuError;
use vgg_wgpu::graph::GraphError;
use vgg_wgpu::kernel::KernelError;
use vgg_wgpu::ops::VerifyError;
use vgg_wgpu::train::TrainError;

use super::common::OutputError;
use super::keep::{INTERRUPTED, Interrupted};

/// Writes an error with its causes to the standard error, and a hint where a person can act. A
/// reader of the standard output that went away (`vgg-wgpu adapters | head -1`) is no failure.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    let closed = |output: &OutputError| output.0.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(closed) {
        return ExitCode::SUCCESS;
    }
    if error.is::<Interrupted>() {
        return ExitCode::from(INTERRUPTED);
    }
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some errors repeat their source in their own message.
        if !text.contains(&cause) {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
    }
    if let Some(hint) = error.chain().find_map(hint) {
        text.push_str(&format!("hint: {hint}\n"));
    }
    // If the standard error is closed there is nobody to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    ExitCode::FAILURE
}

/// Tells on the standard error of something that goes on without, with its causes and, unless it is
/// empty, a hint.
pub fn warn(error: impl Into<anyhow::Error>, hint: &str) {
    let error = error.into();
    let mut text = format!("warning: {error}\n");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("  caused by: {cause}\n"));
    }
    if !hint.is_empty() {
        text.push_str(&format!("hint: {hint}\n"));
    }
    // If the standard error is closed there is nobody to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Tells something on the standard error, where the standard output is for results.
pub fn note(line: &str) {
    // If the standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// What a person can do about an error, where its message does not say so.
fn hint(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(GpuError::Lost { .. }) = gpu_error(error) {
        return Some("try a smaller --micro-batch; if it happens again, update the driver");
    }
    if let Some(DataError::MissingFiles { .. }) = error.downcast_ref() {
        return Some(
            "`vgg-wgpu fetch --dir DIR` downloads Fashion-MNIST; pictures lie in a folder for each class",
        );
    }
    match error.downcast_ref() {
        Some(TrainError::Diverged { .. }) => return Some("try a lower --lr"),
        Some(TrainError::FolderTaken { .. }) => {
            return Some("--out or --name gives the run another folder");
        }
        _ => {}
    }
    match error.downcast_ref()? {
        FetchError::Exhausted { .. } => {
            Some("--mirror names another address; the program also holds images to train with")
        }
        FetchError::Exists { .. } => Some("--force replaces it"),
        FetchError::NoCacheDir => Some("--dir names a folder"),
        _ => None,
    }
}

/// The error of the device in an error of a layer above, which takes over its message.
fn gpu_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a GpuError> {
    if let Some(VerifyError::Gpu(error)) = error.downcast_ref() {
        return Some(error);
    }
    let graph = match error.downcast_ref() {
        Some(TrainError::Gpu(error)) => return Some(error),
        Some(TrainError::Graph(error)) => Some(error),
        _ => error.downcast_ref(),
    };
    let kernel = match graph {
        Some(GraphError::Gpu(error)) => return Some(error),
        Some(GraphError::Kernel(error)) => Some(error),
        _ => error.downcast_ref(),
    };
    match kernel {
        Some(KernelError::Gpu(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}
