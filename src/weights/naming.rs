//! The names under which programs keep the tensors of a VGG, and a model under each of them.

use std::fmt;

use super::{
    Description, LayerName, LayerWeights, Model, NamesError, Tensor, WeightsError, torch_names,
};
use crate::shape::{FeatureMap, Head};

/// Rows and columns of the map that torchvision's and timm's classifiers read.
pub(super) const SIDE: usize = 7;

/// Whose names the tensors of a VGG have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Naming {
    /// torchvision's: `features.0.weight`, `classifier.0.weight`. A convolution, its batch
    /// normalisation and its ReLU count one place each in `features`, a pooling one; a dense layer,
    /// its ReLU and its dropout one each in `classifier`.
    Torchvision,
    /// timm's: `features` as torchvision's, then `pre_logits.fc1` and `pre_logits.fc2`, which are
    /// convolutions of 7x7 and 1x1 pixels, and `head.fc`.
    Timm,
    /// Those of the notebook of "Dive into Deep Learning" 7.2: `0.0.weight`, `2.2.weight` are
    /// convolutions at even places of a block; the flattening takes the place after the blocks, and
    /// dense layers such as `6.weight`, `9.weight` follow as in torchvision's `classifier`.
    D2l,
}

impl Naming {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Torchvision, Self::Timm, Self::D2l];

    /// Names of the convolutions, then of the dense layers, in order. `convolutions` has the number
    /// of convolutions of each block.
    ///
    /// # Errors
    /// [`NamesError::Timm`] if timm's names cannot name so many dense layers, and
    /// [`NamesError::BatchNorm`] if the notebook's cannot name batch normalisations.
    pub fn layer_names(
        self,
        convolutions: &[usize],
        batch_norm: bool,
        dense: usize,
    ) -> Result<Vec<LayerName>, NamesError> {
        if self == Self::Torchvision {
            return Ok(torch_names(convolutions, batch_norm, dense));
        }
        let mut names;
        let denses: Vec<String> = if self == Self::Timm {
            if dense != 3 {
                return Err(NamesError::Timm { dense });
            }
            names = torch_names(convolutions, batch_norm, 0);
            ["pre_logits.fc1", "pre_logits.fc2", "head.fc"].map(str::to_owned).to_vec()
        } else {
            if batch_norm {
                return Err(NamesError::BatchNorm);
            }
            let layer = |block, i| LayerName { layer: format!("{block}.{}", 2 * i), norm: None };
            let blocks = convolutions.iter().enumerate();
            names = blocks
                .flat_map(|(block, &count)| (0..count).map(move |i| layer(block, i)))
                .collect();
            (0..dense).map(|i| (convolutions.len() + 1 + 3 * i).to_string()).collect()
        };
        names.extend(denses.into_iter().map(|layer| LayerName { layer, norm: None }));
        Ok(names)
    }
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
            Self::D2l => "d2l",
        })
    }
}

/// A layer as a file has it.
pub(super) struct Slot {
    /// Its name and that of its batch normalisation.
    pub name: LayerName,
    /// Its weight's shape in the file: `(k, c, 3, 3)`, `(outputs, inputs)`, or timm's.
    pub shape: Vec<usize>,
    /// Its weight's shape in a [`Model`].
    pub model_shape: Vec<usize>,
}

/// The parts of a batch normalisation that have a value a channel.
const NORM_PARTS: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

impl Slot {
    /// The file's shape for each layer of `description`, under `names`.
    pub fn all(description: &Description, naming: Naming, names: Vec<LayerName>) -> Vec<Self> {
        let mut shapes = Vec::with_capacity(names.len());
        let mut inputs = description.input[0];
        for &[convolutions, channels] in &description.blocks {
            for _ in 0..convolutions {
                shapes.push((vec![channels, inputs, 3, 3], vec![channels, inputs, 3, 3]));
                inputs = channels;
            }
        }
        let map = dense_map(description);
        let mut features = map.height.saturating_mul(map.width).saturating_mul(map.channels);
        let widths = description.hidden.iter().copied().chain([description.classes.len()]);
        for (i, outputs) in widths.enumerate() {
            let model = vec![outputs, features];
            let file = match (naming, i) {
                (Naming::Timm, 0) => vec![outputs, map.channels, map.height, map.width],
                (Naming::Timm, 1) => vec![outputs, features, 1, 1],
                _ => model.clone(),
            };
            shapes.push((file, model));
            features = outputs;
        }
        let slot = |(name, (shape, model_shape))| Self { name, shape, model_shape };
        names.into_iter().zip(shapes).map(slot).collect()
    }

    /// Name and shape of each of its tensors of floats.
    pub fn parts(&self) -> Vec<(String, Vec<usize>)> {
        let channels = vec![self.shape[0]];
        let mut parts = vec![
            (format!("{}.weight", self.name.layer), self.shape.clone()),
            (format!("{}.bias", self.name.layer), channels.clone()),
        ];
        let norm = self.name.norm.iter();
        let part = |norm: &String, part| (format!("{norm}.{part}"), channels.clone());
        parts.extend(norm.flat_map(|norm| NORM_PARTS.map(|name| part(norm, name))));
        parts
    }

    /// The name of the steps that its batch normalisation has seen.
    pub fn counter(&self) -> Option<String> {
        self.name.norm.as_ref().map(|norm| format!("{norm}.num_batches_tracked"))
    }

