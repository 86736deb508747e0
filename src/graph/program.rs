//! A pass of a network bound to an image set, ready to be recorded.

use std::sync::Arc;
use std::time::Instant;

use super::explain::Kept;
use super::lower::Pass;
use super::{GraphError, ImageSource, METRIC_SLOTS, Network};
use crate::gpu::{BufferRange, Clock, ReadRing, Readback, Span};
use crate::kernel::{Launch, Recorder, Step};
use crate::ops::Op;

/// Bytes of a batch's metrics.
const METRIC_BYTES: u64 = 16;

/// An operation with its compiled kernel and buffers.
#[derive(Debug)]
pub(super) struct Bound {
    pub layer: String,
    pub op: Box<dyn Op>,
    pub launch: Launch,
}

/// A pass of a network bound to an image set: all its launches, built once.
#[derive(Debug)]
pub struct Program {
    pub(super) pass: Pass,
    pub(super) bound: Vec<Bound>,
    pub(super) source: Arc<ImageSource>,
    pub(super) logits: BufferRange,
    pub(super) explained: Option<Kept>,
    pub(super) micro_batch: usize,
}

/// The batch to run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Batch {
    /// Place of its first image in the order of samples.
    pub first: usize,
    /// Images in it.
    pub count: usize,
    /// Number of the training step, from 0; the metrics go to slot `number % METRIC_SLOTS`.
    pub number: u32,
    /// Seed of the dropout masks and of what is done to images.
    pub seed: u32,
    /// Learning rate.
    pub learning_rate: f32,
    /// Share of a label that is spread over all classes, 0 to 1.
    pub label_smoothing: f32,
}

/// What a launch is, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchInfo {
    /// The layer.
    pub layer: String,
    /// The operation.
    pub op: &'static str,
    /// The kernel variant.
    pub variant: &'static str,
}

/// How long the launches of one kind took in a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LaunchTime {
    /// What was launched.
    pub info: LaunchInfo,
    /// Seconds, over all micro-batches.
    pub seconds: f64,
    /// Floating-point operations, over all micro-batches.
    pub flop: u64,
    /// The least bytes moved: each tensor read or written once for the whole batch.
    pub bytes: u64,
}

/// A batch that was measured.
#[derive(Debug, Clone)]
pub struct TimedRun {
    /// Each launch of a micro-batch, summed over the micro-batches, then the updates.
    pub times: Vec<LaunchTime>,
    /// Every single launch in the order it ran.
    pub launches: Vec<TimedLaunch>,
    /// What the host did.
    pub host: HostTimes,
    /// What the launches were timed by.
    pub clock: Clock,
}

/// A single launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimedLaunch {
    /// Its place in [`TimedRun::times`].
    pub place: usize,
    /// Its images.
    pub images: usize,
    /// When it ran, in seconds from the first launch.
    pub span: Span,
}

/// What the host did in a batch, in seconds from the beginning of the recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostTimes {
    /// Begin and end of each submission; all but the last lie within the recording.
    pub submissions: Vec<(f64, f64)>,
    /// The end of the recording.
    pub recorded: f64,
    /// The end of waiting for the device.
    pub done: f64,
}

impl Program {
    /// What a batch launches, in order: for training the updates of the parameters of `network`, the
    /// one it was bound to, come last.
    pub fn launches(&self, network: &Network) -> Vec<LaunchInfo> {
        self.all(network).map(Bound::info).collect()
    }

    /// The image set it reads.
    pub fn source(&self) -> &Arc<ImageSource> {
        &self.source
    }

    /// Records and submits a batch: micro-batch by micro-batch, and for training the update of all
    /// parameters. Returns when it is submitted, not when it is done.
    ///
    /// # Errors
    /// [`GraphError::Images`] if the batch reaches past the image set, [`GraphError::Gpu`] if the
    /// device fails.
    pub fn run(&self, network: &Network, batch: &Batch) -> Result<(), GraphError> {
        let mut recorder = Recorder::new(&network.kernels);
        self.record(network, batch, &mut recorder, |_, _, _| Ok(()))?;
        Ok(recorder.submit()?)
    }

