use std::io;
use std::path::PathBuf;

use safetensors::SafeTensorError;
use thiserror::Error;

use super::{NamesError, TorchError};

/// Why a model file cannot be read or written.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: read or write.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is no safetensors file, or a damaged one.
    #[error("{} is no whole safetensors file", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        source: SafeTensorError,
    },
    /// The file is a PyTorch file that cannot be read.
    #[error("{} cannot be read as a file of torch.save", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<TorchError>,
    },
    /// The file is of no format that holds tensors.
    #[error(
        "{} is no file of tensors that is known: it {found}. Known are safetensors, and the files \
         of torch.save with zip (PyTorch 1.6 and newer) and without (0.1.10 to 1.5); not known are \
         TorchScript archives and the tar files of PyTorch before 0.1.10", path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: String,
    },
    /// A tensor's numbers are of a type that is not read.
    #[error(
        "{}: tensor {tensor} holds {found}, expected floats of 16 to 64 bits, integers or booleans",
        path.display()
    )]
    UnknownType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type found.
        found: String,
    },
    /// The tensors would take far more memory than the file.
    #[error(
        "{}: with tensor {tensor} the tensors take more than eight times the file's length",
        path.display()
    )]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor to be written has more or fewer values than its shape.
    #[error("tensor {tensor} has {found} values, its shape is {shape:?}")]
    Length {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its values.
        found: usize,
    },
    /// Two tensors to be written have one name.
    #[error("two tensors have the name {tensor}")]
    Twice {
        /// The name.
        tensor: String,
    },
    /// The description cannot be understood.
    #[error("the description of the network in {} cannot be read", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        source: serde_json::Error,
    },
    /// A layer has another shape than the network wants.
    #[error("layer {layer}: the model has a weight of {found:?}, the network expects {expected:?}")]
    Shape {
        /// The layer.
        layer: String,
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected.
        expected: Vec<usize>,
    },
    /// The tensors of a file are no VGG, or not the one that it describes.
    #[error("{} holds no network that can be read", path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// What is wrong with its tensors.
        source: Box<NamesError>,
    },
    /// The tensors are no VGG, or the VGG has no such tensors.
    #[error("{0}")]
    Names(#[source] Box<NamesError>),
}

impl From<NamesError> for WeightsError {
    fn from(error: NamesError) -> Self {
        Self::Names(Box::new(error))
    }
}