    /// The values of its parts and its counter.
    fn values<'a>(&self, layer: &'a LayerWeights) -> Result<(Vec<&'a [f32]>, i64), WeightsError> {
        let mut values = vec![&*layer.weight, &*layer.bias];
        if let Some(norm) = &layer.norm {
            let [weight, bias] = [&norm.weight, &norm.bias];
            values.extend([&**weight, bias, &norm.running_mean, &norm.running_var]);
        }
        let parts = self.parts();
        let fits = |((_, shape), values): (&(String, Vec<usize>), &&[f32])| {
            elements(shape) == Some(values.len())
        };
        let whole = layer.shape == self.model_shape && parts.len() == values.len();
        if !whole || !parts.iter().zip(&values).all(fits) {
            let (found, expected) = (layer.shape.clone(), self.model_shape.clone());
            return Err(WeightsError::Shape { layer: layer.name.clone(), found, expected });
        }
        let counter = layer.norm.as_ref().map_or(0, |norm| norm.num_batches_tracked);
        Ok((values, counter))
    }
}

/// The number of values of a shape.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))
}

/// What the last block leaves of the input.
pub(super) fn pooled_map(description: &Description) -> FeatureMap {
    let [input, height, width] = description.input;
    let blocks = u32::try_from(description.blocks.len()).unwrap_or(u32::MAX);
    let pooled = |side: usize| side.checked_shr(blocks).unwrap_or(0);
    let channels = description.blocks.last().map_or(input, |block| block[1]);
    FeatureMap::new(pooled(height), pooled(width), channels)
}

/// The map that the first dense layer reads.
pub(super) fn dense_map(description: &Description) -> FeatureMap {
    let pooled = pooled_map(description);
    match description.head {
        Head::Flatten => pooled,
        Head::AvgPool7 => FeatureMap::new(SIDE, SIDE, pooled.channels),
    }
}

/// All tensors of `model` under the names of `naming`, for its program's
/// `load_state_dict(strict=True)`.
///
/// torchvision's own classes and timm's have two hidden layers of 4,096; with other widths the
/// names and shapes are what the class would have, built with those. Their classifiers read a map
/// of 7x7: a network with [`Head::Flatten`] fits them if its blocks leave 7x7 of its input, which
/// adaptive pooling then leaves as it is. The notebook flattens, so a network with
/// [`Head::AvgPool7`] fits it on the same condition.
///
/// ```
/// use vgg_wgpu::shape::Head;
/// use vgg_wgpu::weights::{Description, LayerWeights, Model, Naming, export_tensors};
///
/// let layer = |name: &str, shape: &[usize]| LayerWeights {
///     name: name.to_owned(),
///     shape: shape.to_vec(),
///     weight: vec![0.5; shape.iter().product()],
///     bias: vec![0.0; shape[0]],
///     norm: None,
/// };
/// let description = Description {
///     blocks: vec![[1, 2]],
///     batch_norm: false,
///     head: Head::Flatten,
///     hidden: vec![],
///     dropout: 0.5,
///     input: [1, 4, 4],
///     classes: vec!["cat".to_owned(), "dog".to_owned()],
///     preprocessing: Default::default(),
///     origin: None,
/// };
/// let layers = vec![layer("features.0", &[2, 1, 3, 3]), layer("classifier.0", &[2, 8])];
/// let model = Model { description, layers };
/// let names = export_tensors(&model, Naming::D2l)?.into_iter().map(|tensor| tensor.name);
/// assert_eq!(names.collect::<Vec<_>>(), ["0.0.weight", "0.0.bias", "2.weight", "2.bias"]);
/// assert!(export_tensors(&model, Naming::Torchvision).is_err(), "2x2 is not 7x7");
/// # Ok::<(), vgg_wgpu::weights::WeightsError>(())
/// ```
///
/// # Errors
/// [`NamesError`] if that program has no such network, and [`WeightsError::Shape`] if the weights
/// are not those that the description tells of.
pub fn export_tensors(model: &Model, naming: Naming) -> Result<Vec<Tensor<'_>>, WeightsError> {
    let description = &model.description;
    let FeatureMap { height, width, .. } = pooled_map(description);
    let seven = (height, width) == (SIDE, SIDE);
    match (naming, description.head) {
        (Naming::D2l, Head::AvgPool7) if !seven => {
            return Err(NamesError::NoPooling { height, width }.into());
        }
        (Naming::Torchvision | Naming::Timm, Head::Flatten) if !seven => {
            return Err(NamesError::Pools { naming, height, width }.into());
        }
        _ => {}
    }
    checked_tensors(model, naming)
}

/// All tensors of `model` under the names of `naming`, whatever its program does with them.
pub(super) fn checked_tensors(
    model: &Model,
    naming: Naming,
) -> Result<Vec<Tensor<'_>>, WeightsError> {
    let slots = model_slots(model, naming)?;
    let mut tensors = Vec::new();
    for (slot, layer) in slots.iter().zip(&model.layers) {
        let (values, counter) = slot.values(layer)?;
        let parts = slot.parts().into_iter().zip(values);
        tensors.extend(parts.map(|((name, shape), values)| Tensor::floats(name, &shape, values)));
        tensors.extend(slot.counter().map(|name| Tensor::integer(name, counter)));
    }
    Ok(tensors)
}

/// The layers of `model` as a file of `naming` has them, as many as the model has weights of.
fn model_slots(model: &Model, naming: Naming) -> Result<Vec<Slot>, WeightsError> {
    let description = &model.description;
    let convolutions: Vec<usize> = description.blocks.iter().map(|block| block[0]).collect();
    let dense = description.hidden.len() + 1;
    let layers = convolutions.iter().fold(dense, |sum, count| sum.saturating_add(*count));
    if layers != model.layers.len() {
        let (found, expected) = (vec![model.layers.len()], vec![layers]);
        return Err(WeightsError::Shape { layer: "(their number)".to_owned(), found, expected });
    }
    let names = naming.layer_names(&convolutions, description.batch_norm, dense)?;
    Ok(Slot::all(description, naming, names))
}
