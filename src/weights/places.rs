//! Where the layers of a VGG stand, from the names of its tensors.

use std::collections::{BTreeMap, BTreeSet};

use super::{LayerName, NamesError, Naming, Tensor};

/// Tensors by their names without prefixes.
pub(super) type Tensors = BTreeMap<String, Tensor<'static>>;

/// Convolutions of each block of vgg11, vgg13, vgg16 and vgg19.
const TABLES: [[usize; 5]; 4] =
    [[1, 1, 2, 2, 2], [2, 2, 2, 2, 2], [2, 2, 3, 3, 3], [2, 2, 4, 4, 4]];
/// Places from a dense layer to the next: its ReLU and its dropout stand between.
const STRIDE: usize = 3;

/// Which layers there are.
pub(super) struct Places {
    pub naming: Naming,
    /// Convolutions of each block.
    pub convolutions: Vec<usize>,
    pub batch_norm: bool,
    /// Names of the dense layers, in order.
    pub dense: Vec<String>,
}

impl Places {
    /// Reads the names. A layer that the others leave room for is among the places.
    ///
    /// # Errors
    /// [`NamesError::Unknown`] if no name is a VGG's, [`NamesError::Places`] if the places of the
    /// convolutions are none's.
    pub fn find(tensors: &Tensors) -> Result<Self, NamesError> {
        if let Some(features) = Features::find(tensors) {
            let timm = |name: &String| name.starts_with("pre_logits.") || name.starts_with("head.");
            let mut dense = classifier(tensors);
            let naming = if dense.is_empty() && tensors.keys().any(timm) {
                Naming::Timm
            } else {
                Naming::Torchvision
            };
            let (convolutions, batch_norm) = (features.blocks()?, features.batch_norm());
            if dense.is_empty() {
                let names = naming.layer_names(&[], false, 3)?;
                dense = names.into_iter().map(|name| name.layer).collect();
            }
            return Ok(Self { naming, convolutions, batch_norm, dense });
        }
        if let Some(convolutions) = notebook_blocks(tensors)? {
            let after = convolutions.len() + 1;
            let numbers = dense_layers(tensors, "").into_iter();
            let numbers: Vec<usize> = numbers.filter_map(|path| number(&path)).collect();
            let dense = filled(numbers, after).iter().map(usize::to_string).collect();
            return Ok(Self { naming: Naming::D2l, convolutions, batch_norm: false, dense });
        }
        let found = tensors.values().take(5).map(|tensor| tensor.name.clone()).collect();
        Err(NamesError::Unknown { found, count: tensors.len() })
    }

    /// The names of the layers of a network with `convolutions` in each block: its dense layers are
    /// those found, if they are as many.
    ///
    /// # Errors
    /// Those of [`Naming::layer_names`].
    pub fn names(
        &self,
        convolutions: &[usize],
        batch_norm: bool,
        dense: usize,
    ) -> Result<Vec<LayerName>, NamesError> {
        let mut names = self.naming.layer_names(convolutions, batch_norm, dense)?;
        if dense == self.dense.len() {
            let first = names.len() - dense;
            for (name, found) in names[first..].iter_mut().zip(&self.dense) {
                name.layer.clone_from(found);
            }
        }
        Ok(names)
    }
}

/// A place as it is written: small, so that no file makes a long list of places.
fn number(text: &str) -> Option<usize> {
    let number: u16 = text.parse().ok()?;
    (number.to_string() == text).then_some(usize::from(number))
}

/// Places in `features`.
#[derive(Default)]
struct Features {
    /// With a weight of more than one axis.
    filters: BTreeSet<usize>,
    /// With a part that a convolution does not have, or a weight of one axis.
    norms: BTreeSet<usize>,
    /// With any part.
    all: BTreeSet<usize>,
}

impl Features {
    /// None without a convolution.
    fn find(tensors: &Tensors) -> Option<Self> {
        let mut features = Self::default();
        for (name, tensor) in tensors {
            let place = name.strip_prefix("features.").and_then(|rest| rest.split_once('.'));
            let Some((place, part)) = place.and_then(|(at, part)| Some((number(at)?, part))) else {
                continue;
            };
            match (part, tensor.shape.len()) {
                ("weight", 2..) => features.filters.insert(place),
                ("weight" | "running_mean" | "running_var" | "num_batches_tracked", _) => {
                    features.norms.insert(place)
                }
                ("bias", _) => true,
                _ => continue,
            };
            features.all.insert(place);
        }
        (!features.filters.is_empty()).then_some(features)
    }

    /// One normalisation that strayed into the file makes no network with them.
    fn batch_norm(&self) -> bool {
        2 * self.norms.len() > self.filters.len()
    }

    /// Convolutions of each block: from the distances between them, or, if one is missing or too
    /// many, those of the table that has all of them.
    fn blocks(&self) -> Result<Vec<usize>, NamesError> {
        let step = if self.batch_norm() { 3 } else { 2 };
        let all: Vec<usize> = self.all.difference(&self.norms).copied().collect();
        let filters: Vec<usize> = self.filters.iter().copied().collect();
        blocks_by_distance(&all, step)
            .or_else(|error| table(&all, step).ok_or(error))
            .or_else(|error| blocks_by_distance(&filters, step).map_err(|_| error))
            .or_else(|error| table(&filters, step).ok_or(error))
    }
}

