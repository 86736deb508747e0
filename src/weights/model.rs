//! A trained network in a file: safetensors (github.com/huggingface/safetensors) with the tensors
//! that torchvision's VGG of the same table would have, and a description in the metadata.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::read::KEY;
use super::{
    LayerName, Tensor, Values, WeightsError, read_tensors, torch_names, write_safetensors,
};
use crate::shape::{Head, Normalisation};

/// Which network a model file holds, and what it was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Convolutions and output channels of each block, channels as divided.
    pub blocks: Vec<[usize; 2]>,
    /// True if each convolution is followed by batch normalisation.
    #[serde(default)]
    pub batch_norm: bool,
    /// What stands between the blocks and the dense layers.
    #[serde(default)]
    pub head: Head,
    /// Widths of the hidden dense layers.
    pub hidden: Vec<usize>,
    /// Share dropped in training.
    pub dropout: f32,
    /// Channels, rows and columns of the input.
    pub input: [usize; 3],
    /// The name of each class.
    pub classes: Vec<String>,
    /// What a picture goes through before the network sees it.
    #[serde(default)]
    pub preprocessing: Preprocessing,
    /// Where the weights come from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What a picture goes through before the network sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// If given, the shorter side is resized to this many pixels, and the middle of the input's
    /// size is cut out; else the whole picture is resized to the input's size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// What is done to values in `[0, 1]`.
    #[serde(default)]
    pub normalisation: Normalisation,
}

/// Where weights come from: the part of a model card that no computation reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The program that wrote the file, with its version.
    pub program: String,
    /// The commit that the program was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The adapter that the weights were trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The file that the weights were imported from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<String>,
    /// What the last epoch of training measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<CardMetrics>,
}

/// What the last epoch of training measured; losses in nats, accuracies from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CardMetrics {
    /// Epochs trained.
    pub epoch: u32,
    /// Mean cross-entropy over the training images.
    pub train_loss: f64,
    /// Fraction of the training images classified right.
    pub train_acc: f64,
    /// Mean cross-entropy over the validation images.
    pub val_loss: f64,
    /// Fraction of the validation images classified right.
    pub val_acc: f64,
}

impl Description {
    /// Names of the convolutions, then of the dense layers, with those of their normalisations.
    pub fn layer_names(&self) -> Vec<LayerName> {
        let convolutions: Vec<usize> = self.blocks.iter().map(|block| block[0]).collect();
        torch_names(&convolutions, self.batch_norm, self.hidden.len() + 1)
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
    /// The batch normalisation after it.
    pub norm: Option<NormWeights>,
}

/// What a batch normalisation holds; each has one value a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct NormWeights {
    /// Its name, as [`super::torch_names`] gives it.
    pub name: String,
    /// The scale, gamma.
    pub weight: Vec<f32>,
    /// The shift, beta.
    pub bias: Vec<f32>,
    /// Running mean, for inference.
    pub running_mean: Vec<f32>,
    /// Running (unbiased) variance, for inference.
    pub running_var: Vec<f32>,
    /// Training steps that the running statistics have seen.
    pub num_batches_tracked: i64,
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
        let description = serde_json::to_string(&self.description)
            .map_err(|source| WeightsError::Description { path: path.to_owned(), source })?;
        write_safetensors(path, &self.tensors(), Some(&description))
    }

    /// All tensors, under torchvision's names.
    pub fn tensors(&self) -> Vec<Tensor<'_>> {
        let mut tensors = Vec::new();
        for LayerWeights { name, shape, weight, bias, norm } in &self.layers {
            tensors.push(Tensor::floats(format!("{name}.weight"), shape, weight));
            tensors.push(Tensor::floats(format!("{name}.bias"), &[bias.len()], bias));
            let Some(norm) = norm else { continue };
            let parts = [
                ("weight", &norm.weight),
                ("bias", &norm.bias),
                ("running_mean", &norm.running_mean),
                ("running_var", &norm.running_var),
            ];
            tensors.extend(parts.map(|(part, values)| {
                Tensor::floats(format!("{}.{part}", norm.name), &[values.len()], values)
            }));
            let counter = format!("{}.num_batches_tracked", norm.name);
            tensors.push(Tensor::integer(counter, norm.num_batches_tracked));
        }
        tensors
    }

    /// Reads a model with the layers that its description tells of.
    ///
    /// # Errors
    /// [`WeightsError`] that names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, WeightsError> {
        let file = read_tensors(path)?;
        let missing = || WeightsError::NoDescription { path: path.to_owned(), key: KEY };
        let description: Description = serde_json::from_str(&file.metadata.ok_or_else(missing)?)
            .map_err(|source| WeightsError::Description { path: path.to_owned(), source })?;
        let named = |tensor: Tensor<'static>| (tensor.name.clone(), tensor);
        let mut tensors: HashMap<_, _> = file.tensors.into_iter().map(named).collect();
        let layer = |LayerName { layer: name, norm }| {
            let (shape, weight) = floats(&mut tensors, path, format!("{name}.weight"))?;
            let (_, bias) = floats(&mut tensors, path, format!("{name}.bias"))?;
            let norm = norm.map(|name| {
                // Files of older versions of PyTorch have no counter.
                let counter = tensors.remove(&format!("{name}.num_batches_tracked"));
                let mut part = |part| {
                    let (_, values) = floats(&mut tensors, path, format!("{name}.{part}"))?;
                    Ok::<_, WeightsError>(values)
                };
                Ok::<_, WeightsError>(NormWeights {
                    weight: part("weight")?,
                    bias: part("bias")?,
                    running_mean: part("running_mean")?,
                    running_var: part("running_var")?,
                    num_batches_tracked: match counter.map(|counter| counter.values) {
                        Some(Values::I64(values)) => values.first().copied().unwrap_or(0),
                        _ => 0,
                    },
                    name,
                })
            });
            Ok(LayerWeights { name, shape, weight, bias, norm: norm.transpose()? })
        };
        let layers = description.layer_names().into_iter().map(layer);
        let layers = layers.collect::<Result<_, WeightsError>>()?;
        Ok(Self { description, layers })
    }
}

/// Takes a tensor out of those of the file: its shape and values.
fn floats(
    tensors: &mut HashMap<String, Tensor<'static>>,
    path: &Path,
    tensor: String,
) -> Result<(Vec<usize>, Vec<f32>), WeightsError> {
    let path = path.to_owned();
    match tensors.remove(&tensor) {
        Some(Tensor { shape, values: Values::F32(values), .. }) => Ok((shape, values.into_owned())),
        Some(_) => Err(WeightsError::Type { path, tensor, found: "integers".to_owned() }),
        None => Err(WeightsError::Missing { path, tensor }),
    }
}
