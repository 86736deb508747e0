//! Between a network on a device and a [`Model`] in PyTorch's layout.

use std::ops::Range;
use std::path::Path;

use super::{Init, TrainError};
use crate::graph::{Architecture, Block, GraphError, Layer, Network, Parameter};
use crate::shape::{Layout, PANEL, padded};
use crate::weights::{
    Columns, Description, LayerName, LayerWeights, Model, NormWeights, Origin, Preprocessing,
    Tensor, Values, WeightsError, dense_from_torch, dense_to_torch, filter_from_torch,
    filter_to_torch, norm_from_torch, norm_to_torch,
};

/// What a model file tells beside the network and its weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Card {
    /// The name of each class.
    pub classes: Vec<String>,
    /// The side that pictures are resized to before the middle is cut out; see
    /// [`Preprocessing::resize`].
    pub resize: Option<usize>,
    /// Where the weights come from.
    pub origin: Option<Origin>,
}

impl Card {
    /// A card that names the classes and no more.
    pub fn of(classes: &[String]) -> Self {
        Self { classes: classes.to_vec(), ..Self::default() }
    }
}

/// Values of a dense layer that are written at once, at least a panel: 4 MiB.
const AT_ONCE: usize = 1 << 20;

/// A layer with weights.
struct Weighted {
    name: String,
    kind: Kind,
    /// The network's parameters that hold it: several where a dense layer is cut.
    parameters: Range<usize>,
    norm: Option<Norm>,
}

/// The batch normalisation after a convolution.
struct Norm {
    name: String,
    channels: usize,
    parameter: usize,
    statistics: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Conv { c: usize, k: usize },
    Dense { columns: Columns, outputs: usize },
}

/// Weight and bias, flat.
pub(super) type Pair = (Vec<f32>, Vec<f32>);

/// Reads a stored parameter, or what belongs to it; `None` where there is none.
pub(super) type Read<'a> = &'a dyn Fn(usize) -> Result<Option<Vec<f32>>, GraphError>;

/// Gives weight and bias of a layer by its name, the weight's shape and the number of outputs.
pub(super) type Take<'a> = &'a dyn Fn(&str, Vec<usize>, usize) -> Result<Option<Pair>, TrainError>;

impl Weighted {
    /// The shape of the weight in PyTorch.
    fn shape(&self) -> Vec<usize> {
        match self.kind {
            Kind::Conv { c, k } => vec![k, c, 3, 3],
            Kind::Dense { columns, outputs } => vec![outputs, columns.features()],
        }
    }

    /// The stored values of outputs that follow each other, in place of what was there: all of a
    /// convolution, whole panels of a dense layer.
    fn store(&self, (weight, bias): (&[f32], &[f32]), stored: &mut Vec<f32>) {
        match self.kind {
            Kind::Conv { c, k } => *stored = filter_from_torch(weight, bias, c, k),
            Kind::Dense { columns, .. } => dense_from_torch(weight, bias, columns, stored),
        }
    }

    /// Outputs held by parameter `i` of the network.
    fn outputs_of(&self, network: &Network, i: usize) -> Range<usize> {
        let first = network.parameters()[i].first;
        match self.kind {
            Kind::Conv { k, .. } => 0..k,
            Kind::Dense { outputs, .. } => {
                let next = (i + 1 < self.parameters.end).then(|| network.parameters()[i + 1].first);
                first..next.unwrap_or(outputs)
            }
        }
    }

    /// Outputs that are written at once: all of a convolution, of a dense layer panels of some megabytes.
    fn at_once(&self) -> usize {
        match self.kind {
            Kind::Conv { k, .. } => k,
            Kind::Dense { columns, .. } => {
                let panel = Layout::Panels { inputs: columns.stored(), outputs: PANEL }.len(1);
                (AT_ONCE / panel).max(1) * PANEL
            }
        }
    }

    /// Writes weight and bias that `next` gives of one range of outputs after the other. They go to the device
    /// part by part, each in the memory of the one before: of a large layer no more is held than that.
    fn write(
        &self,
        network: &Network,
        mut next: impl FnMut(Range<usize>, (&mut Vec<f32>, &mut Vec<f32>)),
    ) -> Result<(), TrainError> {
        let (mut weight, mut bias, mut stored) = (Vec::new(), Vec::new(), Vec::new());
        let at_once = self.at_once();
        for i in self.parameters.clone() {
            let outputs = self.outputs_of(network, i);
            let mut at = 0;
            for first in outputs.clone().step_by(at_once) {
                let part = first..outputs.end.min(first + at_once);
                next(part, (&mut weight, &mut bias));
                self.store((&weight, &bias), &mut stored);
                network.write_parameter_part(i, at, &stored)?;
                at += stored.len();
            }
        }
        Ok(())
    }