fn blocks_by_distance(places: &[usize], step: usize) -> Result<Vec<usize>, NamesError> {
    let wrong = |last: String, next: usize| {
        Err(NamesError::Places { last, next: format!("features.{next}") })
    };
    let Some((&first, _)) = places.split_first().filter(|(first, _)| **first == 0) else {
        let next = places.first().copied().unwrap_or(0);
        return wrong("the start of features".to_owned(), next);
    };
    let (mut blocks, mut last) = (vec![1], first);
    for &place in &places[1..] {
        match place - last {
            distance if distance == step => {
                let of_block = blocks.len() - 1;
                blocks[of_block] += 1;
            }
            distance if distance == step + 1 => blocks.push(1),
            _ => return wrong(format!("features.{last}"), place),
        }
        last = place;
    }
    Ok(blocks)
}

fn table(places: &[usize], step: usize) -> Option<Vec<usize>> {
    let has_all = |table: &&[usize; 5]| {
        let convolution =
            |block: usize, i: usize| table[..block].iter().sum::<usize>() * step + block + i * step;
        let of_block = |block: usize| (0..table[block]).map(move |i| convolution(block, i));
        let known: BTreeSet<usize> = (0..5).flat_map(of_block).collect();
        places.iter().all(|place| known.contains(place))
    };
    TABLES.iter().find(has_all).map(|table| table.to_vec())
}

/// What stands between `prefix` and `.weight` or `.bias`, except where the weight has one axis.
fn dense_layers(tensors: &Tensors, prefix: &str) -> BTreeSet<String> {
    let layer = |name: &String| {
        let path = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias"))?;
        let vector = |tensor: &Tensor<'_>| tensor.shape.len() < 2;
        if tensors.get(&format!("{path}.weight")).is_some_and(vector) {
            return None;
        }
        path.strip_prefix(prefix).map(str::to_owned)
    };
    tensors.keys().filter_map(layer).collect()
}

/// The dense layers of torchvision's `classifier`, in the order of their numbers: of a layer in a
/// layer (`classifier.6.1`), of each; `classifier` alone is one as well.
fn classifier(tensors: &Tensors) -> Vec<String> {
    let path = |text: String| {
        let numbers = text.split('.').skip(1).map(number);
        (text.is_empty() || text.starts_with('.')).then(|| numbers.collect::<Option<Vec<_>>>())?
    };
    let paths = dense_layers(tensors, "classifier").into_iter().filter_map(path);
    let mut paths: BTreeSet<Vec<usize>> = paths.collect();
    let simple: Option<Vec<usize>> =
        paths.iter().map(|path| (path.len() == 1).then(|| path[0])).collect();
    if let Some(numbers) = simple.filter(|numbers| !numbers.is_empty()) {
        paths = filled(numbers, 0).into_iter().map(|number| vec![number]).collect();
    }
    let name = |path: Vec<usize>| {
        path.iter().fold("classifier".to_owned(), |name, n| format!("{name}.{n}"))
    };
    paths.into_iter().map(name).collect()
}

/// The places of dense layers with those that are missing between them, and between `start`, where
/// the first one may stand, and them.
fn filled(mut numbers: Vec<usize>, start: usize) -> Vec<usize> {
    numbers.retain(|number| *number >= start);
    numbers.sort_unstable();
    let Some(&first) = numbers.first() else {
        return (0..3).map(|i| start + STRIDE * i).collect();
    };
    let mut all: Vec<usize> = (start + (first - start) % STRIDE..first).step_by(STRIDE).collect();
    for (i, &number) in numbers.iter().enumerate() {
        all.push(number);
        let next = numbers.get(i + 1).copied().unwrap_or(0);
        all.extend((number + STRIDE..next).step_by(STRIDE));
    }
    all
}

/// Convolutions of each block of the notebook's network, none if no name is like its.
fn notebook_blocks(tensors: &Tensors) -> Result<Option<Vec<usize>>, NamesError> {
    let mut blocks: BTreeMap<usize, usize> = BTreeMap::new();
    for path in dense_layers(tensors, "") {
        let place = path.split_once('.').and_then(|(a, b)| Some((number(a)?, number(b)?)));
        if let Some((block, place)) = place.filter(|(_, place)| place % 2 == 0) {
            let count = blocks.entry(block).or_default();
            *count = (place / 2 + 1).max(*count);
        }
    }
    if let Some((i, (&block, _))) = blocks.iter().enumerate().find(|(i, (block, _))| i != *block) {
        let last = i.checked_sub(1).map_or("the start".to_owned(), |last| format!("block {last}"));
        return Err(NamesError::Places { last, next: format!("block {block}") });
    }
    Ok((!blocks.is_empty()).then(|| blocks.into_values().collect()))
}
