//! From a list of tensors to a [`Model`], whoever named them.

use std::collections::BTreeSet;
use std::path::Path;

use super::infer::{adapt, describe};
use super::naming::{Slot, elements};
use super::places::{Places, Tensors};
use super::{
    Description, LayerName, LayerWeights, Mismatch, Model, NamesError, Naming, NormWeights, Tensor,
    Values, WeightsError, read_tensors,
};
use crate::shape::Head;

/// Layers that may be told of beyond the number of tensors, so that they are listed as missing.
const MISSING: usize = 64;

/// What the names of an optimiser's tensors begin with in a checkpoint of this crate.
pub(crate) const OPTIMIZER: &str = "optimizer.";

/// What is known about a network besides its tensors.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The network, if it is known: the tensors must be its own exactly.
    pub description: Option<Description>,
    /// Rows and columns of the input.
    pub resize: Option<usize>,
    /// What stands between the blocks and the dense layers.
    pub head: Option<Head>,
    /// The name of each class; without them, those of the description, or numbers.
    pub class_names: Option<Vec<String>>,
}

/// A network made of a list of tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognised {
    /// The network, its layers under torchvision's names.
    pub model: Model,
    /// Whose names the tensors had.
    pub naming: Naming,
    /// What was chosen where the tensors leave a choice, for people.
    pub notes: Vec<String>,
}

/// Reads the network in a file: one that this crate wrote, by its own description, any other one as
/// [`recognise`] finds it.
///
/// # Errors
/// [`WeightsError`] that names the file and what is wrong with it.
pub fn import(path: &Path, options: &ImportOptions) -> Result<Recognised, WeightsError> {
    let mut file = read_tensors(path)?;
    if file.metadata.is_some() {
        // A checkpoint of a run is its model too.
        file.tensors.retain(|tensor| !tensor.name.starts_with(OPTIMIZER));
    }
    let described = |text: &String| {
        serde_json::from_str(text)
            .map_err(|source| WeightsError::Description { path: path.to_owned(), source })
    };
    let mut options = options.clone();
    if options.description.is_none() {
        options.description = file.metadata.as_ref().map(described).transpose()?;
    }
    recognise(file.tensors, &options).map_err(|error| match error {
        WeightsError::Names(source) => WeightsError::Network { path: path.to_owned(), source },
        other => other,
    })
}

/// Finds the network that `tensors` belong to. Names may be those of any [`Naming`], with `module.`
/// and `_orig_mod.` anywhere and `model.` and `net.` in front; torchvision's with the dense layers
/// at any places of `classifier`, in their order.
///
/// Where the pools stand follows from the places of the convolutions, channels and widths from the
/// shapes. Under torchvision's and timm's names a first dense layer that reads 7x7 makes the head
/// [`Head::AvgPool7`] and the resolution 224; otherwise the head is [`Head::Flatten`], and of the
/// resolutions that pool to the map read, the exact multiple is taken. Networks under those names
/// with 3 channels and 1,000 classes get ImageNet's preprocessing, others none. A training step of
/// the network drops half, as in all of the programs.
///
/// # Errors
/// [`NamesError`], in [`WeightsError::Names`]: with [`NamesError::Mismatch`] every tensor that is
/// missing, unexpected or of another shape.
pub fn recognise(
    tensors: Vec<Tensor<'static>>,
    options: &ImportOptions,
) -> Result<Recognised, WeightsError> {
    let mut tensors = by_name(tensors)?;
    let places = Places::find(&tensors)?;
    check_count(&places.convolutions, places.dense.len(), &tensors)?;
    let (mut description, names, notes) = match options.description.clone() {
        Some(description) => {
            let names = told_names(&description, &places, &tensors)?;
            (adapt(description, options)?, names, Vec::new())
        }
        None => {
            let dense = places.dense.len();
            let names = places.names(&places.convolutions, places.batch_norm, dense)?;
            let (description, notes) = describe(&places, &names, &tensors, options)?;
            (description, names, notes)
        }
    };
    if let Some(class_names) = &options.class_names {
        let (found, expected) = (class_names.len(), description.classes.len());
        if found != expected {
            return Err(NamesError::ClassNames { found, expected }.into());
        }
        description.classes.clone_from(class_names);
    }
    let slots = Slot::all(&description, places.naming, names);
    check(&slots, &tensors)?;
    let names = description.layer_names().into_iter();
    let layer = |(slot, name)| take(&slot, name, &mut tensors);
    let layers = slots.into_iter().zip(names).map(layer).collect::<Result<_, _>>()?;
    let model = Model { description, layers };
    Ok(Recognised { model, naming: places.naming, notes })
}

impl Model {
    /// The model with another last layer, for `classes` in place of its own: the layer that `draw`
    /// makes of a name and the shape `(classes, inputs)`. The others keep their weights.
    pub fn with_classes(
        mut self,
        classes: Vec<String>,
        draw: impl FnOnce(String, Vec<usize>) -> LayerWeights,
    ) -> Self {
        if let Some(last) = self.layers.last_mut() {
            let inputs = last.shape.get(1).copied().unwrap_or_default();
            *last = draw(last.name.clone(), vec![classes.len(), inputs]);
        }
        self.description.classes = classes;
        self
    }
}

