use std::io;
use std::path::PathBuf;

use safetensors::SafeTensorError;
use thiserror::Error;

use super::NamesError;

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
    /// The file does not say which network its tensors belong to.
    #[error(
        "{} has no entry '{key}' in its metadata, which names the network: it was not written by \
         this program", path.display()
    )]
    NoDescription {
        /// The file.
        path: PathBuf,
        /// The key that is missing.
        key: &'static str,
    },
    /// The description cannot be understood.
    #[error("the description of the network in {} cannot be read", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        source: serde_json::Error,
    },
    /// A tensor of the network is not in the file.
    #[error("{} has no tensor {tensor}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor's numbers are not 32-bit floats.
    #[error("{}: tensor {tensor} holds {found}, expected F32", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type found.
        found: String,
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
    /// The tensors are no VGG, or the VGG has no such tensors.
    #[error(transparent)]
    Names(#[from] NamesError),
}
