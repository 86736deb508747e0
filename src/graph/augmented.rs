//! Image sets of which a network is trained with random changes.

use std::sync::Arc;

use super::source::Format;
use super::{Architecture, Batch, GraphError, ImageSource, ResizeFilter};
use crate::gpu::Gpu;
use crate::kernel::{Kernels, Recorder, Step};
use crate::ops::{Augment, Augmentation, Op, Pictures, ResizeBilinear, Shard, draws_layout};
use crate::shape::{FeatureMap, Layout};

impl ImageSource {
    /// The set, whose images are changed at random where they are trained with. A batch may have as many
    /// images as the set.
    ///
    /// What is done to an image follows from [`Batch::seed`], [`Batch::number`] and its place in the batch.
    ///
    /// # Errors
    /// [`GraphError::AugmentedFormat`] of images that are raw or resized by Pillow's filter,
    /// [`GraphError::Gpu`] if memory is short.
    pub fn augmented(mut self, gpu: &Gpu, augmentation: Augmentation) -> Result<Self, GraphError> {
        self.check_format()?;
        let draws = gpu.tensors("draws", draws_layout(self.count()).bytes(1))?;
        self.augmentation = Some((augmentation, draws));
        Ok(self)
    }

    fn check_format(&self) -> Result<(), GraphError> {
        let images = match self.format {
            Format::Bytes(ResizeFilter::Bilinear) => return Ok(()),
            Format::Bytes(ResizeFilter::Pillow) => "those resized by Pillow's filter",
            Format::Raw => "raw tensors",
        };
        Err(GraphError::AugmentedFormat { images })
    }

    /// Whether the set may be augmented as it is for a network that reads `input`.
    pub(super) fn check_augmentation(&self, input: FeatureMap) -> Result<(), GraphError> {
        let Some((augmentation, _)) = &self.augmentation else { return Ok(()) };
        match augmentation.fault([input.height, input.width]) {
            Some((what, found, expected)) => {
                Err(GraphError::Augmentation { what, found, expected })
            }
            None => Ok(()),
        }
    }

    /// Puts what is drawn for a batch on the device, for what is submitted later: one batch's room is
    /// enough, as a write is ordered between the submissions around it.
    pub(super) fn draw(
        &self,
        gpu: &Gpu,
        input: FeatureMap,
        batch: &Batch,
    ) -> Result<(), GraphError> {
        let Some((augmentation, room)) = &self.augmentation else { return Ok(()) };
        let shard = Shard { first: 0, count: 0, samples: 0 };
        let pictures = self.shape.pictures(shard, input, Default::default());
        let draws = augmentation.draws(&pictures, (batch.seed, batch.number), batch.count);
        Ok(gpu.write(&room.whole(), &draws)?)
    }

    /// What a network reads of a batch of 8-bit images, sampled bilinearly, in training, `(count, height, width, channels)`, as the kernels make
    /// it: normalised, and changed at random if the set is augmented.
    ///
    /// # Errors
    /// [`GraphError`] if the images are no input of the network or not sampled so, the batch reaches past
    /// them, or the device fails.
    pub fn inputs(
        &self,
        gpu: &Arc<Gpu>,
        network: &Architecture,
        batch: &Batch,
    ) -> Result<Vec<f32>, GraphError> {
        self.check(network)?;
        self.check_format()?;
        if batch.first + batch.count > self.count() {
            return Err(GraphError::Images {
                found: format!("a batch of {} from {}", batch.count, batch.first),
                expected: format!("one within {} images", self.count()),
            });
        }
        let (output, samples) = (network.input().with_halo(0), self.count());
        let layout = Layout::Map(output);
        let x = gpu.tensors("images", layout.bytes(batch.count))?;
        let kernels = Kernels::new(Arc::clone(gpu))?;
        self.draw(gpu, output, batch)?;
        let images = batch.count as u32;
        let step = Step { images, sample_base: batch.first as u32, ..Step::default() };
        let mut recorder = Recorder::new(&kernels);
        let slot = recorder.step(&step)?;
        for (first, count, pixels) in &self.shards {
            let shard = Shard { first: *first, count: *count, samples };
            let pictures = self.shape.pictures(shard, output, network.normalisation());
            let op = self.op(pictures);
            let variants = op.variants(gpu.facts());
            let mut buffers = vec![self.order.whole(), pixels.whole()];
            buffers.extend(self.draws());
            buffers.push(x.whole());
            for variant in variants.iter().take(1) {
                let launch = kernels.launch(variant, &op.bindings(), &buffers)?;
                recorder.launch(&launch, slot, images, 0);
            }
        }
        recorder.submit()?;
        let stored: Vec<f32> = gpu.read(&x.whole())?;
        let channels = output.channels;
        let pixels = stored.chunks_exact(output.quads() * 4);
        let pixels = pixels.take(batch.count * output.height * output.width);
        Ok(pixels.flat_map(|pixel| pixel[..channels].iter().copied()).collect())
    }

    fn op(&self, pictures: Pictures) -> Box<dyn Op> {
        match &self.augmentation {
            Some((augmentation, _)) => Box::new(Augment { pictures, augmentation: *augmentation }),
            None => Box::new(ResizeBilinear(pictures)),
        }
    }
}
