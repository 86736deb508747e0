//! Files of PyTorch's `torch.save`, read without running anything and written without Python.

mod archive;
mod error;
mod legacy;
mod opcode;
mod pickle;
mod state_dict;
mod value;
mod write;

pub(super) use archive::{is_archive, read_archive};
pub use error::{PickleError, PickleFault, TorchError};
pub(super) use legacy::{is_legacy, read_legacy};
pub use write::write_pth;
