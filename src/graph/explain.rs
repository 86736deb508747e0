//! From one logit of each image back to the last pooled map, by the kernels that training goes back by:
//! what Grad-CAM is made of.

use super::lower::Lowering;
use super::source::Reads;
use super::{GraphError, Layer, Network, Program};
use crate::gpu::BufferRange;
use crate::ops::{FillOnes, OneHot};
use crate::shape::{FeatureMap, Layout};

/// The last pooled map of a graph and the gradient of a logit by it.
#[derive(Debug, Clone, Copy)]
pub struct Tensors {
    /// Shape of both, without halo.
    pub map: FeatureMap,
    /// The map's tensor.
    pub features: usize,
    /// The gradient's tensor.
    pub gradient: usize,
}

/// Where they are on the device.
#[derive(Debug)]
pub(super) struct Kept {
    pub map: FeatureMap,
    pub features: BufferRange,
    pub gradient: BufferRange,
}

/// The last pooled map of some images, and the gradient by it of the logit of each image's label.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// Shape of both for one image, without halo.
    pub map: FeatureMap,
    /// The map, `(images, height, width, padded channels)`.
    pub features: Vec<f32>,
    /// The gradient, laid out like the map.
    pub gradient: Vec<f32>,
}

impl Lowering<'_> {
    /// What goes back from the logit of each image's label.
    pub(super) fn one_hot(&mut self, classes: usize, source: Reads<'_>) -> usize {
        let (samples, labels) = (source.shape.count, source.shape.count);
        let (order, known) = (self.order(samples), self.labels(labels));
        let dlogits = self.arena("logit", "gradient", Layout::Rows(classes));
        self.node("logit", OneHot { classes, samples, labels }, &[order, known, dlogits]);
        dlogits
    }

    /// Appends the way from the gradient of the logits to that of the last pooled map.
    ///
    /// Training wants the gradient before the ReLU that this map comes from, so its kernels zero it where
    /// the map is zero. Here it is the map's own: there is no ReLU between it and the logits.
    pub(super) fn explain(&mut self, mut gradient: usize) -> Tensors {
        let layers = self.layers;
        let is_pool = |(_, layer): &(String, Layer)| matches!(layer, Layer::MaxPool { .. });
        let head = layers.iter().rposition(is_pool).map_or(0, |last| last + 1);
        let mut map = self.setting.network.input();
        for (i, (name, layer)) in layers.iter().enumerate().skip(head).rev() {
            match *layer {
                Layer::Dense { inputs, outputs, flattened, .. } => {
                    let x = match flattened {
                        Some(flat) => self.ones(name, flat),
                        None => self.saved[i].input,
                    };
                    map = flattened.unwrap_or(map);
                    gradient = self.dense_data(i, (gradient, x), inputs, outputs);
                }
                Layer::AvgPool { input, output } => {
                    let x = self.ones(name, input);
                    map = input;
                    gradient = self.average_data(name, (gradient, x), input, output);
                }
                // Without dropout in this pass; the others come before the last pooling.
                _ => {}
            }
        }
        Tensors { map, features: self.saved[head].input, gradient }
    }

    /// A mask that lets every gradient through.
    fn ones(&mut self, layer: &str, map: FeatureMap) -> usize {
        let ones = self.arena(layer, "mask", Layout::Map(map));
        self.node(layer, FillOnes { map }, &[ones]);
        ones
    }
}

impl Program {
    /// What a batch of [`Pass::Explain`](super::Pass::Explain) left of the last micro-batch run, which
    /// had `images` images.
    ///
    /// # Errors
    /// [`GraphError::NotForExplaining`] of another pass, [`GraphError::Gpu`] if the device fails.
    pub fn read_explained(
        &self,
        network: &Network,
        images: usize,
    ) -> Result<Explained, GraphError> {
        let Some(Kept { map, features, gradient }) = &self.explained else {
            return Err(GraphError::NotForExplaining);
        };
        let read = |range: &BufferRange| -> Result<Vec<f32>, GraphError> {
            let mut values: Vec<f32> = network.gpu().read(range)?;
            values.truncate(images * map.len());
            Ok(values)
        };
        Ok(Explained { map: *map, features: read(features)?, gradient: read(gradient)? })
    }
}
