//! Between a network on a device and a [`Model`] in PyTorch's layout.

use std::path::Path;

use super::{Init, TrainError};
use crate::graph::{Architecture, Block, GraphError, Layer, Network, Parameter};
use crate::shape::Head;
use crate::weights::{
    Columns, Description, LayerWeights, Model, Preprocessing, WeightsError, dense_from_torch,
    dense_to_torch, filter_from_torch, filter_to_torch,
};

/// A layer with weights.
struct Weighted {
    name: String,
    kind: Kind,
    /// The network's parameters that hold it: several where a dense layer is cut.
    parameters: std::ops::Range<usize>,
}

#[derive(Clone, Copy)]
enum Kind {
    Conv { c: usize, k: usize },
    Dense { columns: Columns, outputs: usize },
}

impl Weighted {
    /// The shape of the weight in PyTorch.
    fn shape(&self) -> Vec<usize> {
        match self.kind {
            Kind::Conv { c, k } => vec![k, c, 3, 3],
            Kind::Dense { columns, outputs } => vec![outputs, columns.features()],
        }
    }

    /// The stored values of one of its parameters.
    fn stored(&self, weights: &LayerWeights, parameter: &Parameter, count: usize) -> Vec<f32> {
        match self.kind {
            Kind::Conv { c, k } => filter_from_torch(&weights.weight, &weights.bias, c, k),
            Kind::Dense { columns, .. } => {
                let (first, features) = (parameter.first, columns.features());
                let rows = &weights.weight[first * features..][..count * features];
                dense_from_torch(rows, &weights.bias[first..][..count], columns)
            }
        }
    }

    /// Weight and bias of one of its parameters, of `count` outputs.
    fn torch(&self, stored: &[f32], count: usize) -> (Vec<f32>, Vec<f32>) {
        match self.kind {
            Kind::Conv { c, k } => filter_to_torch(stored, c, k),
            Kind::Dense { columns, .. } => dense_to_torch(stored, columns, count),
        }
    }

    /// Outputs held by parameter `i` of the network.
    fn outputs_of(&self, network: &Network, i: usize) -> usize {
        let first = network.parameters()[i].first;
        match self.kind {
            Kind::Conv { k, .. } => k,
            Kind::Dense { outputs, .. } => {
                let next = (i + 1 < self.parameters.end).then(|| network.parameters()[i + 1].first);
                next.unwrap_or(outputs) - first
            }
        }
    }

    fn write(&self, network: &Network, weights: &LayerWeights) -> Result<(), TrainError> {
        let (found, expected) = (weights.shape.clone(), self.shape());
        let whole = weights.weight.len() == expected.iter().product::<usize>()
            && expected.first() == Some(&weights.bias.len());
        if found != expected || !whole {
            let layer = self.name.clone();
            return Err(WeightsError::Shape { layer, found, expected }.into());
        }
        for i in self.parameters.clone() {
            let count = self.outputs_of(network, i);
            let stored = self.stored(weights, &network.parameters()[i], count);
            network.write_parameter(i, &stored)?;
        }
        Ok(())
    }

    fn read(&self, network: &Network) -> Result<LayerWeights, TrainError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for i in self.parameters.clone() {
            let stored = network.read_parameter(i)?;
            let (rows, biases) = self.torch(&stored, self.outputs_of(network, i));
            weight.extend(rows);
            bias.extend(biases);
        }
        Ok(LayerWeights { name: self.name.clone(), shape: self.shape(), weight, bias, norm: None })
    }
}

/// The layers with weights, in order, under PyTorch's names.
fn weighted(network: &Network) -> Vec<Weighted> {
    let names = describe(network.architecture(), Vec::new()).layer_names();
    let layers = network.architecture().layers();
    let kinds = layers.into_iter().filter_map(|(layer, geometry)| match geometry {
        Layer::Conv { input, output } => {
            Some((layer, Kind::Conv { c: input.channels, k: output.channels }))
        }
        Layer::Dense { features, flattened, outputs, .. } => {
            let columns = flattened.map_or(Columns::Features(features), Columns::Flattened);
            Some((layer, Kind::Dense { columns, outputs }))
        }
        Layer::MaxPool { .. } | Layer::Dropout { .. } => None,
    });
    let mut next = 0;
    let place = |(name, (layer, kind)): (String, (String, Kind))| {
        let first = next;
        let of_layer = |parameter: &&Parameter| parameter.layer == layer;
        next += network.parameters()[first..].iter().take_while(of_layer).count();
        Weighted { name, kind, parameters: first..next }
    };
    names.into_iter().map(|name| name.layer).zip(kinds).map(place).collect()
}

fn describe(architecture: &Architecture, classes: Vec<String>) -> Description {
    let input = architecture.input();
    let block = |block: &Block| [block.convolutions, block.channels];
    Description {
        blocks: architecture.blocks().iter().map(block).collect(),
        batch_norm: false,
        head: Head::Flatten,
        hidden: architecture.hidden().to_vec(),
        dropout: architecture.dropout(),
        input: [input.channels, input.height, input.width],
        classes,
        preprocessing: Preprocessing {
            normalisation: architecture.normalisation(),
            ..Preprocessing::default()
        },
        origin: None,
    }
}

/// The architecture that a model's description tells of.
///
/// # Errors
/// [`GraphError`] if there is no such network.
pub fn architecture_of(description: &Description) -> Result<Architecture, GraphError> {
    let [channels, height, width] = description.input;
    let block = |&[convolutions, channels]: &[usize; 2]| Block { convolutions, channels };
    Architecture::builder()
        .blocks(description.blocks.iter().map(block).collect())
        .hidden(description.hidden.clone())
        .dropout(description.dropout)
        .input(channels, height, width)
        .classes(description.classes.len())
        .normalisation(description.preprocessing.normalisation)
        .build()
}

/// Draws the weights of a network. They depend on the seed alone, not on the adapter or on how
/// layers are stored.
///
/// # Errors
/// [`TrainError::Graph`] if the device fails.
pub fn initialise(network: &Network, init: Init, seed: u64) -> Result<(), TrainError> {
    let mut random = fastrand::Rng::with_seed(seed);
    for layer in weighted(network) {
        let drawn = init.draw(layer.name.clone(), layer.shape(), &mut random);
        layer.write(network, &drawn)?;
    }
    Ok(())
}

/// Sets the weights of a network to those of `model`.
///
/// # Errors
/// [`WeightsError::Shape`] if the model is of another network.
pub fn load(network: &Network, model: &Model) -> Result<(), TrainError> {
    let layers = weighted(network);
    if layers.len() != model.layers.len() {
        let (found, expected) = (vec![model.layers.len()], vec![layers.len()]);
        let layer = "(their number)".to_owned();
        return Err(WeightsError::Shape { layer, found, expected }.into());
    }
    for (layer, weights) in layers.iter().zip(&model.layers) {
        layer.write(network, weights)?;
    }
    Ok(())
}

/// Reads the weights of a network from the device and writes them to `path`; see [`Model::save`].
///
/// # Errors
/// [`TrainError`] if the device fails or the file cannot be written.
pub fn save(network: &Network, classes: &[String], path: &Path) -> Result<(), TrainError> {
    let description = describe(network.architecture(), classes.to_vec());
    let layers =
        weighted(network).iter().map(|layer| layer.read(network)).collect::<Result<_, _>>();
    Ok(Model { description, layers: layers? }.save(path)?)
}
