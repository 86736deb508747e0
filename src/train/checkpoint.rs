//! A run between two of its steps, in a file that it goes on from.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::model::{self, Pair, model_of};
use super::{Card, FitOptions, Reached, TrainError, Trainer, load};
use crate::graph::{Chosen, Network};
use crate::ops::{Choices, Optimizer};
use crate::weights::{
    Description, ImportOptions, Model, OPTIMIZER, Tensor, Values, WeightsError, read_tensors,
    recognise, write_safetensors,
};

/// What a run was doing, and how far it had come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Images to train with.
    pub images: u64,
    /// Tells their set apart, see [`Trainer::fingerprint`].
    pub fingerprint: u32,
    /// The adapter and its driver.
    pub adapter: String,
    /// Images worked on at a time.
    pub micro_batch: usize,
    /// How it learns.
    pub options: FitOptions,
    /// What by.
    pub optimizer: Optimizer,
    /// Where it stands.
    pub reached: Reached,
    /// The kernel variants that ran where there was a choice: with these, and the same adapter and
    /// micro-batch, a run has the same bits.
    pub choices: Vec<Chosen>,
}

impl RunState {
    /// The state of a run.
    pub fn of(trainer: &Trainer, options: &FitOptions, reached: &Reached) -> Self {
        let network = trainer.network();
        let facts = network.gpu().facts();
        Self {
            images: trainer.train_images() as u64,
            fingerprint: trainer.fingerprint(),
            adapter: format!("{} ({})", facts.name, facts.driver),
            micro_batch: network.plan().micro_batch,
            options: *options,
            optimizer: network.options().optimizer,
            reached: reached.clone(),
            choices: trainer.choices(),
        }
    }

    /// What ran where there was a choice, for [`crate::graph::NetworkOptions::choices`].
    pub fn choices(&self) -> Choices {
        let mut choices = Choices::default();
        for Chosen { task, variant, .. } in &self.choices {
            choices.set(task.clone(), variant.clone());
        }
        choices
    }

    /// Fails unless `trainer` with `options` would go on with the batches that the run has not had.
    ///
    /// # Errors
    /// [`TrainError::OtherRun`] that names the first difference.
    pub fn check(&self, trainer: &Trainer, options: &FitOptions) -> Result<(), TrainError> {
        let before = &self.options;
        let differs = |what, before: &dyn ToString, now: &dyn ToString| {
            let (before, now) = (before.to_string(), now.to_string());
            if before == now { Ok(()) } else { Err(TrainError::OtherRun { what, before, now }) }
        };
        differs("train images", &self.images, &trainer.train_images())?;
        differs("labels (as a checksum)", &self.fingerprint, &trainer.fingerprint())?;
        differs("images in a batch", &before.batch, &options.batch)?;
        differs("seed", &before.seed, &options.seed)?;
        differs("shuffling", &before.shuffle, &options.shuffle)
    }
}

/// A run that was kept: its network, what its optimiser keeps, and its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The network with its weights.
    pub model: Model,
    /// What the run was doing.
    pub run: RunState,
    /// `optimizer.N.NAME`: moment N of the parameter NAME, in PyTorch's layout.
    moments: BTreeMap<String, Tensor<'static>>,
}

/// The metadata of the file: a model's, and the run's state in TOML, which has NaN and infinity.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    #[serde(flatten)]
    description: Description,
    run: String,
}

impl Checkpoint {
    /// Reads a run that [`save_checkpoint`] wrote.
    ///
    /// # Errors
    /// [`TrainError::Weights`] if the file cannot be read, [`TrainError::NoCheckpoint`] if it is
    /// something else.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let file = read_tensors(path)?;
        let refuse = |reason: String| TrainError::NoCheckpoint { path: path.to_owned(), reason };
        let text = file.metadata.ok_or_else(|| refuse("it has no metadata".to_owned()))?;
        let Metadata { description, run } =
            serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let run = toml::from_str(&run).map_err(|error| refuse(error.to_string()))?;
        let (moments, weights): (Vec<_>, Vec<_>) =
            file.tensors.into_iter().partition(|tensor| tensor.name.starts_with(OPTIMIZER));
        let options = ImportOptions { description: Some(description), ..Default::default() };
        let model = recognise(weights, &options)?.model;
        let moments = moments.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        Ok(Self { model, run, moments })
    }

    /// Sets weights and moments of a network to those of the run.
    ///
    /// # Errors
    /// [`TrainError::OtherRun`] if it learns by another rule, [`TrainError::Weights`] if the run is one of
    /// another network, [`TrainError::Graph`] if the device fails.
    pub fn restore(&self, network: &Network) -> Result<(), TrainError> {
        let (before, now) = (self.run.optimizer.form(), network.options().optimizer.form());
        if before != now {
            let (before, now) = (before.to_string(), now.to_string());
            return Err(TrainError::OtherRun { what: "optimiser", before, now });
        }
        load(network, &self.model)?;
        let mut moments = vec![Vec::new(); network.parameters().len()];
        for number in 0.. {
            let take = |name: &str, shape, outputs| self.moment(number, name, shape, outputs);
            let stored = model::stored(network, &take)?;
            if stored.iter().all(Option::is_none) {
                break;
            }
            for (moments, stored) in moments.iter_mut().zip(stored) {
                moments.extend(stored);
            }
        }
        for (i, moments) in moments.iter().enumerate() {
            network.write_moments(i, moments)?;
        }
        Ok(())
    }

    /// A moment of a layer's weight and bias.
    fn moment(
        &self,
        number: usize,
        layer: &str,
        shape: Vec<usize>,
        outputs: usize,
    ) -> Result<Option<Pair>, TrainError> {
        let part = |part: &str, expected: Vec<usize>| {
            let Some(tensor) = self.moments.get(&format!("{OPTIMIZER}{number}.{layer}.{part}"))
            else {
                return Ok(None);
            };
            match &tensor.values {
                Values::F32(values) if tensor.shape == expected => Ok(Some(values.to_vec())),
                _ => {
                    let (layer, found) = (tensor.name.clone(), tensor.shape.clone());
                    Err(WeightsError::Shape { layer, found, expected })
                }
            }
        };
        Ok(part("weight", shape)?.zip(part("bias", vec![outputs])?))
    }
}

/// Writes a run as it stands to `path`: beside it, synced, then renamed over it. The file is a model's
/// too, for those who want the network alone.
///
/// # Errors
/// [`TrainError`] if the device fails or the file cannot be written.
pub fn save_checkpoint(
    trainer: &Trainer,
    card: &Card,
    run: &RunState,
    path: &Path,
) -> Result<(), TrainError> {
    let network = trainer.network();
    let model = model_of(network, card)?;
    let mut tensors = model.tensors();
    for number in 0..network.moments() {
        let read = |i| Ok(network.read_moments(i)?.into_iter().nth(number));
        let moments = model::tensors(network, &read)?;
        let named = |tensor: Tensor<'static>| {
            let name = format!("{OPTIMIZER}{number}.{}", tensor.name);
            Tensor { name, ..tensor }
        };
        tensors.extend(moments.into_iter().map(named));
    }
    let refuse = |reason| TrainError::NoCheckpoint { path: path.to_owned(), reason };
    let run = toml::to_string(run).map_err(|error| refuse(error.to_string()))?;
    let description = model.description.clone();
    let metadata = serde_json::to_string(&Metadata { description, run })
        .map_err(|error| refuse(error.to_string()))?;
    Ok(write_safetensors(path, &tensors, Some(&metadata))?)
}
