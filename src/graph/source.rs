//! Image sets on the device, as 8-bit pixels.

use super::{GraphError, SourceShape};
use crate::gpu::{Buffer, Gpu};

/// An image set on the device: pixels as they were read, labels, and the order in which batches
/// take them.
#[derive(Debug)]
pub struct ImageSource {
    pub(super) shape: SourceShape,
    /// First image and number of images of each shard, and its pixels.
    pub(super) shards: Vec<(usize, usize, Buffer)>,
    pub(super) labels: Buffer,
    pub(super) order: Buffer,
}

impl ImageSource {
    /// Copies `pixels`, `(count, height, width, channels)` bytes, and one label an image to the
    /// device, in shards that fit a binding. The order of samples is the order given.
    ///
    /// # Errors
    /// [`GraphError::Images`] if the lengths do not agree, [`GraphError::Gpu`] if memory is short.
    pub fn upload(
        gpu: &Gpu,
        shape: SourceShape,
        pixels: &[u8],
        labels: &[u8],
    ) -> Result<Self, GraphError> {
        let image = shape.height * shape.width * shape.channels;
        if image == 0 || pixels.len() != image * shape.count || labels.len() != shape.count {
            return Err(GraphError::Images {
                found: format!("{} bytes and {} labels", pixels.len(), labels.len()),
                expected: format!(
                    "{} images of {}x{}x{}",
                    shape.count, shape.height, shape.width, shape.channels
                ),
            });
        }
        // A shard's bytes are a multiple of four, so that shards are made of whole words.
        let whole_words = 4 / gcd(image, 4);
        let limit = (gpu.facts().max_binding.min(gpu.facts().max_buffer) as usize / image)
            / whole_words
            * whole_words;
        if limit == 0 {
            return Err(GraphError::Binding {
                tensor: "an input image".to_owned(),
                bytes: image as u64,
                limit: gpu.facts().max_binding,
                adapter: gpu.facts().name.clone(),
            });
        }
        let mut shards = Vec::new();
        for first in (0..shape.count).step_by(limit) {
            let count = limit.min(shape.count - first);
            let mut bytes = pixels[first * image..(first + count) * image].to_vec();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            let buffer = gpu.buffer("images", bytes.len() as u64)?;
            gpu.write(&buffer.whole(), &bytes)?;
            shards.push((first, count, buffer));
        }
        let words: Vec<u32> = labels.iter().map(|&label| u32::from(label)).collect();
        let bytes = words.len() as u64 * 4;
        let (labels, order) = (gpu.buffer("labels", bytes)?, gpu.buffer("order", bytes)?);
        gpu.write(&labels.whole(), &words)?;
        let source = Self { shape, shards, labels, order };
        source.set_order(gpu, &(0..shape.count as u32).collect::<Vec<_>>())?;
        Ok(source)
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

    pub(super) fn ranges(&self) -> Vec<(usize, usize)> {
        self.shards.iter().map(|&(first, count, _)| (first, count)).collect()
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
