//! A trained network in a file: safetensors (github.com/huggingface/safetensors) with the tensors
//! that torchvision's VGG of the same table would have, and a description in the metadata.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View, serialize};
use serde::{Deserialize, Serialize};

use super::{WeightsError, torch_names, write_beside};

/// The one key of the metadata. Its value is JSON: with one key a file's bytes do not depend on the
/// order of a hash map.
const KEY: &str = "vgg_wgpu";

/// Which network a model file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Convolutions and output channels of each block, channels as divided.
    pub blocks: Vec<[usize; 2]>,
    /// Widths of the hidden dense layers.
    pub hidden: Vec<usize>,
    /// Share dropped in training.
    pub dropout: f32,
    /// Channels, rows and columns of the input.
    pub input: [usize; 3],
    /// The name of each class.
    pub classes: Vec<String>,
}

impl Description {
    /// Names of the convolutions, then of the dense layers.
    pub fn layer_names(&self) -> Vec<String> {
        let convolutions: Vec<usize> = self.blocks.iter().map(|block| block[0]).collect();
        torch_names(&convolutions, self.hidden.len() + 1)
    }
}

/// A layer's weights as PyTorch keeps them.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeights {
    /// The layer's name, as [`super::torch_names`] gives it.
    pub name: String,
    /// `(k, c, 3, 3)` of a convolution, `(outputs, features)` of a dense layer.
    pub shape: Vec<usize>,
    /// The weight, row-major.
    pub weight: Vec<f32>,
    /// One value an output.
    pub bias: Vec<f32>,
}

/// A network's description and weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Which network it is.
    pub description: Description,
    /// Its convolutions, then its dense layers.
    pub layers: Vec<LayerWeights>,
}

impl Model {
    /// Writes the model to `path`: beside it, synced, then renamed over it, so that an interrupted
    /// write loses nothing. The same model always gives the same bytes.
    ///
    /// # Errors
    /// [`WeightsError::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        let format = |source| WeightsError::Format { path: path.to_owned(), source };
        let description = serde_json::to_string(&self.description)
            .map_err(|source| WeightsError::Description { path: path.to_owned(), source })?;
        let metadata = HashMap::from([(KEY.to_owned(), description)]);
        let tensors = self.layers.iter().flat_map(|layer| {
            let bias_shape = vec![layer.bias.len()];
            [
                (format!("{}.weight", layer.name), Tensor(layer.shape.clone(), &layer.weight)),
                (format!("{}.bias", layer.name), Tensor(bias_shape, &layer.bias)),
            ]
        });
        let bytes = serialize(tensors, Some(metadata)).map_err(format)?;
        write_beside(path, &bytes).map_err(|source| WeightsError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }

    /// Reads a model with the layers that its description tells of.
    ///
    /// Sizes in the file are checked against its length before anything is copied.
    ///
    /// # Errors
    /// [`WeightsError`] that names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, WeightsError> {
        let bytes = fs::read(path).map_err(|source| WeightsError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let format = |source| WeightsError::Format { path: path.to_owned(), source };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let missing = || WeightsError::NoDescription { path: path.to_owned(), key: KEY };
        let description: Description = serde_json::from_str(text.ok_or_else(missing)?)
            .map_err(|source| WeightsError::Description { path: path.to_owned(), source })?;
        let file = SafeTensors::deserialize(&bytes).map_err(format)?;
        let layer = |name: String| {
            let (shape, weight) = floats(&file, path, format!("{name}.weight"))?;
            let (_, bias) = floats(&file, path, format!("{name}.bias"))?;
            Ok(LayerWeights { name, shape, weight, bias })
        };
        let layers = description.layer_names().into_iter().map(layer);
        let layers = layers.collect::<Result<_, WeightsError>>()?;
        Ok(Self { description, layers })
    }
}

/// A tensor's shape and values.
fn floats(
    file: &SafeTensors<'_>,
    path: &Path,
    tensor: String,
) -> Result<(Vec<usize>, Vec<f32>), WeightsError> {
    let path = path.to_owned();
    let Ok(view) = file.tensor(&tensor) else {
        return Err(WeightsError::Missing { path, tensor });
    };
    if view.dtype() != Dtype::F32 {
        return Err(WeightsError::Type { path, tensor, found: view.dtype().to_string() });
    }
    let (values, _) = view.data().as_chunks();
    Ok((view.shape().to_vec(), values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
}

/// Shape and values, as safetensors wants to see them.
struct Tensor<'a>(Vec<usize>, &'a [f32]);

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            Cow::Borrowed(bytemuck::cast_slice(self.1))
        } else {
            Cow::Owned(self.1.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
    }

    fn data_len(&self) -> usize {
        size_of_val(self.1)
    }
}
