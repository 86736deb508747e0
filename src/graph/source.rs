//! Image sets on the device.

use super::{Architecture, GraphError, SourceShape};
use crate::gpu::{Buffer, BufferRange, Gpu};
use crate::ops::{Augmentation, Pictures, ResizeBilinear, ResizePillow, Shard, label_words};
use crate::shape::FeatureMap;

/// How 8-bit images are resized to a network's input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResizeFilter {
    /// Bilinear between the four pixels about each position, in f32: PyTorch's `interpolate` with
    /// `mode="bilinear", align_corners=False`.
    #[default]
    Bilinear,
    /// To the same bytes as Pillow's `Image.resize` with `BILINEAR`, which smooths where it shrinks.
    Pillow,
}

/// What an image set is uploaded from.
#[derive(Debug, Clone, Copy)]
pub enum Pixels<'a> {
    /// `(count, height, width, channels)` bytes, which the network resizes to its input, scales to
    /// `[0, 1]` and normalises.
    Bytes(&'a [u8], ResizeFilter),
    /// `(count, channels, height, width)` values that the network reads as they are: of its input's
    /// size, and normalised.
    Raw(&'a [f32]),
}

/// What the images of a set are on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Bytes(ResizeFilter),
    Raw,
}

/// What a graph reads from an image set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reads<'a> {
    pub shape: SourceShape,
    pub format: Format,
    /// What is done to images that a network is trained with, if anything.
    pub augmentation: Option<Augmentation>,
    /// First image and number of images of each shard.
    pub shards: &'a [(usize, usize)],
}

/// An image set on the device: pixels as they were read, labels, and the order in which batches
/// take them.
#[derive(Debug)]
pub struct ImageSource {
    pub(super) shape: SourceShape,
    pub(super) format: Format,
    /// First image and number of images of each shard, and its pixels.
    pub(super) shards: Vec<(usize, usize, Buffer)>,
    /// Two words an image, see [`label_words`].
    pub(super) labels: Buffer,
    pub(super) order: Buffer,
    /// What is done to images in training, with room for what is drawn for a batch.
    pub(super) augmentation: Option<(Augmentation, Buffer)>,
    /// The image with the largest label, and the label.
    largest: Option<(usize, u32)>,
}

impl ImageSource {
    /// Copies images and one label an image to the device, in shards that fit a binding. The order
    /// of samples is the order given.
    ///
    /// # Errors
    /// [`GraphError::Images`] if the lengths do not agree, [`GraphError::Binding`] if no binding
    /// holds an image, [`GraphError::Gpu`] if memory is short.
    pub fn upload(
        gpu: &Gpu,
        shape: SourceShape,
        pixels: Pixels<'_>,
        labels: &[u32],
    ) -> Result<Self, GraphError> {
        let (format, bytes, size): (_, &[u8], _) = match pixels {
            Pixels::Bytes(bytes, filter) => (Format::Bytes(filter), bytes, 1),
            Pixels::Raw(values) => (Format::Raw, bytemuck::cast_slice(values), size_of::<f32>()),
        };
        let sides = [shape.height, shape.width, shape.channels];
        let image = sides.iter().fold(size, |product, &side| product.saturating_mul(side));
        let all = image.saturating_mul(shape.count);
        if image == 0 || bytes.len() != all || labels.len() != shape.count {
            return Err(GraphError::Images {
                found: format!("{} values and {} labels", bytes.len() / size, labels.len()),
                expected: format!(
                    "{} images of {}x{}x{}",
                    shape.count, shape.height, shape.width, shape.channels
                ),
            });
        }
        let largest = labels.iter().copied().enumerate().max_by_key(|&(_, label)| label);
        let source = Self::allocate(gpu, shape, (format, image), largest)?;
        source.copy(gpu, bytes, image)?;
        source.label(gpu, labels, &[])?;
        Ok(source)
    }

