//! Weights in and out of files, in the layout and under the names that PyTorch's users expect.
//!
//! A network keeps its filters and dense weights in the layouts of its kernels
//! ([`crate::shape::Layout`]); PyTorch's `(k, c, r, s)` filters and its flatten order of
//! `c * h * w` exist only here.

mod error;
mod infer;
mod layout;
mod model;
mod names;
mod names_error;
mod naming;
mod onnx;
mod onnx_proto;
mod places;
mod read;
mod recognise;
mod tensor;
mod torch;
mod view;
mod write;

pub use error::WeightsError;
pub use layout::{
    Columns, dense_from_torch, dense_to_torch, filter_from_torch, filter_to_torch, norm_from_torch,
    norm_to_torch,
};
pub use model::{
    CardMetrics, Description, LayerWeights, Model, NormWeights, Origin, Preprocessing,
};
pub use names::{LayerName, torch_names};
pub use names_error::{Mismatch, NamesError};
pub use naming::{Naming, export_tensors};
pub use onnx::write_onnx;
pub use read::{TensorFile, parse_tensors, read_tensors};
pub(crate) use recognise::OPTIMIZER;
pub use recognise::{ImportOptions, Recognised, import, recognise};
pub use tensor::{Tensor, Values};
pub use torch::{PickleError, PickleFault, TorchError, write_pth};
pub use write::write_safetensors;
