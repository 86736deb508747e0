//! Weights in and out of files.

mod write_beside;

pub(crate) use write_beside::write_beside;