    /// Runs a batch to its end and measures each launch: by timestamps where the adapter has them,
    /// else by the wall clock from submission to completion of each.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_timed(&self, network: &Network, batch: &Batch) -> Result<TimedRun, GraphError> {
        let launches = self.bound.len() * batch.count.div_ceil(self.micro_batch);
        let gpu = network.gpu();
        let timestamps = gpu.timestamps((launches + network.updates.len()) as u32)?;
        let mut recorder = match &timestamps {
            Some(timestamps) => Recorder::timed(&network.kernels, timestamps),
            None => Recorder::new(&network.kernels),
        };
        let (mut order, mut spans) = (Vec::with_capacity(launches), Vec::new());
        gpu.wait()?;
        let start = Instant::now();
        let since = |instant: Instant| instant.duration_since(start).as_secs_f64();
        self.record(network, batch, &mut recorder, |place, images, recorder| {
            order.push((place, images));
            if timestamps.is_none() {
                let begin = start.elapsed().as_secs_f64();
                recorder.submit()?;
                gpu.wait()?;
                spans.push(Span { begin, end: start.elapsed().as_secs_f64() });
            }
            Ok(())
        })?;
        let mut host = HostTimes { recorded: since(Instant::now()), ..HostTimes::default() };
        recorder.submit()?;
        gpu.wait()?;
        host.done = since(Instant::now());
        let submissions = recorder.submissions().iter();
        host.submissions = submissions.map(|&(begin, end)| (since(begin), since(end))).collect();
        let clock = match &timestamps {
            Some(timestamps) => {
                spans = gpu.read_timestamps(timestamps, recorder.timed_launches())?;
                Clock::Timestamps
            }
            None => Clock::Wall,
        };
        let launch = |(&(place, images), &span)| TimedLaunch { place, images, span };
        let launches: Vec<_> = order.iter().zip(&spans).map(launch).collect();
        let times = self.sums(network, batch, &launches);
        Ok(TimedRun { times, launches, host, clock })
    }

    fn sums(&self, network: &Network, batch: &Batch, launches: &[TimedLaunch]) -> Vec<LaunchTime> {
        let images = batch.count as u64;
        let time = |bound: &Bound| LaunchTime {
            info: bound.info(),
            seconds: 0.0,
            flop: bound.op.flop(images),
            bytes: bound.op.bytes(images),
        };
        let mut times: Vec<_> = self.all(network).map(time).collect();
        for launch in launches {
            times[launch.place].seconds += launch.span.seconds();
        }
        times
    }

    /// The launches of a micro-batch, and for training the updates.
    pub(super) fn all<'a>(&'a self, network: &'a Network) -> impl Iterator<Item = &'a Bound> {
        let updates = if self.pass == Pass::Train { network.updates.as_slice() } else { &[] };
        self.bound.iter().chain(updates)
    }

    /// Records a batch, calling `after` with place and images of each launch once it is recorded.
    fn record(
        &self,
        network: &Network,
        batch: &Batch,
        recorder: &mut Recorder<'_>,
        mut after: impl FnMut(usize, usize, &mut Recorder<'_>) -> Result<(), GraphError>,
    ) -> Result<(), GraphError> {
        self.check(network, batch)?;
        if self.pass == Pass::Train {
            self.source.draw(network.gpu(), network.architecture().input(), batch)?;
        }
        let step = network.options().optimizer.step(batch.step());
        for base in (0..batch.count).step_by(self.micro_batch) {
            let images = self.micro_batch.min(batch.count - base) as u32;
            let step = Step {
                images,
                image_base: base as u32,
                sample_base: (batch.first + base) as u32,
                accumulate: u32::from(base > 0),
                ..step
            };
            let mut slot = recorder.step(&step)?;
            for (place, bound) in self.bound.iter().enumerate() {
                let flop = bound.op.flop(u64::from(images));
                recorder.launch(&bound.launch, slot, images, flop);
                after(place, images as usize, recorder)?;
                if recorder.is_full() || recorder.is_empty() {
                    recorder.submit()?;
                    slot = recorder.step(&step)?;
                }
            }
        }
        if self.pass == Pass::Train {
            for (i, bound) in network.updates.iter().enumerate() {
                let slot = recorder.step(&step)?;
                recorder.launch(&bound.launch, slot, 1, 0);
                after(self.bound.len() + i, batch.count, recorder)?;
            }
        }
        Ok(())
    }

    fn check(&self, network: &Network, batch: &Batch) -> Result<(), GraphError> {
        let count = self.source.count();
        let in_place = self.pass == Pass::Train && network.plan().in_place;
        if in_place && batch.count > self.micro_batch {
            return Err(GraphError::Images {
                found: format!("a batch of {}", batch.count),
                expected: format!("at most {}, as the network updates in place", self.micro_batch),
            });
        }
        if batch.count == 0 || batch.first + batch.count > count {
            return Err(GraphError::Images {
                found: format!("a batch of {} from {}", batch.count, batch.first),
                expected: format!("one within {count} images"),
            });
        }
        Ok(())
    }

    /// The logits of the last micro-batch run, `(images, classes)`.
    ///
    /// # Errors
    /// [`GraphError::Gpu`] if the device fails.
    pub fn read_logits(&self, network: &Network, images: usize) -> Result<Vec<f32>, GraphError> {
        let classes = network.architecture().classes();
        let stored: Vec<f32> = network.gpu().read(&self.logits)?;
        let rows = stored.chunks_exact(classes.next_multiple_of(4)).take(images);
        Ok(rows.flat_map(|row| row[..classes].iter().copied()).collect())
    }
}

impl Network {
    /// Starts to copy the metrics of the last [`METRIC_SLOTS`] batches to the host: four values a
    /// batch, the sum of losses, the number of right predictions, the number of images, and 0.
    ///
    /// # Errors
    /// [`GraphError::Gpu`] if the device fails.
    pub fn start_metrics(&self) -> Result<Readback, GraphError> {
        Ok(self
            .gpu()
            .start_read(&self.metrics.whole().part(0, METRIC_SLOTS as u64 * METRIC_BYTES))?)
    }

    /// A ring to read the metrics of `capacity` batches through.
    ///
    /// # Errors
    /// [`GraphError::Gpu`] if its buffers cannot be made.
    pub fn metrics_ring(&self, capacity: usize) -> Result<ReadRing, GraphError> {
        Ok(ReadRing::new(self.gpu(), capacity, METRIC_BYTES)?)
    }

    /// The part of the device's memory that holds the metrics of batch `number`, of which the same
    /// is true as of [`Network::start_metrics`].
    pub fn metrics_of(&self, number: u32) -> BufferRange {
        let slot = u64::from(number) % METRIC_SLOTS as u64;
        self.metrics.whole().part(slot * METRIC_BYTES, METRIC_BYTES)
    }
}

impl Batch {
    fn step(&self) -> Step {
        Step {
            images: 1,
            slot: self.number % METRIC_SLOTS as u32,
            seed: self.seed,
            number: self.number,
            learning_rate: self.learning_rate,
            label_smoothing: self.label_smoothing,
            loss_scale: 1.0 / self.count as f32,
            ..Step::default()
        }
    }
}

impl Bound {
    fn info(&self) -> LaunchInfo {
        let (layer, op) = (self.layer.clone(), self.op.name());
        LaunchInfo { layer, op, variant: self.launch.variant }
    }
}