    /// Room for `shape.count` 8-bit images that [`ImageSource::write`] fills as a run goes on. `largest`:
    /// the image with the largest label of all that will be written, and that label.
    ///
    /// # Errors
    /// As [`ImageSource::upload`].
    pub fn streamed(
        gpu: &Gpu,
        shape: SourceShape,
        filter: ResizeFilter,
        largest: Option<(usize, u32)>,
    ) -> Result<Self, GraphError> {
        let image = shape.height * shape.width * shape.channels;
        Self::allocate(gpu, shape, (Format::Bytes(filter), image), largest)
    }

    /// Sets the labels of the first images, and what they weigh in the loss: `weights` holds a weight
    /// for each class, or is empty for 1. It holds for what is submitted later.
    ///
    /// # Errors
    /// [`GraphError::Gpu`] if there are fewer images, or the device fails.
    pub fn label(&self, gpu: &Gpu, labels: &[u32], weights: &[f32]) -> Result<(), GraphError> {
        let weight = |label: u32| weights.get(label as usize).copied().unwrap_or(1.0);
        let words: Vec<_> = labels.iter().map(|&label| label_words(label, weight(label))).collect();
        Ok(gpu.write(&self.labels.whole(), words.as_flattened())?)
    }

    /// Replaces the first images by these, `(count, height, width, channels)` bytes, and their labels
    /// and weights, as [`ImageSource::label`]; it holds for what is submitted later.
    ///
    /// # Errors
    /// [`GraphError::Images`] if the lengths do not agree or there is no room, [`GraphError::Gpu`] if
    /// the device fails.
    pub fn write(
        &self,
        gpu: &Gpu,
        pixels: &[u8],
        labels: &[u32],
        weights: &[f32],
    ) -> Result<(), GraphError> {
        let image = self.shape.height * self.shape.width * self.shape.channels;
        if labels.len() > self.shape.count || pixels.len() != labels.len() * image {
            return Err(GraphError::Images {
                found: format!("{} values and {} labels", pixels.len(), labels.len()),
                expected: format!("at most {} images of {image} values", self.shape.count),
            });
        }
        self.copy(gpu, pixels, image)?;
        self.label(gpu, labels, weights)
    }

    fn allocate(
        gpu: &Gpu,
        shape: SourceShape,
        (format, image): (Format, usize),
        largest: Option<(usize, u32)>,
    ) -> Result<Self, GraphError> {
        if image == 0 || shape.count == 0 {
            let found = format!("{} images of {image} values", shape.count);
            return Err(GraphError::Images { found, expected: "at least one of each".to_owned() });
        }
        let shards = shards(gpu, image, shape.count)?;
        let bytes = shape.count as u64 * 4;
        let (labels, order) = (gpu.buffer("labels", 2 * bytes)?, gpu.buffer("order", bytes)?);
        let augmentation = None;
        let source = Self { shape, format, shards, labels, order, augmentation, largest };
        source.set_order(gpu, &(0..shape.count as u32).collect::<Vec<_>>())?;
        Ok(source)
    }

    /// Copies images of `image` bytes each to the shards, from the first image on.
    fn copy(&self, gpu: &Gpu, bytes: &[u8], image: usize) -> Result<(), GraphError> {
        for (first, count, buffer) in &self.shards {
            let (start, end) = (first * image, (first + count) * image);
            let part = bytes.get(start..end.min(bytes.len())).unwrap_or_default();
            let (words, rest) = part.split_at(part.len() / 4 * 4);
            gpu.write(&buffer.whole(), words)?;
            if !rest.is_empty() {
                let mut last = [0; 4];
                last[..rest.len()].copy_from_slice(rest);
                gpu.write(&buffer.whole().part(words.len() as u64, 4), &last)?;
            }
        }
        Ok(())
    }

    /// Number of images.
    pub fn count(&self) -> usize {
        self.shape.count
    }

    /// Sets the order in which batches take the images; it holds for what is submitted later.
    ///
    /// # Errors
    /// [`GraphError::Images`] unless there is one valid index for each image.
    pub fn set_order(&self, gpu: &Gpu, order: &[u32]) -> Result<(), GraphError> {
        let valid = |&index: &u32| (index as usize) < self.shape.count;
        if order.len() != self.shape.count || !order.iter().all(valid) {
            return Err(GraphError::Images {
                found: format!("an order of {} indices", order.len()),
                expected: format!("{} indices below that", self.shape.count),
            });
        }
        Ok(gpu.write(&self.order.whole(), order)?)
    }