/// The tensors by their names without what wrappers put before them.
fn by_name(tensors: Vec<Tensor<'static>>) -> Result<Tensors, NamesError> {
    let mut named = Tensors::new();
    for tensor in tensors {
        let (values, shape) = (tensor.values.len(), &tensor.shape);
        if values == 0 || elements(shape) != Some(values) {
            let (tensor, shape) = (tensor.name, tensor.shape);
            return Err(NamesError::Values { tensor, shape, values });
        }
        let name = bare(&tensor.name);
        let second = tensor.name.clone();
        if let Some(first) = named.insert(name.clone(), tensor) {
            return Err(NamesError::Twice { name, first: first.name, second });
        }
    }
    Ok(named)
}

/// A name without the parts of `DataParallel` and `torch.compile`, which may wrap a network or a
/// part of it, and without those of objects that keep a network in a field.
fn bare(name: &str) -> String {
    let own = name.split('.').filter(|part| !matches!(*part, "module" | "_orig_mod"));
    let own: Vec<&str> = own.skip_while(|part| matches!(*part, "model" | "net")).collect();
    own.join(".")
}

fn check_count(convolutions: &[usize], dense: usize, tensors: &Tensors) -> Result<(), NamesError> {
    let layers = convolutions.iter().fold(dense, |sum, &count| sum.saturating_add(count));
    if layers > tensors.len().saturating_add(MISSING) {
        return Err(NamesError::Layers { layers, tensors: tensors.len() });
    }
    Ok(())
}

/// The names of the layers of `description` in a file with layers at `places`.
fn told_names(
    description: &Description,
    places: &Places,
    tensors: &Tensors,
) -> Result<Vec<LayerName>, NamesError> {
    let dense = description.hidden.len().saturating_add(1);
    let convolutions: Vec<usize> = description.blocks.iter().map(|block| block[0]).collect();
    check_count(&convolutions, dense, tensors)?;
    places.names(&convolutions, description.batch_norm, dense)
}

/// Holds the tensors against the layers.
fn check(slots: &[Slot], tensors: &Tensors) -> Result<(), NamesError> {
    let mut mismatch = Mismatch::default();
    let mut unexpected: BTreeSet<&str> = tensors.keys().map(String::as_str).collect();
    let mut hold = |name: String, expected: Vec<usize>, needed: bool| {
        unexpected.remove(name.as_str());
        match tensors.get(&name) {
            Some(tensor) if tensor.shape != expected => {
                mismatch.wrong.push((tensor.name.clone(), tensor.shape.clone(), expected));
            }
            None if needed => mismatch.missing.push((name, expected)),
            _ => {}
        }
    };
    for slot in slots {
        for (name, shape) in slot.parts() {
            hold(name, shape, true);
        }
        // Networks saved by PyTorch before 0.4.1 have none.
        if let Some(counter) = slot.counter() {
            hold(counter, Vec::new(), false);
        }
    }
    let shape =
        |name: &str| tensors.get(name).map(|found| (found.name.clone(), found.shape.clone()));
    mismatch.unexpected = unexpected.into_iter().filter_map(shape).collect();
    if mismatch.is_empty() { Ok(()) } else { Err(mismatch.into()) }
}

/// Takes a layer's tensors, all of which are there.
fn take(slot: &Slot, name: LayerName, tensors: &mut Tensors) -> Result<LayerWeights, NamesError> {
    let mut parts = slot.parts().into_iter().map(|(part, shape)| floats(tensors, part, shape));
    let mut next = || parts.next().unwrap_or_else(|| Ok(Vec::new()));
    let (weight, bias) = (next()?, next()?);
    let norm = name.norm.map(|name| {
        Ok::<_, NamesError>(NormWeights {
            name,
            weight: next()?,
            bias: next()?,
            running_mean: next()?,
            running_var: next()?,
            num_batches_tracked: 0,
        })
    });
    let mut norm = norm.transpose()?;
    drop(parts);
    if let (Some(norm), Some(counter)) = (&mut norm, slot.counter()) {
        norm.num_batches_tracked = integer(tensors, &counter)?;
    }
    Ok(LayerWeights { name: name.layer, shape: slot.model_shape.clone(), weight, bias, norm })
}

/// The values of a tensor.
fn floats(
    tensors: &mut Tensors,
    name: String,
    expected: Vec<usize>,
) -> Result<Vec<f32>, NamesError> {
    match tensors.remove(&name) {
        Some(Tensor { values: Values::F32(values), .. }) => Ok(values.into_owned()),
        Some(tensor) => Err(NamesError::Type { tensor: tensor.name, expected: "floats" }),
        None => Err(Mismatch { missing: vec![(name, expected)], ..Mismatch::default() }.into()),
    }
}

/// The value of a tensor of one integer, zero if it is not there.
fn integer(tensors: &mut Tensors, name: &str) -> Result<i64, NamesError> {
    match tensors.remove(name) {
        Some(Tensor { values: Values::I64(values), .. }) => {
            Ok(values.first().copied().unwrap_or_default())
        }
        Some(tensor) => Err(NamesError::Type { tensor: tensor.name, expected: "integers" }),
        None => Ok(0),
    }
}
