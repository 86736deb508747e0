//! Where a network looks: Grad-CAM of Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks
//! via Gradient-based Localization", arXiv:1610.02391, section 3.
//!
//! The map explained is that of the last pooling, what `features[-1]` is in torchvision's VGG.

use std::sync::Arc;

use super::TrainError;
use super::heat::HeatMap;
use crate::graph::{Batch, Explained, GraphError, ImageSource, Network, Pass, Program};
use crate::shape::FeatureMap;

/// What speaks for a class in an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The logits, one a class.
    pub logits: Vec<f32>,
    /// The class explained.
    pub class: usize,
    /// For each channel of the last pooled map the mean over its pixels of the gradient of the class's
    /// logit: `alpha` in equation 1 of the paper.
    pub weights: Vec<f32>,
    /// `ReLU(sum_k alpha_k A_k)` over the channels `A_k` of that map: equation 2.
    pub heat: HeatMap,
}

/// Explains images by a network, for `class` or, without one, for the likeliest class of each. The
/// labels of the set become the classes that are explained.
///
/// The network is made with [`NetworkOptions::explain`](crate::graph::NetworkOptions::explain), for
/// inference or for training; it runs without dropout, and batch normalisations by their running
/// statistics.
///
/// # Errors
/// [`TrainError::Graph`] if the class or the images are none of the network, it was not made to be
/// explained, or the device fails.
pub fn explain(
    network: &Network,
    source: Arc<ImageSource>,
    class: Option<usize>,
) -> Result<Vec<Explanation>, TrainError> {
    let (gpu, classes) = (network.gpu(), network.architecture().classes());
    let count = source.count();
    if let Some(class) = class.filter(|&class| class >= classes) {
        return Err(GraphError::Label { image: 0, label: class as u32, classes }.into());
    }
    let program = network.bind(Pass::Explain, Arc::clone(&source))?;
    let labels = match class {
        Some(class) => vec![class as u32; count],
        // Only with the logits it is known what to go back from.
        None => {
            let mut labels = Vec::with_capacity(count);
            each_batch(network, &program, |_, logits| {
                labels.extend(logits.chunks_exact(classes).map(|row| likeliest(row) as u32));
                Ok(())
            })?;
            labels
        }
    };
    source.label(gpu, &labels, &[])?;
    let mut explanations = Vec::with_capacity(count);
    each_batch(network, &program, |images, logits| {
        let explained = program.read_explained(network, images)?;
        for (i, row) in logits.chunks_exact(classes).enumerate() {
            let (weights, heat) = grad_cam(&explained, i);
            let (logits, class) = (row.to_vec(), labels[explanations.len()] as usize);
            explanations.push(Explanation { logits, class, weights, heat });
        }
        Ok(())
    })?;
    Ok(explanations)
}

/// Runs all images of a program, a micro-batch at a time, and tells of each its images and logits.
fn each_batch(
    network: &Network,
    program: &Program,
    mut done: impl FnMut(usize, &[f32]) -> Result<(), GraphError>,
) -> Result<(), GraphError> {
    let (most, all) = (network.plan().micro_batch, program.source().count());
    for first in (0..all).step_by(most) {
        let count = most.min(all - first);
        program.run(network, &Batch { first, count, ..Batch::default() })?;
        done(count, &program.read_logits(network, count)?)?;
    }
    Ok(())
}

/// The first of the largest logits.
fn likeliest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
}

/// Weights of the channels and heat map of image `n`.
fn grad_cam(explained: &Explained, n: usize) -> (Vec<f32>, HeatMap) {
    let Explained { map, features, gradient } = explained;
    let FeatureMap { height, width, channels, .. } = *map;
    let pixels = || (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)));
    let area = (height * width) as f64;
    let mean = |c| -> f64 {
        let at = |(y, x)| f64::from(gradient[map.index(n, y, x, c)]);
        pixels().map(at).sum::<f64>() / area
    };
    let weights: Vec<f64> = (0..channels).map(mean).collect();
    let heat = |(y, x)| {
        let of = |(c, weight): (usize, &f64)| weight * f64::from(features[map.index(n, y, x, c)]);
        weights.iter().enumerate().map(of).sum::<f64>().max(0.0) as f32
    };
    let values = pixels().map(heat).collect();
    let weights = weights.iter().map(|&weight| weight as f32).collect();
    (weights, HeatMap { height, width, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_count_by_their_mean_gradient_and_what_speaks_against_is_zero() {
        let map = FeatureMap::new(1, 2, 3);
        // Two images of two pixels of three channels, stored as four.
        let features = vec![
            1.0, 2.0, 0.0, 0.0, 3.0, 0.0, 4.0, 0.0, //
            0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0,
        ];
        let gradient = vec![
            2.0, -1.0, 0.0, 0.0, 0.0, -2.0, -1.0, 0.0, //
            0.0, 4.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0,
        ];
        let explained = Explained { map, features, gradient };
        let (weights, heat) = grad_cam(&explained, 0);
        assert_eq!(weights, [1.0, -1.5, -0.5]);
        // 1 - 3 is against, 3 - 2 is for the class.
        assert_eq!(heat, HeatMap { height: 1, width: 2, values: vec![0.0, 1.0] });
        let (weights, heat) = grad_cam(&explained, 1);
        assert_eq!(weights, [0.0, 2.0, 1.0]);
        assert_eq!(heat.values, [2.0, 1.0]);
    }

    #[test]
    fn the_first_of_the_largest_is_the_likeliest() {
        assert_eq!(likeliest(&[1.0, 3.0, 3.0, -1.0]), 1);
        assert_eq!(likeliest(&[0.0]), 0);
    }
}