    /// Writes weights that are there.
    fn load(&self, network: &Network, weights: &LayerWeights) -> Result<(), TrainError> {
        let (found, expected) = (weights.shape.clone(), self.shape());
        let outputs = weights.bias.len();
        let whole = weights.weight.len() == expected.iter().product::<usize>()
            && expected.first() == Some(&outputs);
        if found != expected || !whole || weights.norm.is_some() != self.norm.is_some() {
            let layer = self.name.clone();
            return Err(WeightsError::Shape { layer, found, expected }.into());
        }
        let each = weights.weight.len() / outputs.max(1);
        self.write(network, |part, (weight, bias)| {
            weights.weight[part.start * each..part.end * each].clone_into(weight);
            weights.bias[part].clone_into(bias);
        })?;
        match (&self.norm, &weights.norm) {
            (Some(norm), Some(weights)) => norm.load(network, weights),
            _ => Ok(()),
        }
    }

    /// Weight and bias in PyTorch's layout, as `read` gives them.
    fn torch(&self, network: &Network, read: Read<'_>) -> Result<Option<Pair>, TrainError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for i in self.parameters.clone() {
            let Some(stored) = read(i)? else { return Ok(None) };
            let (rows, biases) = match self.kind {
                Kind::Conv { c, k } => filter_to_torch(&stored, c, k),
                Kind::Dense { columns, .. } => {
                    dense_to_torch(&stored, columns, self.outputs_of(network, i).len())
                }
            };
            weight.extend(rows);
            bias.extend(biases);
        }
        Ok(Some((weight, bias)))
    }

    fn read(&self, network: &Network) -> Result<LayerWeights, TrainError> {
        let read = |i| network.read_parameter(i).map(Some);
        let (weight, bias) = self.torch(network, &read)?.unwrap_or_default();
        let norm = self.norm.as_ref().map(|norm| norm.read(network)).transpose()?;
        Ok(LayerWeights { name: self.name.clone(), shape: self.shape(), weight, bias, norm })
    }
}

impl Norm {
    fn load(&self, network: &Network, weights: &NormWeights) -> Result<(), TrainError> {
        let NormWeights { weight, bias, running_mean, running_var, .. } = weights;
        for values in [weight, bias, running_mean, running_var] {
            if values.len() != self.channels {
                let (found, expected) = (vec![values.len()], vec![self.channels]);
                let layer = self.name.clone();
                return Err(WeightsError::Shape { layer, found, expected }.into());
            }
        }
        let stored = norm_from_torch(&[weight, bias]);
        network.write_parameter(self.parameter, &stored)?;
        // The number of batches is kept once a channel; whole numbers are exact up to 2^24.
        let batches = vec![weights.num_batches_tracked as f32; self.channels];
        let stored = norm_from_torch(&[running_mean, running_var, &batches]);
        Ok(network.write_statistics(self.statistics, &stored)?)
    }

    fn read(&self, network: &Network) -> Result<NormWeights, TrainError> {
        let (channels, stride) = (self.channels, padded(self.channels));
        let (weight, bias) = norm_to_torch(&network.read_parameter(self.parameter)?, channels);
        let stored = network.read_statistics(self.statistics)?;
        let row = |i: usize| stored[i * stride..][..channels].to_vec();
        let num_batches_tracked = row(2).first().map_or(0, |&batches| batches as i64);
        let (name, running_mean, running_var) = (self.name.clone(), row(0), row(1));
        Ok(NormWeights { name, weight, bias, running_mean, running_var, num_batches_tracked })
    }
}

/// The layers with weights, in order, under PyTorch's names.
fn weighted(network: &Network) -> Vec<Weighted> {
    let names = describe(network.architecture(), &Card::default()).layer_names();
    let layers = network.architecture().layers();
    let kinds = layers.into_iter().filter_map(|(layer, geometry)| match geometry {
        Layer::Conv { input, output, .. } => {
            Some((layer, Kind::Conv { c: input.channels, k: output.channels }))
        }
        Layer::Dense { features, flattened, outputs, .. } => {
            let columns = flattened.map_or(Columns::Features(features), Columns::Flattened);
            Some((layer, Kind::Dense { columns, outputs }))
        }
        _ => None,
    });
    let (mut next, mut norms) = (0, 0..);
    let place = |(names, (layer, kind)): (LayerName, (String, Kind))| {
        let first = next;
        let of_layer = |parameter: &&Parameter| parameter.layer == layer;
        next += network.parameters()[first..].iter().take_while(of_layer).count();
        let parameters = first..next;
        let norm = match (names.norm, kind) {
            (Some(name), Kind::Conv { k: channels, .. }) => {
                next += 1;
                let statistics = norms.next().unwrap_or(0);
                Some(Norm { name, channels, parameter: next - 1, statistics })
            }
            _ => None,
        };
        Weighted { name: names.layer, kind, parameters, norm }
    };
    names.into_iter().zip(kinds).map(place).collect()
}

