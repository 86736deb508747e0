//! A trained network opened for inference, for `eval`, `predict` and `explain`.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use vgg_wgpu::gpu::Gpu;
use vgg_wgpu::graph::{Network, NetworkOptions, ResizeFilter};
use vgg_wgpu::train::{self, CHECKPOINT, Feed};
use vgg_wgpu::weights::{ImportOptions, Model, Origin, Recognised, import};

use super::common::MemoryArgs;
use super::progress::bar;
use super::report::note;
use super::tuned::{from_cache, in_use};

/// Images in a batch of inference, where they fit.
const BATCH: usize = 128;

/// The model file of a path that may be a run folder; of a run without an epoch its checkpoint.
pub fn file(path: &Path) -> PathBuf {
    let [model, checkpoint] = ["model.safetensors", CHECKPOINT].map(|name| path.join(name));
    match path.is_dir() {
        true if !model.exists() && checkpoint.exists() => checkpoint,
        true => model,
        false => path.to_owned(),
    }
}

/// Reads a model of this program, or weights in any other form that `import` reads.
pub fn read(path: &Path, options: &ImportOptions) -> Result<Recognised> {
    Ok(import(&file(path), options)?)
}

/// Puts a model on a device for inference.
pub fn network(
    model: &Model,
    gpu: &Arc<Gpu>,
    memory: &MemoryArgs,
    images: usize,
) -> Result<Network> {
    let batch = images.clamp(1, BATCH);
    laid_out(model, gpu, memory, NetworkOptions { batch, train: false, ..Default::default() })
}

/// The same to be explained.
pub fn explained(
    model: &Model,
    gpu: &Arc<Gpu>,
    memory: &MemoryArgs,
    images: usize,
) -> Result<Network> {
    let (batch, train, explain) = (images.clamp(1, BATCH), false, true);
    laid_out(model, gpu, memory, NetworkOptions { batch, train, explain, ..Default::default() })
}

fn laid_out(
    model: &Model,
    gpu: &Arc<Gpu>,
    memory: &MemoryArgs,
    options: NetworkOptions,
) -> Result<Network> {
    let architecture = train::architecture_of(&model.description)?;
    let options = memory.apply(options, gpu.facts())?;
    let options = from_cache(&architecture, options, gpu.facts());
    if let Some(line) = in_use(&options) {
        note(&line);
    }
    let network = Network::new(Arc::clone(gpu), architecture, options)?;
    train::load(&network, model)?;
    Ok(network)
}

/// Names of classes in a file, one a line.
pub fn class_names(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read {} as lines of text", path.display()))?;
    Ok(text.trim_end().lines().map(|line| line.trim().to_owned()).collect())
}

/// Fails unless there is a name for each of `classes`.
pub fn check_names(names: &[String], classes: usize, path: Option<&Path>) -> Result<()> {
    let (found, path) = (names.len(), path.unwrap_or(Path::new("")).display());
    ensure!(
        found == classes,
        "{path} names {found} classes, one a line, but the model tells {classes} apart"
    );
    Ok(())
}

/// The same origin with this program as the one that wrote the file.
pub fn signed(origin: Origin) -> Origin {
    let program = concat!("vgg-wgpu ", env!("CARGO_PKG_VERSION")).to_owned();
    Origin { program, commit: option_env!("VGG_WGPU_COMMIT").map(str::to_owned), ..origin }
}

/// The logits of each image, with a bar on a terminal.
pub fn logits(network: &Network, feed: Feed<'_>, filter: ResizeFilter) -> Result<Vec<Vec<f32>>> {
    let bar = bar("{bar:30} {pos}/{len} images, {eta} left");
    bar.set_length(feed.images() as u64);
    let rows = train::logits(network, feed, filter, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    Ok(rows?)
}

/// The natural logarithms of the classes' probabilities, `x - ln(sum(exp(x)))` in f64, about the
/// largest logit: finite however far apart they are.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let from_most = logits.iter().map(|&x| f64::from(x) - f64::from(most));
    let of_sum = from_most.clone().map(f64::exp).sum::<f64>().ln();
    from_most.map(|x| x - of_sum).collect()
}

/// Classes by falling logit, the lower index first where two are equal.
pub fn ranked(row: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| in_rank(row, a, b));
    order
}

/// The place of a class in [`ranked`], from 0.
pub fn rank(row: &[f32], class: usize) -> usize {
    (0..row.len()).filter(|&other| in_rank(row, other, class) == Ordering::Less).count()
}

fn in_rank(row: &[f32], a: usize, b: usize) -> Ordering {
    // Adding 0 makes 0 of -0, which is no smaller.
    (row[b] + 0.0).total_cmp(&(row[a] + 0.0)).then(a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_logits_stay_finite() {
        let row = log_softmax(&[1e4, 1e4, -1e4]);
        assert_eq!(row[..2], [0.5_f64.ln(); 2]);
        assert!((row[2] - (-2e4 - 2.0_f64.ln())).abs() < 1e-9, "{row:?}");
    }

    #[test]
    fn equal_classes_are_ranked_by_index() {
        assert_eq!(ranked(&[-1.0, -1.0, -9.0]), [0, 1, 2]);
        assert_eq!(ranked(&[-3.0, -0.5, -2.0]), [1, 2, 0]);
        assert_eq!(ranked(&[-0.0, 0.0, 1.0]), [2, 0, 1]);
    }

    #[test]
    fn a_rank_is_the_place_among_the_ranked() {
        let row = [0.5, -1.0, 0.5, 2.0, -1.0, f32::NEG_INFINITY, -0.0, 0.0];
        for (place, class) in ranked(&row).into_iter().enumerate() {
            assert_eq!(rank(&row, class), place);
        }
    }
}
