//! From a pickle and its storages to tensors.

use std::collections::{HashMap, HashSet};

use super::super::Tensor;
use super::super::view::{Budget, View, width};
use super::error::{TorchError, shown};
use super::value::{Id, Pickle, Rebuild, Storage, Value};

/// Under which keys of a checkpoint a state dict is looked for, in this order.
const NESTED: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];
/// PyTorch's tensors have no more axes than this.
const MOST_AXES: usize = 64;

/// The bytes of each storage, by its key.
pub(super) type Storages<'a> = HashMap<&'a str, &'a [u8]>;

/// The tensors of the state dict that the pickle is, or has in one of its entries. Other values
/// beside them are left out.
pub(super) fn tensors(
    pickle: &Pickle<'_>,
    storages: &Storages<'_>,
    budget: &mut Budget,
) -> Result<Vec<Tensor<'static>>, TorchError> {
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for (name, rebuild) in entries(pickle)? {
        if !names.insert(name) {
            let what = "its name is given twice";
            return Err(TorchError::Tensor { tensor: shown(name), what });
        }
        tensors.push(tensor(name, rebuild, pickle, storages, budget)?);
    }
    Ok(tensors)
}

/// Names and tensors of the state dict.
fn entries<'p>(pickle: &'p Pickle<'_>) -> Result<Vec<(&'p str, Rebuild)>, TorchError> {
    let missing = |found: String| TorchError::NoStateDict { found };
    let Value::Dict(root) = pickle.root() else {
        return Err(missing(format!("a {}", pickle.root().kind())));
    };
    let nested = NESTED.iter().filter_map(|wanted| {
        let is_wanted = |key: Id| matches!(&pickle.values[key], Value::Str(key) if key == wanted);
        let (_, value) = root.iter().find(|(key, _)| is_wanted(*key))?;
        match &pickle.values[*value] {
            Value::Dict(inner) => Some(inner),
            _ => None,
        }
    });
    let of = |dict: &'p Vec<(Id, Id)>| {
        let tensor = |(key, value): &(Id, Id)| match (&pickle.values[*key], &pickle.values[*value])
        {
            (Value::Str(name), Value::Tensor(rebuild)) => Some((*name, *rebuild)),
            _ => None,
        };
        dict.iter().filter_map(tensor).collect::<Vec<_>>()
    };
    let found = nested.chain([root]).map(of).find(|tensors| !tensors.is_empty());
    found.ok_or_else(|| {
        let key = |(key, _): &(Id, Id)| match &pickle.values[*key] {
            Value::Str(key) => shown(key),
            other => format!("a {}", other.kind()),
        };
        let keys: Vec<String> = root.iter().take(10).map(key).collect();
        missing(format!("a dict with the keys [{}]", keys.join(", ")))
    })
}

fn tensor(
    name: &str,
    rebuild: Rebuild,
    pickle: &Pickle<'_>,
    storages: &Storages<'_>,
    budget: &mut Budget,
) -> Result<Tensor<'static>, TorchError> {
    let wrong = |what| TorchError::Tensor { tensor: shown(name), what };
    let Value::Storage(storage) = &pickle.values[rebuild.storage] else {
        return Err(wrong("its storage is no storage"));
    };
    let (bytes, count) = numbers(name, storage, storages)?;
    let offset = size(pickle, rebuild.offset).ok_or_else(|| wrong("its offset is no offset"))?;
    let shape = sizes(pickle, rebuild.size).ok_or_else(|| wrong("its size is no shape"))?;
    let strides = sizes(pickle, rebuild.stride).ok_or_else(|| wrong("its stride is no stride"))?;
    let axes = shape.len();
    let view = View::new(offset, shape.clone(), strides.clone(), count)
        .ok_or_else(|| TorchError::Bounds { tensor: shown(name), shape, strides, offset, count })?;
    budget
        .take(view.len(), width(storage.dtype), axes)
        .ok_or_else(|| TorchError::TooMuch { tensor: shown(name) })?;
    let values = view.values(storage.dtype, bytes);
    let values = values.ok_or_else(|| wrong("its numbers are of a type that is not read"))?;
    Ok(Tensor { name: name.to_owned(), shape: view.into_shape(), values })
}

/// A storage's bytes, and how many numbers they are.
fn numbers<'a>(
    name: &str,
    storage: &Storage<'_>,
    storages: &Storages<'a>,
) -> Result<(&'a [u8], usize), TorchError> {
    let (tensor, key) = (|| shown(name), || shown(storage.key));
    let missing = || TorchError::NoStorage { tensor: tensor(), key: key() };
    let bytes = *storages.get(storage.key).ok_or_else(missing)?;
    let each = storage.dtype.bitsize() / 8;
    let expected = usize::try_from(storage.count).ok().and_then(|count| count.checked_mul(each));
    if expected != Some(bytes.len()) {
        return Err(TorchError::StorageLength {
            tensor: tensor(),
            key: key(),
            found: bytes.len(),
            expected: format!("{} times {each}", storage.count),
        });
    }
    Ok((bytes, bytes.len() / each))
}

/// A number that is not negative.
fn size(pickle: &Pickle<'_>, id: Id) -> Option<usize> {
    match pickle.values[id] {
        Value::Int(size) => usize::try_from(size).ok(),
        _ => None,
    }
}

/// A tuple of such numbers.
fn sizes(pickle: &Pickle<'_>, id: Id) -> Option<Vec<usize>> {
    match &pickle.values[id] {
        Value::Tuple(sizes) if sizes.len() <= MOST_AXES => {
            sizes.iter().map(|id| size(pickle, *id)).collect()
        }
        _ => None,
    }
}
