//! A network with the images it learns from and the ones it is tested with.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use serde::{Deserialize, Serialize};

use super::feed::{Feed, Pump, Ready};
use super::{Next, TrainError, gradients_of};
use crate::graph::{Batch, Chosen, ImageSource, Network, Pass, ResizeFilter};
use crate::ops::Augmentation;
use crate::weights::Tensor;

/// Batches that are submitted before the host waits for the first: enough that the device always
/// has work, few enough that progress is shown as it happens.
const IN_FLIGHT: usize = 3;

/// What was measured over a number of images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
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

/// How a network sees its images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainerOptions {
    /// How images are resized.
    pub filter: ResizeFilter,
    /// What an image of each class weighs in the loss it is trained with; empty for 1. The loss of a
    /// batch is the sum over its images divided by their number, whatever they weigh. It is tested with
    /// a weight of 1.
    pub class_weights: Vec<f32>,
    /// What is done at random to the images it is trained with. Hits are counted of these, too: under mixup
    /// those of the label with the larger share.
    pub augmentation: Augmentation,
}

/// A network bound to a set to train with and a set to test with.
#[derive(Debug)]
pub struct Trainer {
    pub(super) network: Network,
    pub(super) train: Pump,
    pub(super) test: Pump,
}

impl Trainer {
    /// Binds a network to both sets. Images are resized bilinearly.
    ///
    /// # Errors
    /// As [`Trainer::with_options`].
    pub fn new<'a>(
        network: Network,
        train: impl Into<Feed<'a>>,
        test: impl Into<Feed<'a>>,
    ) -> Result<Self, TrainError> {
        Self::with_options(network, train, test, &TrainerOptions::default())
    }

    /// Binds a network to both sets.
    ///
    /// # Errors
    /// [`TrainError::NoImages`] of an empty set; [`TrainError::Graph`] if the images are no input
    /// of the network, or memory is short.
    pub fn with_options<'a>(
        network: Network,
        train: impl Into<Feed<'a>>,
        test: impl Into<Feed<'a>>,
        options: &TrainerOptions,
    ) -> Result<Self, TrainError> {
        Self::with_weights(network, train, test, options, |_| Ok(()))
    }

    /// Binds a network to both sets while `weights` sets its weights: both take long, of a large network
    /// seconds.
    ///
    /// # Errors
    /// Those of `weights`, and as [`Trainer::with_options`].
    pub fn with_weights<'a, E: From<TrainError> + Send>(
        network: Network,
        train: impl Into<Feed<'a>>,
        test: impl Into<Feed<'a>>,
        options: &TrainerOptions,
        weights: impl FnOnce(&Network) -> Result<(), E> + Send,
    ) -> Result<Self, E> {
        let TrainerOptions { filter, class_weights, augmentation } = options;
        let pump = |pass, images, weighed, augmentation| {
            Pump::new(&network, pass, images, *filter, weighed, augmentation)
        };
        let (train, test) = thread::scope(|scope| {
            let set = scope.spawn(|| weights(&network));
            let train = pump(Pass::Train, train.into(), ("train", class_weights), *augmentation);
            let test = || pump(Pass::Infer, test.into(), ("test", &[]), Augmentation::default());
            let pumps = train.and_then(|train| Ok((train, test()?)));
            set.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            Ok::<_, E>(pumps?)
        })?;
        Ok(Self { network, train, test })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// True if images to train with are read as the run goes on, and not before.
    pub fn is_streamed(&self) -> bool {
        self.train.is_streamed()
    }

    /// Images it trains with.
    pub fn train_images(&self) -> usize {
        self.train.images()
    }

    /// Tells sets to train with apart: the CRC-32 of their labels in order.
    pub fn fingerprint(&self) -> u32 {
        self.train.fingerprint
    }

    /// The kernel variants that run, each once, in order of their names.
    pub fn variants(&self) -> Vec<&'static str> {
        let programs = [&self.train.program, &self.test.program];
        let launches = programs.map(|program| program.launches(&self.network));
        let mut names: Vec<_> = launches.iter().flatten().map(|launch| launch.variant).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The variants that run where there was a choice, for each layer and pass once.
    pub fn choices(&self) -> Vec<Chosen> {
        let mut choices = self.train.program.choices(&self.network);
        for chosen in self.test.program.choices(&self.network) {
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
        Ok(self.test(batch, &mut Unwatched)?.so_far)
    }

    pub(super) fn test(&self, batch: usize, watch: &mut dyn Watch) -> Result<Swept, TrainError> {
        let batch = batch.min(self.test.most());
        let numbered = |number| Batch { number, ..Batch::default() };
        sweep(&self.network, &self.test, batch, (Swept::default(), &numbered), watch)
    }
}

/// How far a pass over a set has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Swept {
    /// Batches that are done.
    pub batches: u32,
    /// What was measured over them.
    pub so_far: Metrics,
    /// True if the pass was broken off.
    pub stopped: bool,
}

