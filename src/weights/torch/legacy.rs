//! The form of `torch.save` before 1.6 (PyTorch, torch/serialization.py, `_legacy_save`): five
//! pickles (a magic number, a version, facts of the system, the object, the keys of its storages),
//! then for each key the number of its values (u64) and their bytes.

use std::collections::HashMap;

use safetensors::tensor::Dtype;

use super::super::Tensor;
use super::super::view::Budget;
use super::error::TorchError;
use super::pickle::unpickle;
use super::state_dict::{Storages, tensors};
use super::value::{Pickle, Value};

/// `0x1950a86a20f9469cfc6c` as a pickle has it: opcode, length, little-endian bytes.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
const VERSION: i64 = 1001;

/// True if the bytes begin with the first of the five pickles, whatever its protocol.
pub(crate) fn is_legacy(bytes: &[u8]) -> bool {
    const FRAMED: usize = 11;
    let start = match bytes {
        [0x80, 2..=5, 0x95, ..] => FRAMED,
        [0x80, 2..=5, ..] => 2,
        _ => return false,
    };
    bytes.get(start..).is_some_and(|rest| rest.starts_with(MAGIC))
}

/// The tensors of such a file.
pub(crate) fn read_legacy(bytes: &[u8]) -> Result<Vec<Tensor<'static>>, TorchError> {
    let magic = unpickle(bytes, 0)?;
    let version = unpickle(bytes, magic.end)?;
    if !matches!(version.root(), Value::Int(VERSION)) {
        return Err(wrong(magic.end, "stands another version than 1001"));
    }
    let system = unpickle(bytes, version.end)?;
    if is_big_endian(&system) {
        return Err(TorchError::BigEndian);
    }
    let object = unpickle(bytes, system.end)?;
    let keys = unpickle(bytes, object.end)?;
    let storages = storages(bytes, &object, &keys)?;
    tensors(&object, &storages, &mut Budget::of_file(bytes.len()))
}

fn is_big_endian(system: &Pickle<'_>) -> bool {
    let Value::Dict(facts) = system.root() else { return false };
    facts.iter().any(|(key, value)| {
        matches!(system.values[*key], Value::Str("little_endian"))
            && matches!(system.values[*value], Value::Bool(false))
    })
}

/// The bytes of each storage of the object, in the order of their keys.
fn storages<'a>(
    bytes: &'a [u8],
    object: &Pickle<'a>,
    keys: &Pickle<'a>,
) -> Result<Storages<'a>, TorchError> {
    let Value::List(list) = keys.root() else {
        return Err(wrong(object.end, "stands no list of storages"));
    };
    let types = object.values.iter().filter_map(|value| match value {
        Value::Storage(storage) => Some((storage.key, storage.dtype)),
        _ => None,
    });
    let types: HashMap<&str, Dtype> = types.collect();
    let mut storages = Storages::new();
    let mut at = keys.end;
    for key in list {
        let Value::Str(key) = keys.values[*key] else {
            return Err(wrong(object.end, "stands a storage's key that is no text"));
        };
        let dtype = types.get(key);
        let dtype = dtype.ok_or_else(|| wrong(at, "begins a storage that no tensor uses"))?;
        let cut = || wrong(at, "begins a storage that is cut off");
        let (count, rest) = bytes[at..].split_first_chunk().ok_or_else(cut)?;
        let length = usize::try_from(u64::from_le_bytes(*count)).ok();
        let length = length.and_then(|count| count.checked_mul(dtype.bitsize() / 8));
        let values = length.and_then(|length| rest.get(..length)).ok_or_else(cut)?;
        storages.insert(key, values);
        at += count.len() + values.len();
    }
    Ok(storages)
}

fn wrong(offset: usize, what: &'static str) -> TorchError {
    TorchError::Legacy { offset, what }
}