fn describe(architecture: &Architecture, card: &Card) -> Description {
    let input = architecture.input();
    let block = |block: &Block| [block.convolutions, block.channels];
    Description {
        blocks: architecture.blocks().iter().map(block).collect(),
        batch_norm: architecture.batch_norm(),
        head: architecture.head(),
        hidden: architecture.hidden().to_vec(),
        dropout: architecture.dropout(),
        input: [input.channels, input.height, input.width],
        classes: card.classes.clone(),
        preprocessing: Preprocessing {
            resize: card.resize,
            normalisation: architecture.normalisation(),
        },
        origin: card.origin.clone(),
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
        .batch_norm(description.batch_norm)
        .head(description.head)
        .hidden(description.hidden.clone())
        .dropout(description.dropout)
        .input(channels, height, width)
        .classes(description.classes.len())
        .normalisation(description.preprocessing.normalisation)
        .build()
}

/// Draws the weights of a network; batch normalisations start as the identity. They depend on the
/// seed alone, not on the adapter or on how layers are stored.
///
/// # Errors
/// [`TrainError::Graph`] if the device fails.
pub fn initialise(network: &Network, init: Init, seed: u64) -> Result<(), TrainError> {
    let mut random = fastrand::Rng::with_seed(seed);
    for layer in weighted(network) {
        let mut draws = init.draws(&layer.shape(), &mut random);
        layer.write(network, |part, pair| draws.next(part.len(), pair))?;
        let Some(norm) = &layer.norm else { continue };
        let (zeros, ones) = (vec![0.0; norm.channels], vec![1.0; norm.channels]);
        let identity = NormWeights {
            name: norm.name.clone(),
            weight: ones.clone(),
            bias: zeros.clone(),
            running_mean: zeros,
            running_var: ones,
            num_batches_tracked: 0,
        };
        norm.load(network, &identity)?;
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
        layer.load(network, weights)?;
    }
    Ok(())
}

/// Reads the weights of a network from the device.
///
/// # Errors
/// [`TrainError::Graph`] if the device fails.
pub fn model_of(network: &Network, card: &Card) -> Result<Model, TrainError> {
    let description = describe(network.architecture(), card);
    let layers = weighted(network);
    let layers = layers.iter().map(|layer| layer.read(network)).collect::<Result<_, _>>()?;
    Ok(Model { description, layers })
}

/// Reads the weights of a network from the device and writes them to `path`; see [`Model::save`].
///
/// # Errors
/// [`TrainError`] if the device fails or the file cannot be written.
pub fn save(network: &Network, card: &Card, path: &Path) -> Result<(), TrainError> {
    Ok(model_of(network, card)?.save(path)?)
}

/// The gradients of the last training step in PyTorch's layout, under the names of the parameters;
/// frozen ones have none.
///
/// # Errors
/// [`TrainError::Graph`] if the device fails or the network is not made for training.
pub fn gradients_of(network: &Network) -> Result<Vec<Tensor<'static>>, TrainError> {
    tensors(network, &|i| network.read_gradient(i))
}

/// What is stored like the parameters, in PyTorch's layout under their names.
pub(super) fn tensors(
    network: &Network,
    read: Read<'_>,
) -> Result<Vec<Tensor<'static>>, TrainError> {
    let mut tensors = Vec::new();
    let mut push = |name: &str, shape: Vec<usize>, (weight, bias): Pair| {
        let bias_shape = vec![bias.len()];
        for (part, shape, values) in [("weight", shape, weight), ("bias", bias_shape, bias)] {
            let (name, values) = (format!("{name}.{part}"), Values::F32(values.into()));
            tensors.push(Tensor { name, shape, values });
        }
    };
    for layer in weighted(network) {
        if let Some(values) = layer.torch(network, read)? {
            push(&layer.name, layer.shape(), values);
        }
        let Some(norm) = &layer.norm else { continue };
        if let Some(stored) = read(norm.parameter)? {
            push(&norm.name, vec![norm.channels], norm_to_torch(&stored, norm.channels));
        }
    }
    Ok(tensors)
}

/// The other way round: what `take` gives, as it is stored for each parameter.
pub(super) fn stored(
    network: &Network,
    take: Take<'_>,
) -> Result<Vec<Option<Vec<f32>>>, TrainError> {
    let mut parameters = vec![None; network.parameters().len()];
    for layer in weighted(network) {
        let shape = layer.shape();
        let outputs = shape.first().copied().unwrap_or_default();
        if let Some((weight, bias)) = take(&layer.name, shape, outputs)? {
            let each = weight.len() / outputs.max(1);
            for i in layer.parameters.clone() {
                let part = layer.outputs_of(network, i);
                let rows = &weight[part.start * each..part.end * each];
                layer.store((rows, &bias[part]), parameters[i].insert(Vec::new()));
            }
        }
        let Some(norm) = &layer.norm else { continue };
        if let Some((weight, bias)) = take(&norm.name, vec![norm.channels], norm.channels)? {
            parameters[norm.parameter] = Some(norm_from_torch(&[&weight, &bias]));
        }
    }
    Ok(parameters)
}