/// Looks on while a program goes through a set.
pub(super) trait Watch {
    /// The metrics of another batch have arrived.
    fn seen(&mut self, seen: Seen) -> Result<(), TrainError>;

    /// Asked after each batch.
    fn next(&mut self) -> Next {
        Next::GoOn
    }

    /// Called where [`Watch::next`] wants more than to go on, when the device is done with all batches
    /// so far.
    fn save(&mut self, _swept: &Swept) -> Result<(), TrainError> {
        Ok(())
    }
}

/// Nobody looks on.
struct Unwatched;

impl Watch for Unwatched {
    fn seen(&mut self, _seen: Seen) -> Result<(), TrainError> {
        Ok(())
    }
}

/// What is known when the metrics of another batch have arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Of all batches so far.
    pub so_far: Metrics,
    /// Of the last one.
    pub batch: Metrics,
    /// Seconds in which the host waited for images to be read.
    pub waited: f64,
}

/// Runs a program over its image set in batches, the last one as small as it is, and goes on where
/// `swept` stands: `numbered` gives the batch of each place, without its images.
pub(super) fn sweep(
    network: &Network,
    pump: &Pump,
    batch: usize,
    (mut swept, numbered): (Swept, &dyn Fn(u32) -> Batch),
    watch: &mut dyn Watch,
) -> Result<Swept, TrainError> {
    let gpu = network.gpu();
    let mut ring = network.metrics_ring(IN_FLIGHT)?;
    let mut waited = 0.0;
    let arrived = |values: Vec<f32>, waited, swept: &mut Swept, watch: &mut dyn Watch| {
        let batch = metrics(&values);
        swept.batches += 1;
        swept.so_far.add(batch);
        watch.seen(Seen { so_far: swept.so_far, batch, waited })
    };
    let mut places = swept.batches..;
    let from = swept.batches as usize * batch;
    pump.each(gpu, (from, batch), |ready| {
        let batch = numbered(places.next().unwrap_or(u32::MAX));
        let number = batch.number;
        pump.program.run(network, &Batch { first: ready.first, count: ready.count, ..batch })?;
        waited = ready.waited;
        if let Some(values) = ring.push(gpu, &network.metrics_of(number))? {
            arrived(values, waited, &mut swept, watch)?;
        }
        let next = watch.next();
        if next == Next::GoOn {
            return Ok(ControlFlow::Continue(()));
        }
        while let Some(values) = ring.pop(gpu)? {
            arrived(values, waited, &mut swept, watch)?;
        }
        swept.stopped = next == Next::Stop;
        watch.save(&swept)?;
        Ok(if swept.stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    while let Some(values) = ring.pop(gpu)? {
        arrived(values, waited, &mut swept, watch)?;
    }
    Ok(swept)
}

/// From a batch's slot of the metrics ring; counts are whole numbers far below 2^24.
fn metrics(values: &[f32]) -> Metrics {
    let [loss, hits, images] = [0, 1, 2].map(|i| values.get(i).copied().unwrap_or(f32::NAN));
    Metrics { loss_sum: f64::from(loss), hits: hits as u64, images: images as u64 }
}

/// The logits of all images of a set in order, one row of classes an image. `seen` gets the number
/// of images done, each time there are more.
///
/// # Errors
/// [`TrainError`] as [`Trainer::with_options`].
pub fn logits<'a>(
    network: &Network,
    feed: impl Into<Feed<'a>>,
    filter: ResizeFilter,
    seen: impl FnMut(usize),
) -> Result<Vec<Vec<f32>>, TrainError> {
    let unweighed = ("input", &[][..]);
    let none = Augmentation::default();
    rows(network, &Pump::new(network, Pass::Infer, feed.into(), filter, unweighed, none)?, seen)
}

/// The logits of all images of a set on the network's device, as [`logits`].
///
/// # Errors
/// [`TrainError::Graph`] if the images are no input of the network, or the device fails.
pub fn logits_of(
    network: &Network,
    source: Arc<ImageSource>,
    seen: impl FnMut(usize),
) -> Result<Vec<Vec<f32>>, TrainError> {
    rows(network, &Pump::resident(network.bind(Pass::Infer, source)?), seen)
}

fn rows(
    network: &Network,
    pump: &Pump,
    mut seen: impl FnMut(usize),
) -> Result<Vec<Vec<f32>>, TrainError> {
    let (classes, most) = (network.architecture().classes(), network.plan().micro_batch);
    let mut rows = Vec::with_capacity(pump.images());
    let mut numbers = 0..;
    pump.each(network.gpu(), (0, most.min(pump.most())), |Ready { first, count, .. }| {
        let number = numbers.next().unwrap_or(u32::MAX);
        let batch = Batch { first, count, number, ..Batch::default() };
        pump.program.run(network, &batch)?;
        let batch = pump.program.read_logits(network, count)?;
        rows.extend(batch.chunks_exact(classes).map(<[f32]>::to_vec));
        seen(rows.len());
        Ok(ControlFlow::Continue(()))
    })?;
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
