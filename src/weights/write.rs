//! Tensors into files, streamed: beside what they hold already, writers take little memory.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Metadata, SafeTensorError, TensorInfo, View};

use super::read::KEY;
use super::{Tensor, WeightsError};
use crate::files::write_beside_with;

/// Writes tensors as safetensors, the wider types first and then by name, as the format's own
/// writers do; `description`, if given, becomes the metadata's entry `vgg_wgpu`. The same tensors
/// give the same bytes. The file replaces another one whole or not at all.
///
/// # Errors
/// [`WeightsError::Length`] and [`WeightsError::Twice`] of tensors that make no file,
/// [`WeightsError::Io`] if it cannot be written.
pub fn write_safetensors(
    path: &Path,
    tensors: &[Tensor<'_>],
    description: Option<&str>,
) -> Result<(), WeightsError> {
    check(tensors)?;
    let mut tensors: Vec<&Tensor<'_>> = tensors.iter().collect();
    tensors.sort_by(|a, b| b.dtype().cmp(&a.dtype()).then_with(|| a.name.cmp(&b.name)));
    let header = header(&tensors, description)
        .map_err(|source| WeightsError::Format { path: path.to_owned(), source })?;
    write_file(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|tensor| file.write_all(&tensor.values.bytes()))
    })
}

/// The JSON of the header, with spaces up to a multiple of eight bytes.
fn header(tensors: &[&Tensor<'_>], description: Option<&str>) -> Result<Vec<u8>, SafeTensorError> {
    let mut end = 0;
    let info = |tensor: &&Tensor<'_>| {
        let begin = end;
        end += tensor.data_len();
        let data_offsets = (begin, end);
        let info = TensorInfo { dtype: tensor.dtype(), shape: tensor.shape.clone(), data_offsets };
        (tensor.name.clone(), info)
    };
    let infos = tensors.iter().map(info).collect();
    let description = description.map(|text| HashMap::from([(KEY.to_owned(), text.to_owned())]));
    let mut header = serde_json::to_vec(&Metadata::new(description, infos)?)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

/// Finds tensors that no file can hold.
pub(super) fn check(tensors: &[Tensor<'_>]) -> Result<(), WeightsError> {
    let mut names = HashSet::new();
    for Tensor { name, shape, values } in tensors {
        let wanted = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        if wanted != Some(values.len()) {
            let (tensor, shape) = (name.clone(), shape.clone());
            return Err(WeightsError::Length { tensor, shape, found: values.len() });
        }
        if !names.insert(name) {
            return Err(WeightsError::Twice { tensor: name.clone() });
        }
    }
    Ok(())
}

/// Writes a file beside, syncs and renames it.
pub(super) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), WeightsError> {
    write_beside_with(path, write).map_err(|source| WeightsError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}
