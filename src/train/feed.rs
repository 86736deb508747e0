//! Where a pass takes its images from: the device, which holds the whole set, or the host, which reads
//! each batch ahead of its step.

use std::sync::Arc;

use super::TrainError;
use super::prefetch::Prefetch;
use crate::data::{ImageSet, Split, permutation};
use crate::gpu::Gpu;
use crate::graph::{
    GraphError, ImageSource, Network, Pass, Pixels, Program, ResizeFilter, SourceShape,
};
use crate::ops::Augmentation;

/// A set of images for a network.
#[derive(Debug, Clone)]
pub enum Feed<'a> {
    /// All are copied to the device, before the first step.
    Whole(&'a Split),
    /// Each batch is read on the host's threads, while the device works on the batches before it.
    Batches(Arc<dyn ImageSet>),
}

impl<'a> From<&'a Split> for Feed<'a> {
    fn from(split: &'a Split) -> Self {
        Self::Whole(split)
    }
}

impl From<Arc<dyn ImageSet>> for Feed<'_> {
    fn from(set: Arc<dyn ImageSet>) -> Self {
        Self::Batches(set)
    }
}

impl Feed<'_> {
    /// Number of images.
    pub fn images(&self) -> usize {
        match self {
            Self::Whole(split) => split.len(),
            Self::Batches(set) => set.len(),
        }
    }
}

/// A program with the set it goes through.
#[derive(Debug)]
pub(super) struct Pump {
    pub program: Program,
    streamed: Option<Streamed>,
    /// What an image of each class weighs in the loss; empty for 1.
    weights: Vec<f32>,
}

/// A set that is read batch by batch, and the order of its images.
#[derive(Debug)]
struct Streamed {
    set: Arc<dyn ImageSet>,
    order: Vec<u32>,
}

/// A batch that is on the device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    /// The place of its first image in the program's order.
    pub first: usize,
    /// Images.
    pub count: usize,
    /// Seconds since the pass began in which the host waited for images to be read.
    pub waited: f64,
}

impl Pump {
    /// Binds a network to a set, which `which` names in errors.
    pub fn new(
        network: &Network,
        pass: Pass,
        feed: Feed<'_>,
        filter: ResizeFilter,
        (which, weights): (&'static str, &[f32]),
        augmentation: Augmentation,
    ) -> Result<Self, TrainError> {
        if feed.images() == 0 {
            return Err(TrainError::NoImages { which });
        }
        let (source, streamed) = match feed {
            Feed::Whole(split) => {
                let source = upload(network.gpu(), split, filter)?;
                source.label(network.gpu(), &split.labels, weights)?;
                (source, None)
            }
            Feed::Batches(set) => {
                let order = (0..set.len() as u32).collect();
                (room(network, &*set, filter)?, Some(Streamed { set, order }))
            }
        };
        let source = match augmentation.is_none() {
            true => source,
            false => source.augmented(network.gpu(), augmentation)?,
        };
        let (program, weights) = (network.bind(pass, Arc::new(source))?, weights.to_vec());
        Ok(Self { program, streamed, weights })
    }

    /// A program bound to a set on the device.
    pub fn resident(program: Program) -> Self {
        Self { program, streamed: None, weights: Vec::new() }
    }

    /// Images of the set.
    pub fn images(&self) -> usize {
        match &self.streamed {
            Some(streamed) => streamed.set.len(),
            None => self.program.source().count(),
        }
    }

    /// True if images are read as the run goes on.
    pub fn is_streamed(&self) -> bool {
        self.streamed.is_some()
    }

    /// The most images that a batch may have.
    pub fn most(&self) -> usize {
        match self.streamed {
            Some(_) => self.program.source().count(),
            None => usize::MAX,
        }
    }

    /// Takes the images in another order from the next pass on.
    pub fn shuffle(&mut self, gpu: &Gpu, seed: u64, epoch: u32) -> Result<(), TrainError> {
        let order = permutation(self.images(), seed, u64::from(epoch));
        match &mut self.streamed {
            Some(streamed) => streamed.order = order,
            None => self.program.source().set_order(gpu, &order)?,
        }
        Ok(())
    }

    /// Goes through the set in batches, the last one as small as it is. `run` is called for each as soon
    /// as it is on the device.
    pub fn each(
        &self,
        gpu: &Gpu,
        batch: usize,
        mut run: impl FnMut(Ready) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let Some(Streamed { set, order }) = &self.streamed else {
            let images = self.images();
            return (0..images).step_by(batch).try_for_each(|first| {
                run(Ready { first, count: batch.min(images - first), waited: 0.0 })
            });
        };
        let mut batches = Prefetch::start(Arc::clone(set), order.clone(), batch);
        while let Some(read) = batches.next()? {
            self.program.source().write(gpu, &read.pixels, &read.labels, &self.weights)?;
            run(Ready { first: 0, count: read.labels.len(), waited: batches.waited() })?;
        }
        Ok(())
    }
}

/// The whole set on the device.
fn upload(gpu: &Gpu, split: &Split, filter: ResizeFilter) -> Result<ImageSource, GraphError> {
    let images = &split.images;
    let (count, height) = (images.count, images.height);
    let shape = SourceShape { count, height, width: images.width, channels: images.channels };
    ImageSource::upload(gpu, shape, Pixels::Bytes(&images.pixels, filter), &split.labels)
}

/// Room for a batch of the set on the device.
fn room(
    network: &Network,
    set: &dyn ImageSet,
    filter: ResizeFilter,
) -> Result<ImageSource, GraphError> {
    let (height, width, channels) = set.shape();
    let count = network.options().batch.clamp(1, set.len());
    let labels = (0..set.len()).map(|i| (i, set.label(i)));
    let largest = labels.max_by_key(|&(_, label)| label);
    let shape = SourceShape { count, height, width, channels };
    ImageSource::streamed(network.gpu(), shape, filter, largest)
}
