//! Which network a list of tensors belongs to, from the places of its layers and their shapes.

use super::naming::{SIDE, pooled_map};
use super::places::{Places, Tensors};
use super::{Description, ImportOptions, LayerName, NamesError, Naming, Preprocessing};
use crate::shape::{Head, Normalisation, ShapeError};

/// The resolution of a network that pools to 7x7 and takes any: that of ImageNet's networks.
const RESOLUTION: usize = 224;
/// ImageNet's classes: networks of so many have its preprocessing.
const IMAGENET: usize = 1000;

/// The description of the network at `places` with `names`, and what of it was a choice.
///
/// A size is what most of the tensors that share it say, so that one of a wrong shape does not
/// change what is expected of the others.
pub(super) fn describe(
    places: &Places,
    names: &[LayerName],
    tensors: &Tensors,
    options: &ImportOptions,
) -> Result<(Description, Vec<String>), NamesError> {
    let (convolutions, dense) = names.split_at(names.len() - places.dense.len());
    let blocks = blocks(places, convolutions, tensors)?;
    let first = format!("{}.weight", convolutions[0].layer);
    let channels = size(tensors, &first, 1).unwrap_or(3);
    if !matches!(channels, 1 | 3) {
        return Err(ShapeError::Channels { found: channels }.into());
    }
    let mut widths = widths(places.naming, dense, tensors);
    let classes = widths.pop().unwrap_or_default();
    let shape = tensors.get(&format!("{}.weight", dense[0].layer)).map(|tensor| &tensor.shape);
    let inputs = shape.map(|shape| shape.iter().skip(1).product());
    let last = blocks.last().map_or(channels, |block| block[1]);
    let (head, resolution, notes) =
        input_size(places, options, &Reads { layer: &dense[0].layer, inputs, channels: last })?;
    let imagenet = places.naming != Naming::D2l && (channels, classes) == (3, IMAGENET);
    // 256 for 224, as torchvision and the authors have it.
    let preprocessing = imagenet.then(|| Preprocessing {
        resize: Some(resolution * 8 / 7),
        normalisation: Normalisation::IMAGENET,
    });
    let description = Description {
        blocks,
        batch_norm: places.batch_norm,
        head,
        hidden: widths,
        dropout: 0.5,
        input: [channels, resolution, resolution],
        classes: (0..classes).map(|class| class.to_string()).collect(),
        preprocessing: preprocessing.unwrap_or_default(),
        origin: None,
    };
    Ok((description, notes))
}

/// The size of a tensor along an axis.
fn size(tensors: &Tensors, name: &str, axis: usize) -> Option<usize> {
    tensors.get(name)?.shape.get(axis).copied()
}

/// What the tensors say about a layer's outputs: its own, those of its normalisation, and the
/// weight of the layer that reads them.
fn outputs(tensors: &Tensors, layer: &LayerName, next: Option<&LayerName>) -> Vec<usize> {
    let own = ["weight", "bias"].map(|part| size(tensors, &format!("{}.{part}", layer.layer), 0));
    let norm = ["weight", "bias", "running_mean", "running_var"].map(|part| {
        layer.norm.as_ref().and_then(|norm| size(tensors, &format!("{norm}.{part}"), 0))
    });
    let next = next.and_then(|next| size(tensors, &format!("{}.weight", next.layer), 1));
    own.into_iter().chain(norm).chain([next]).flatten().collect()
}

/// The value said most often, the first of several; and if it is the only one.
fn favourite(votes: &[usize]) -> Option<(usize, bool)> {
    let count = |value: usize| votes.iter().filter(|vote| **vote == value).count();
    let most = votes.iter().map(|&vote| count(vote)).max()?;
    let first = votes.iter().copied().find(|&vote| count(vote) == most)?;
    let only = votes.iter().all(|&vote| vote == first || count(vote) < most);
    Some((first, only))
}

/// Convolutions and channels of each block.
fn blocks(
    places: &Places,
    convolutions: &[LayerName],
    tensors: &Tensors,
) -> Result<Vec<[usize; 2]>, NamesError> {
    let mut blocks = Vec::with_capacity(places.convolutions.len());
    let mut first = 0;
    for &count in &places.convolutions {
        let votes: Vec<Vec<usize>> = (first..first + count)
            .map(|i| outputs(tensors, &convolutions[i], convolutions.get(i + 1)))
            .collect();
        let layer = &convolutions[first].layer;
        let Some((channels, _)) = favourite(&votes.concat()) else {
            let last = first.checked_sub(1).map_or("the start", |i| &convolutions[i].layer);
            let next = convolutions.get(first + count).map_or("the end", |next| &next.layer);
            return Err(NamesError::Places { last: last.to_owned(), next: next.to_owned() });
        };
        let decided = |votes: &Vec<usize>| favourite(votes).filter(|(_, only)| *only);
        let own = votes.iter().map(|votes| decided(votes).map_or(channels, |(own, _)| own));
        let own: Vec<usize> = own.collect();
        if own.iter().any(|own| *own != channels) {
            let block = blocks.len() + 1;
            return Err(NamesError::Unequal { block, layer: layer.clone(), channels: own });
        }
        blocks.push([count, channels]);
        first += count;
    }
    Ok(blocks)
}

