//! The layers that an architecture unfolds to.

use crate::shape::{FeatureMap, TAPS};

/// A layer with the shapes it maps between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layer {
    /// 3x3 convolution with bias.
    Conv {
        /// What it reads.
        input: FeatureMap,
        /// What it gives.
        output: FeatureMap,
        /// True if a ReLU follows; false where batch normalisation does, which has its own.
        relu: bool,
    },
    /// Batch normalisation with ReLU.
    BatchNorm {
        /// What it reads and gives.
        map: FeatureMap,
    },
    /// 2x2 max pooling.
    MaxPool {
        /// What it reads.
        input: FeatureMap,
        /// What it gives.
        output: FeatureMap,
    },
    /// Adaptive average pooling.
    AvgPool {
        /// What it reads.
        input: FeatureMap,
        /// What it gives.
        output: FeatureMap,
    },
    /// Dense layer, with ReLU unless it is the last.
    Dense {
        /// Stored inputs, a multiple of four: for the first one `h * w * padded(c)`.
        inputs: usize,
        /// Inputs that carry values.
        features: usize,
        /// The map that is flattened into the inputs, for the first one.
        flattened: Option<FeatureMap>,
        /// Outputs.
        outputs: usize,
        /// True for all but the last.
        relu: bool,
    },
    /// Dropout, only in training.
    Dropout {
        /// Values of an image.
        columns: usize,
        /// Number of the dropout layer, from 0: it makes masks differ between layers.
        index: u32,
    },
}

impl Layer {
    /// Trained values, biases included, paddings not.
    pub fn parameters(&self) -> u64 {
        match *self {
            Layer::Conv { input, output, .. } => {
                ((TAPS * input.channels + 1) * output.channels) as u64
            }
            Layer::Dense { features, outputs, .. } => ((features + 1) * outputs) as u64,
            Layer::BatchNorm { map } => 2 * map.channels as u64,
            Layer::MaxPool { .. } | Layer::AvgPool { .. } | Layer::Dropout { .. } => 0,
        }
    }

    /// Floating-point operations of the forward pass for one image.
    pub fn flop(&self) -> u64 {
        match *self {
            Layer::Conv { input, output, .. } => {
                (2 * TAPS * input.channels * output.channels * output.height * output.width) as u64
            }
            Layer::Dense { features, outputs, .. } => (2 * features * outputs) as u64,
            _ => 0,
        }
    }
}
