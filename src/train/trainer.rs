//! A network with the images it learns from and the ones it is tested with.

use std::sync::Arc;

use super::{TrainError, gradients_of};
use crate::data::Split;
use crate::gpu::Gpu;
use crate::graph::{
    Batch, Chosen, ImageSource, Network, Pass, Pixels, Program, ResizeFilter, SourceShape,
};
use crate::weights::Tensor;

/// Batches that are submitted before the host waits for the first: enough that the device always
/// has work, few enough that progress is shown as it happens.
const IN_FLIGHT: usize = 3;

/// What was measured over a number of images.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics {
    /// Sum of the cross-entropies of the images, in nats.
    pub loss_sum: f64,
    /// Images classified right.
    pub hits: u64,
    /// Images.
    pub images: u64,
}

impl Metrics {
    /// Mean cross-entropy, in nats.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.images as f64
    }

    /// Fraction classified right, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.hits as f64 / self.images as f64
    }

    fn add(&mut self, batch: Self) {
        self.loss_sum += batch.loss_sum;
        self.hits += batch.hits;
        self.images += batch.images;
    }
}

/// A network bound to a set to train with and a set to test with.
#[derive(Debug)]
pub struct Trainer {
    pub(super) network: Network,
    pub(super) train: Program,
    pub(super) test: Program,
}

impl Trainer {
    /// Copies both sets to the network's device. Images are resized bilinearly.
    ///
    /// # Errors
    /// As [`Trainer::with_filter`].
    pub fn new(network: Network, train: &Split, test: &Split) -> Result<Self, TrainError> {
        Self::with_filter(network, train, test, ResizeFilter::Bilinear)
    }

    /// Copies both sets to the network's device, and says how it resizes them.
    ///
    /// # Errors
    /// [`TrainError::NoImages`] of an empty set; [`TrainError::Graph`] if the images are no input
    /// of the network, or memory is short.
    pub fn with_filter(
        network: Network,
        train: &Split,
        test: &Split,
        filter: ResizeFilter,
    ) -> Result<Self, TrainError> {
        let bind = |pass, split, which| {
            let source = upload(network.gpu(), split, filter, which)?;
            Ok::<_, TrainError>(network.bind(pass, source)?)
        };
        let train = bind(Pass::Train, train, "train")?;
        let test = bind(Pass::Infer, test, "test")?;
        Ok(Self { network, train, test })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Images it trains with.
    pub fn train_images(&self) -> usize {
        self.train.source().count()
    }

    /// The kernel variants that run, each once, in order of their names.
    pub fn variants(&self) -> Vec<&'static str> {
        let launches = [&self.train, &self.test].map(|program| program.launches(&self.network));
        let mut names: Vec<_> = launches.iter().flatten().map(|launch| launch.variant).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The variants that run where there was a choice, for each layer and pass once.
    pub fn choices(&self) -> Vec<Chosen> {
        let mut choices = self.train.choices(&self.network);
        for chosen in self.test.choices(&self.network) {
            if !choices.contains(&chosen) {
                choices.push(chosen);
            }
        }
        choices
    }

    /// Measures loss and accuracy over the whole test set.
    ///
    /// # Errors
    /// [`TrainError::EmptyBatch`] of batches without images, [`TrainError::Graph`] if the device
    /// fails.
    pub fn evaluate(&self, batch: usize) -> Result<Metrics, TrainError> {
        if batch == 0 {
            return Err(TrainError::EmptyBatch);
        }
        self.test(batch, |_, _| Ok(()))
    }

    pub(super) fn test(
        &self,
        batch: usize,
        seen: impl FnMut(Metrics, Metrics) -> Result<(), TrainError>,
    ) -> Result<Metrics, TrainError> {
        sweep(&self.network, &self.test, batch, Hyper::default(), seen)
    }
}

/// Numbers of a batch that do not depend on its place.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hyper {
    /// Number of the first batch.
    pub number: u32,
    pub seed: u32,
    pub learning_rate: f32,
    pub momentum: f32,
    pub weight_decay: f32,
}