/// Outputs of the dense layers; where no tensor tells, those of the published networks.
fn widths(naming: Naming, dense: &[LayerName], tensors: &Tensors) -> Vec<usize> {
    let published = |i: usize| match (i + 1 < dense.len(), naming) {
        (true, _) => 4096,
        (false, Naming::D2l) => 10,
        (false, _) => IMAGENET,
    };
    let width = |i: usize| {
        favourite(&outputs(tensors, &dense[i], dense.get(i + 1))).map_or(published(i), |(of, _)| of)
    };
    (0..dense.len()).map(width).collect()
}

/// The first dense layer.
struct Reads<'a> {
    layer: &'a str,
    /// Its inputs, if its weight is there.
    inputs: Option<usize>,
    /// Channels of the map that it reads.
    channels: usize,
}

/// The head, the resolution, and what of them was a choice.
fn input_size(
    places: &Places,
    options: &ImportOptions,
    reads: &Reads<'_>,
) -> Result<(Head, usize, Vec<String>), NamesError> {
    let blocks = places.convolutions.len();
    let least = least(blocks)?;
    let side = reads.side();
    let pools = places.naming != Naming::D2l && side.is_none_or(|side| side == SIDE);
    let head = options.head.unwrap_or(if pools { Head::AvgPool7 } else { Head::Flatten });
    let (resolution, choice) = if head == Head::AvgPool7 {
        let any = format!("any resolution of at least {least} is pooled to 7x7");
        (RESOLUTION.max(least), any)
    } else {
        let side = match (side, reads.inputs) {
            (Some(side), _) => side,
            (None, None) => SIDE,
            (None, Some(inputs)) => {
                let (layer, channels) = (reads.layer.to_owned(), reads.channels);
                return Err(NamesError::Inputs { layer, inputs, channels });
            }
        };
        let resolution = side.checked_mul(least).ok_or_else(too_large)?;
        (resolution, format!("several resolutions pool to {side}x{side}"))
    };
    let mut notes = Vec::new();
    let resolution = if let Some(resize) = options.resize {
        check_resize(resize, (resolution / least).max(1), blocks, head)?;
        resize
    } else {
        notes.push(format!("{choice}; {resolution} is taken, --resize fixes another"));
        resolution
    };
    if places.naming == Naming::Timm && resolution / least > SIDE {
        notes.push(format!(
            "at {resolution} the blocks leave more than 7x7: timm slides its classifier over the \
             map and averages, here the map is pooled to 7x7"
        ));
    }
    Ok((head, resolution, notes))
}

impl Reads<'_> {
    /// Rows and columns of the map, if it can be a square.
    fn side(&self) -> Option<usize> {
        let pixels = self.inputs.filter(|inputs| inputs % self.channels == 0)? / self.channels;
        let side = pixels.isqrt();
        (side > 0 && side * side == pixels).then_some(side)
    }
}

/// The smallest resolution of which `blocks` blocks leave a pixel.
fn least(blocks: usize) -> Result<usize, NamesError> {
    match u32::try_from(blocks) {
        Ok(blocks @ 0..32) => Ok(1 << blocks),
        _ => Err(too_large()),
    }
}

fn too_large() -> NamesError {
    ShapeError::TooLarge { what: "the input".to_owned(), elements: u128::MAX }.into()
}

/// An error unless the blocks leave a pixel of a `resize` x `resize` input, and with
/// [`Head::Flatten`] `side` x `side`.
pub(super) fn check_resize(
    resize: usize,
    side: usize,
    blocks: usize,
    head: Head,
) -> Result<(), NamesError> {
    let step = least(blocks)?;
    let found = resize / step;
    if head == Head::Flatten && found != side {
        let least = side.saturating_mul(step);
        let most = least.saturating_add(step - 1);
        return Err(NamesError::Resize { resize, found, side, least, most });
    }
    match (found, resize.checked_ilog2()) {
        (0, None) => Err(ShapeError::Zero { what: "the resolution" }.into()),
        (0, Some(halvings)) => {
            let block = halvings as usize + 1;
            Err(ShapeError::Collapsed { block, blocks, height: 1, width: 1, least: step }.into())
        }
        _ => Ok(()),
    }
}

/// `description` with what `options` ask for in its place.
///
/// # Errors
/// [`NamesError`] if they do not fit, or if no network can be as described.
pub(super) fn adapt(
    mut description: Description,
    options: &ImportOptions,
) -> Result<Description, NamesError> {
    let counts = description.blocks.as_flattened();
    if counts.is_empty() || counts.contains(&0) {
        return Err(ShapeError::Zero { what: "a block's convolutions and channels" }.into());
    }
    description.head = options.head.unwrap_or(description.head);
    if let Some(resize) = options.resize {
        let pooled = pooled_map(&description);
        let blocks = description.blocks.len();
        check_resize(resize, pooled.height.max(1), blocks, description.head)?;
        let [channels, ..] = description.input;
        description.input = [channels, resize, resize];
    }
    Ok(description)
}