    pub(super) fn reads<'a>(&self, shards: &'a [(usize, usize)]) -> Reads<'a> {
        let augmentation = self.augmentation.as_ref().map(|&(augmentation, _)| augmentation);
        Reads { shape: self.shape, format: self.format, augmentation, shards }
    }

    pub(super) fn draws(&self) -> Option<BufferRange> {
        self.augmentation.as_ref().map(|(_, draws)| draws.whole())
    }

    pub(super) fn ranges(&self) -> Vec<(usize, usize)> {
        self.shards.iter().map(|&(first, count, _)| (first, count)).collect()
    }

    /// Whether a network can read these images.
    pub(super) fn check(&self, network: &Architecture) -> Result<(), GraphError> {
        let (shape, input) = (self.shape, network.input());
        let refuse = |found, expected| Err(GraphError::Images { found, expected });
        if shape.channels != input.channels {
            let found = format!("of {} channels", shape.channels);
            return refuse(found, input.channels.to_string());
        }
        let sides = [shape.height, shape.width, input.height, input.width];
        match self.format {
            Format::Raw if sides[..2] != sides[2..] => {
                let found = format!("raw tensors of {}x{}", shape.height, shape.width);
                return refuse(found, format!("{}x{}", input.height, input.width));
            }
            Format::Bytes(_) if sides.iter().any(|&side| side > ResizeBilinear::MAX_SIDE) => {
                let [h, w, to_h, to_w] = sides;
                let found = format!("of {h}x{w}, to be resized to {to_h}x{to_w}");
                let most = ResizeBilinear::MAX_SIDE;
                return refuse(found, format!("sides of at most {most} pixels"));
            }
            Format::Raw | Format::Bytes(_) => {}
        }
        self.check_augmentation(input)?;
        match self.largest.filter(|&(_, label)| label as usize >= network.classes()) {
            Some((image, label)) => {
                Err(GraphError::Label { image, label, classes: network.classes() })
            }
            None => Ok(()),
        }
    }

    /// The weights that Pillow's filter needs to resize the images to `output`; none for others.
    pub(super) fn tables(&self, output: FeatureMap) -> Vec<u32> {
        match self.format {
            Format::Bytes(ResizeFilter::Pillow) => {
                let shard = Shard { first: 0, count: 0, samples: 0 };
                ResizePillow(self.shape.pictures(shard, output, Default::default())).tables()
            }
            Format::Bytes(ResizeFilter::Bilinear) | Format::Raw => Vec::new(),
        }
    }
}

impl SourceShape {
    /// What `output` is made from.
    pub(super) fn pictures(
        &self,
        shard: Shard,
        output: FeatureMap,
        normalisation: crate::shape::Normalisation,
    ) -> Pictures {
        let (source_height, source_width) = (self.height, self.width);
        Pictures { source_height, source_width, shard, normalisation, output }
    }
}

/// Buffers for `count` images of `image` bytes each, that a binding holds: for each the first image and
/// their number.
fn shards(
    gpu: &Gpu,
    image: usize,
    count: usize,
) -> Result<Vec<(usize, usize, Buffer)>, GraphError> {
    let facts = gpu.facts();
    // A shard's bytes are a multiple of four, so that shards are made of whole words, and can be
    // counted by a word.
    let whole_words = 4 / gcd(image, 4);
    let most = facts.max_binding.min(facts.max_buffer).min(u64::from(u32::MAX)) as usize;
    let limit = most / image / whole_words * whole_words;
    if limit == 0 {
        return Err(GraphError::Binding {
            tensor: "an input image".to_owned(),
            bytes: image as u64,
            limit: facts.max_binding,
            adapter: facts.name.clone(),
        });
    }
    let mut shards = Vec::new();
    for first in (0..count).step_by(limit) {
        let count = limit.min(count - first);
        let bytes = (count * image).next_multiple_of(4) as u64;
        shards.push((first, count, gpu.buffer("images", bytes)?));
    }
    Ok(shards)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
