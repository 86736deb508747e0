use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::history::HistoryError;
use super::plot::PlotError;
use crate::data::ReadError;
use crate::gpu::GpuError;
use crate::graph::GraphError;
use crate::weights::WeightsError;

/// Why a training run ended early.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The loss of a batch is no longer a number.
    #[error(
        "the train loss became {loss} in epoch {epoch}, at image {images} of it: the run diverged"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
        /// Images trained on in this epoch, those of the batch included.
        images: u64,
        /// NaN or infinity.
        loss: f64,
    },
    /// A set without images.
    #[error("there are no {which} images")]
    NoImages {
        /// `train` or `test`.
        which: &'static str,
    },
    /// A batch that would hold no images.
    #[error("a batch of 0 images was asked for; it takes at least 1")]
    EmptyBatch,
    /// More images in a batch than the network was made for, of a set that is read batch by batch.
    #[error("batches of {asked} images were asked for, and the network was made for {most}")]
    BatchTooLarge {
        /// Images of a batch.
        asked: usize,
        /// The most there is room for: `NetworkOptions::batch`.
        most: usize,
    },
    /// An image that could not be read as the run went on.
    #[error("image {place} of the set could not be read")]
    Image {
        /// Its number, from 0.
        place: u32,
        /// What the set says.
        source: ReadError,
    },
    /// The run folder already holds a run.
    #[error("{} already holds a run; nothing was changed", path.display())]
    FolderTaken {
        /// The folder.
        path: PathBuf,
    },
    /// A file that holds no run to go on with.
    #[error("{} holds no run that could go on: {reason}", path.display())]
    NoCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A run cannot go on in another way than it began.
    #[error("the run cannot go on: it began with {before} as {what}, and now there is {now}")]
    OtherRun {
        /// What differs.
        what: &'static str,
        /// As it was.
        before: String,
        /// As it is.
        now: String,
    },
    /// A file or folder of the run could not be made.
    #[error("cannot create {}", path.display())]
    Create {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file of the run could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The history could not be written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The curves could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The model could not be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The network could not be built or run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The device failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}
