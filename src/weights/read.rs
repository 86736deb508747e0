//! Tensors out of files, whatever their format: it is told by a file's content, not by its name.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Metadata, SafeTensorError};

use super::view::{Budget, View, width};
use super::{Tensor, WeightsError, torch};

/// The key of safetensors' metadata that describes a network of this crate, in JSON. It is the only
/// one: with several, a file's bytes would depend on the order of a hash map.
pub(super) const KEY: &str = "vgg_wgpu";
/// The longest header of a safetensors file that is read, in bytes; a tensor takes some 100.
const LONGEST_HEADER: usize = 1 << 24;

/// What a file of tensors holds.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorFile {
    /// The tensors, in the file's order.
    pub tensors: Vec<Tensor<'static>>,
    /// The value of the metadata's key `vgg_wgpu`, if the file is safetensors and has it.
    pub metadata: Option<String>,
}

/// Reads all tensors of a file: safetensors (github.com/huggingface/safetensors), or what PyTorch's
/// `torch.save` wrote, with zip or in the older form without.
///
/// Floats of 16 and 64 bits become 32-bit ones; integers and booleans become 64-bit ones. Nothing
/// of a file is run: its pickle is read by an unpickler that knows state dicts alone, flat or under
/// one of the keys `state_dict`, `model_state_dict`, `model` and `net` of a checkpoint. Tensors
/// take eight times the file's length at most.
///
/// # Errors
/// [`WeightsError`] that names the file and what is wrong with it.
pub fn read_tensors(path: &Path) -> Result<TensorFile, WeightsError> {
    let bytes = fs::read(path).map_err(|source| WeightsError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    parse_tensors(&bytes, path)
}

/// As [`read_tensors`], of bytes that are in memory; errors name `path`.
///
/// # Errors
/// Those of [`read_tensors`], but for the operating system's.
pub fn parse_tensors(bytes: &[u8], path: &Path) -> Result<TensorFile, WeightsError> {
    let torch = |tensors| match tensors {
        Ok(tensors) => Ok(TensorFile { tensors, metadata: None }),
        Err(source) => Err(WeightsError::Torch { path: path.to_owned(), source: Box::new(source) }),
    };
    // A header's length may look like the beginning of another format; none has this byte here.
    if bytes.get(8) == Some(&b'{') {
        safetensors(bytes, path)
    } else if torch::is_archive(bytes) {
        torch(torch::read_archive(bytes))
    } else if torch::is_legacy(bytes) {
        torch(torch::read_legacy(bytes))
    } else {
        let found = describe(bytes);
        Err(WeightsError::UnknownFormat { path: path.to_owned(), found })
    }
}

/// The tensors of a safetensors file.
fn safetensors(bytes: &[u8], path: &Path) -> Result<TensorFile, WeightsError> {
    let format = |source| WeightsError::Format { path: path.to_owned(), source };
    let (metadata, data) = header(bytes).map_err(format)?;
    let mut budget = Budget::of_file(bytes.len());
    let mut tensors = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let type_error = || WeightsError::UnknownType {
            path: path.to_owned(),
            tensor: name.clone(),
            found: info.dtype.to_string(),
        };
        let overflow = || format(SafeTensorError::ValidationOverflow);
        let view = View::contiguous(info.shape.clone()).ok_or_else(overflow)?;
        budget
            .take(view.len(), width(info.dtype), info.shape.len())
            .ok_or_else(|| WeightsError::TooMuch { path: path.to_owned(), tensor: name.clone() })?;
        let (begin, end) = info.data_offsets;
        let values = view.values(info.dtype, &data[begin..end]).ok_or_else(type_error)?;
        tensors.push(Tensor { name, shape: view.into_shape(), values });
    }
    let metadata = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY).cloned());
    Ok(TensorFile { tensors, metadata })
}

/// The header, checked, and the bytes after it, which are as many as it says. The crate's own
/// reader of both adds lengths from the header without a check.
fn header(bytes: &[u8]) -> Result<(Metadata, &[u8]), SafeTensorError> {
    let (length, rest) = bytes.split_first_chunk().ok_or(SafeTensorError::HeaderTooSmall)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (header, data) =
        rest.split_at_checked(length).ok_or(SafeTensorError::InvalidHeaderLength)?;
    if length > LONGEST_HEADER {
        return Err(SafeTensorError::HeaderTooLarge);
    }
    let metadata: Metadata =
        serde_json::from_slice(header).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    if metadata.data_len() != data.len() {
        return Err(SafeTensorError::MetadataIncompleteBuffer);
    }
    Ok((metadata, data))
}

/// What bytes of no known format look like, to finish the sentence "it ...".
fn describe(bytes: &[u8]) -> String {
    const TAR_AT: usize = 257;
    const KNOWN: &[(&[u8], &str)] = &[
        (b"\x80", "is a pickle of Python, but not one of torch.save"),
        (b"\x89HDF", "is an HDF5 file"),
        (b"\x1f\x8b", "is packed with gzip"),
        (b"version https://git-lfs", "is a pointer of Git LFS, not the file that it stands for"),
        (b"<", "begins like a web page"),
    ];
    if bytes.get(TAR_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return "is a tar archive".to_owned();
    }
    if bytes.is_empty() {
        return "is empty".to_owned();
    }
    let known = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic));
    known.map_or_else(
        || format!("begins with the bytes {:02x?}", &bytes[..bytes.len().min(8)]),
        |(_, what)| (*what).to_owned(),
    )
}
