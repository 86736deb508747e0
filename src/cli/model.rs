//! A trained network opened for inference, for `eval` and `predict`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use vgg_wgpu::data::Split;
use vgg_wgpu::gpu::Gpu;
use vgg_wgpu::graph::{Network, NetworkOptions};
use vgg_wgpu::train;
use vgg_wgpu::weights::{Description, Model};

use super::common::MemoryArgs;

/// Images in a batch of inference, where they fit.
const BATCH: usize = 128;

/// The model file of a path that may be a run folder.
pub fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() }
}

/// Reads a model and puts it on a device.
pub fn open(
    path: &Path,
    gpu: &Arc<Gpu>,
    memory: &MemoryArgs,
    images: usize,
) -> Result<(Network, Description)> {
    let model = Model::load(&file(path))?;
    let architecture = train::architecture_of(&model.description)?;
    let options =
        NetworkOptions { batch: images.clamp(1, BATCH), train: false, ..Default::default() };
    let options = memory.apply(options, gpu.facts())?;
    let network = Network::new(Arc::clone(gpu), architecture, options)?;
    train::load(&network, &model)?;
    Ok((network, model.description))
}

/// The probabilities of the classes for each image, with a bar on a terminal.
pub fn probabilities(network: &Network, split: &Split) -> Result<Vec<Vec<f64>>> {
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(split.len() as u64),
        false => ProgressBar::hidden(),
    };
    // The template is fixed; were it wrong, the plain bar would do.
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} images, {eta} left");
    let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let rows = train::logits(network, split, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    Ok(rows?.iter().map(|row| softmax(row)).collect())
}

/// `exp(x - max) / sum`, in f64.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&x| f64::from(x - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Classes by falling probability, the lower index first where two are equal.
pub fn ranked(probabilities: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_large_logits_add_up() {
        let row = softmax(&[1e4, 1e4, -1e4]);
        assert_eq!(row, [0.5, 0.5, 0.0]);
        assert_eq!(ranked(&row), [0, 1, 2]);
        assert_eq!(ranked(&[0.1, 0.7, 0.2]), [1, 2, 0]);
    }
}
