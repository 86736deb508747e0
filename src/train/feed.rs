//! Where a pass takes its images from: the device, which holds the whole set, or the host, which reads
//! each batch ahead of its step.

use std::ops::ControlFlow;
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

    fn fingerprint(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        match self {
            Self::Whole(split) => {
                split.labels.iter().for_each(|label| crc.update(&label.to_le_bytes()));
            }
            Self::Batches(set) => {
                (0..set.len()).for_each(|i| crc.update(&set.label(i).to_le_bytes()));
            }
        }
        crc.finalize()
    }
}

/// A program with the set it goes through.
#[derive(Debug)]
pub(super) struct Pump {
    pub program: Program,
    streamed: Option<Streamed>,
    /// What an image of each class weighs in the loss; empty for 1.
    weights: Vec<f32>,
    /// Tells sets apart: the CRC-32 of the labels in order.
    pub fingerprint: u32,
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
        let fingerprint = feed.fingerprint();
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
        Ok(Self { program, streamed, weights, fingerprint })
    }

    /// A program bound to a set on the device.
    pub fn resident(program: Program) -> Self {
        Self { program, streamed: None, weights: Vec::new(), fingerprint: 0 }
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

    /// Goes through the set from an image on in batches, the last one as small as it is. `run` is called
    /// for each as soon as it is on the device, and may break off.
    pub fn each(
        &self,
        gpu: &Gpu,
        (from, batch): (usize, usize),
        mut run: impl FnMut(Ready) -> Result<ControlFlow<()>, TrainError>,
    ) -> Result<(), TrainError> {
        let images = self.images();
        let Some(Streamed { set, order }) = &self.streamed else {
            for first in (from..images).step_by(batch) {
                let count = batch.min(images - first);
                if run(Ready { first, count, waited: 0.0 })?.is_break() {
                    break;
                }
            }
            return Ok(());
        };
        let order = order[from.min(images)..].to_vec();
        let mut batches = Prefetch::start(Arc::clone(set), order, batch);
        while let Some(read) = batches.next()? {
            self.program.source().write(gpu, &read.pixels, &read.labels, &self.weights)?;
            let count = read.labels.len();
            if run(Ready { first: 0, count, waited: batches.waited() })?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A whole set on the device.
///
/// # Errors
/// [`GraphError`] if it does not fit the device.
pub fn upload(gpu: &Gpu, split: &Split, filter: ResizeFilter) -> Result<ImageSource, GraphError> {
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