/// Runs `program` over its whole image set in batches, the last one as small as it is. `seen` gets
/// the metrics of all batches so far and those of the last one, each time another's arrive.
pub(super) fn sweep(
    network: &Network,
    program: &Program,
    batch: usize,
    hyper: Hyper,
    mut seen: impl FnMut(Metrics, Metrics) -> Result<(), TrainError>,
) -> Result<Metrics, TrainError> {
    let gpu = network.gpu();
    let images = program.source().count();
    let mut ring = network.metrics_ring(IN_FLIGHT)?;
    let mut total = Metrics::default();
    let mut arrived = |values: Vec<f32>| {
        let batch = metrics(&values);
        total.add(batch);
        seen(total, batch).map(|()| total)
    };
    for (number, first) in (hyper.number..).zip((0..images).step_by(batch)) {
        let count = batch.min(images - first);
        let Hyper { seed, learning_rate, momentum, weight_decay, .. } = hyper;
        let sgd = Batch { learning_rate, momentum, weight_decay, ..Batch::default() };
        program.run(network, &Batch { first, count, number, seed, ..sgd })?;
        if let Some(values) = ring.push(gpu, &network.metrics_of(number))? {
            arrived(values)?;
        }
    }
    let mut last = Metrics::default();
    while let Some(values) = ring.pop(gpu)? {
        last = arrived(values)?;
    }
    Ok(last)
}

/// From a batch's slot of the metrics ring; counts are whole numbers far below 2^24.
fn metrics(values: &[f32]) -> Metrics {
    let [loss, hits, images] = [0, 1, 2].map(|i| values.get(i).copied().unwrap_or(f32::NAN));
    Metrics { loss_sum: f64::from(loss), hits: hits as u64, images: images as u64 }
}

fn upload(
    gpu: &Gpu,
    split: &Split,
    filter: ResizeFilter,
    which: &'static str,
) -> Result<Arc<ImageSource>, TrainError> {
    if split.is_empty() {
        return Err(TrainError::NoImages { which });
    }
    let images = &split.images;
    let (count, height) = (images.count, images.height);
    let shape = SourceShape { count, height, width: images.width, channels: images.channels };
    let labels: Vec<u32> = split.labels.iter().map(|&label| u32::from(label)).collect();
    let pixels = Pixels::Bytes(&images.pixels, filter);
    Ok(Arc::new(ImageSource::upload(gpu, shape, pixels, &labels)?))
}

/// The logits of all images of a split in order, one row of classes an image. `seen` gets the number
/// of images done, each time there are more.
///
/// # Errors
/// [`TrainError`] as [`Trainer::with_filter`].
pub fn logits(
    network: &Network,
    split: &Split,
    filter: ResizeFilter,
    seen: impl FnMut(usize),
) -> Result<Vec<Vec<f32>>, TrainError> {
    logits_of(network, upload(network.gpu(), split, filter, "input")?, seen)
}

/// The logits of all images of a set on the network's device, as [`logits`].
///
/// # Errors
/// [`TrainError::Graph`] if the images are no input of the network, or the device fails.
pub fn logits_of(
    network: &Network,
    source: Arc<ImageSource>,
    mut seen: impl FnMut(usize),
) -> Result<Vec<Vec<f32>>, TrainError> {
    let images = source.count();
    let program = network.bind(Pass::Infer, source)?;
    let (classes, most) = (network.architecture().classes(), network.plan().micro_batch);
    let mut rows = Vec::with_capacity(images);
    for (number, first) in (0..).zip((0..images).step_by(most)) {
        let count = most.min(images - first);
        let batch = Batch { first, count, number, ..Batch::default() };
        program.run(network, &batch)?;
        let batch = program.read_logits(network, count)?;
        rows.extend(batch.chunks_exact(classes).map(<[f32]>::to_vec));
        seen(rows.len());
    }
    Ok(rows)
}

/// The mean cross-entropy of all images of a set as one batch, in nats, and its gradient by every
/// parameter in PyTorch's layout, under torchvision's names. The parameters keep their values, but
/// batch normalisations count the batch in their running statistics.
///
/// # Errors
/// [`TrainError::Graph`] if the network is not made for training, or the images are no input of it.
pub fn gradients(
    network: &Network,
    source: Arc<ImageSource>,
) -> Result<(f32, Vec<Tensor<'static>>), TrainError> {
    let count = source.count();
    let program = network.bind(Pass::Train, source)?;
    program.run(network, &Batch { count, ..Batch::default() })?;
    let measured = network.gpu().read(&network.metrics_of(0))?;
    let loss = metrics(&measured).loss() as f32;
    Ok((loss, gradients_of(network)?))
}
