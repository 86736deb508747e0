//! A network with random weights, its steps timed.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, bail, ensure};
use vgg_wgpu::gpu::{AdapterFacts, Gpu};
use vgg_wgpu::graph::{
    Architecture, Batch, Checked, Fill, GraphError, ImageSource, Network, NetworkOptions,
    Parameter, Pixels, Program, ResizeFilter, SourceShape, TimedRun,
};
use vgg_wgpu::ops::VerifyError;
use vgg_wgpu::shape::Layout;
use vgg_wgpu::weights::norm_from_torch;

use super::super::common::variants;
use super::super::network::{NetworkArgs, PassArg};
use super::super::tuned::from_cache;
use super::BenchArgs;
use super::report::Config;

const CHANNELS: usize = 1;
const CLASSES: usize = 10;

/// What is measured: the flags, with what a sweep changes of them.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    pub args: &'a BenchArgs,
    pub network: NetworkArgs,
    pub batch: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Measured {
    /// From the start of the program to the network bound to its images.
    pub startup_ms: f64,
    /// From submission to completion of the first step.
    pub first_step_ms: f64,
    /// Whole steps, and those between them whose kernels were timed.
    pub step_ms: Vec<f64>,
    pub runs: Vec<TimedRun>,
    pub checked: Vec<Checked>,
    pub micro_batch: usize,
    pub planned_bytes: u64,
    /// Choices of kernels that were tuned.
    pub tuned: usize,
    /// Floating-point operations of a step.
    pub flop: u64,
}

impl<'a> Case<'a> {
    /// What the flags say.
    pub fn of(args: &'a BenchArgs) -> Self {
        Self { args, network: args.network.clone(), batch: args.batch }
    }

    /// The network.
    pub fn architecture(&self) -> Result<Architecture, GraphError> {
        self.network.architecture(CHANNELS, CLASSES)
    }

    /// How the network is laid out.
    pub fn options(&self, facts: &AdapterFacts) -> Result<NetworkOptions> {
        let options = NetworkOptions {
            batch: self.batch,
            train: self.args.pass == PassArg::Train,
            ghost_batch: self.network.ghost_batch_norm,
            update_in_place: true,
            ..NetworkOptions::default()
        };
        self.args.memory.apply(options, facts)
    }

    /// What identifies the work, for reports; the micro-batch is not known yet.
    pub fn config(&self) -> Config {
        Config {
            arch: self.network.arch().to_owned(),
            ratio: self.network.ratio(),
            resize: self.network.resize(),
            head: self.network.head,
            batch: self.batch,
            micro_batch: 0,
            pass: self.args.pass,
            steps: self.args.steps,
        }
    }

    /// Builds the network, checks its kernels, and times its steps; with `kernels` each is followed by
    /// one whose kernels are timed.
    pub fn measure(&self, gpu: &Arc<Gpu>, start: Instant, kernels: bool) -> Result<Measured> {
        let (network, program) = self.prepare(gpu)?;
        gpu.wait()?;
        let startup_ms = milliseconds(start);
        let bench = Bench { case: self, network: &network, program: &program };
        let first_step_ms = bench.step(0)?;
        bench.check()?;
        let checked = program
            .verify(&network, self.args.seed)
            .map_err(|error| with_another_variant(error, gpu.facts()))?;
        bench.step(1)?;
        let (mut step_ms, mut runs) = (Vec::new(), Vec::new());
        for number in (2..).take(self.args.steps) {
            step_ms.push(bench.step(number)?);
            if kernels {
                runs.push(program.run_timed(&network, &bench.batch(number))?);
            }
        }
        let each = match self.args.pass {
            PassArg::Train => network.architecture().training_flop(),
            PassArg::Infer => network.architecture().forward_flop(),
        };
        Ok(Measured {
            startup_ms,
            first_step_ms,
            step_ms,
            runs,
            checked,
            micro_batch: network.plan().micro_batch,
            planned_bytes: network.plan().bytes(),
            tuned: network.options().choices.len(),
            flop: each * self.batch as u64,
        })
    }

    /// The network with random weights, bound to a batch of random images.
    fn prepare(&self, gpu: &Arc<Gpu>) -> Result<(Network, Program)> {
        let (architecture, facts) = (self.architecture()?, gpu.facts());
        let options = from_cache(&architecture, self.options(facts)?, facts);
        let network = Network::new(Arc::clone(gpu), architecture, options)?;
        // Both at once: the device fills weights while the host makes kernels.
        let program = thread::scope(|scope| {
            let filled = scope.spawn(|| fill(&network, self.args.seed));
            let program = self
                .images(gpu)
                .and_then(|images| Ok(network.bind(self.args.pass.into(), Arc::new(images))?));
            filled.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            program
        })?;
        Ok((network, program))
    }

    /// A batch of random images on the device.
    fn images(&self, gpu: &Arc<Gpu>) -> Result<ImageSource> {
        let mut random = fastrand::Rng::with_seed(self.args.seed);
        let (count, size) = (self.batch, self.network.resize());
        let shape = SourceShape { count, height: size, width: size, channels: CHANNELS };
        let mut pixels = vec![0; count * size * size * CHANNELS];
        random.fill(&mut pixels);
        let labels: Vec<u32> = (0..count).map(|_| u32::from(random.u8(..CLASSES as u8))).collect();
        let pixels = Pixels::Bytes(&pixels, ResizeFilter::Bilinear);
        Ok(ImageSource::upload(gpu, shape, pixels, &labels)?)
    }
}

/// Sets parameters to values that keep the size of activations from layer to layer: uniform in
/// ±sqrt(6 / inputs) (He et al., arXiv:1502.01852).
fn fill(network: &Network, seed: u64) -> Result<(), GraphError> {
    let mut fills = Vec::new();
    for (parameter, Parameter { layout, .. }) in network.parameters().iter().enumerate() {
        let inputs = match *layout {
            Layout::Filter { c, .. } => 9 * c,
            Layout::Panels { inputs, .. } => inputs,
            Layout::Norm { c } => {
                // The identity: scale 1, shift 0.
                let identity = norm_from_torch(&[&vec![1.0; c], &vec![0.0; c]]);
                network.write_parameter(parameter, &identity)?;
                continue;
            }
            _ => layout.len(1),
        };
        let bound = (6.0 / inputs.max(1) as f32).sqrt();
        let seed = (seed as u32).wrapping_mul(65_537).wrapping_add(parameter as u32);
        fills.push(Fill { parameter, bound, seed });
    }
    network.fill_parameters(&fills)
}

/// The error, and for wrong results the flag that avoids them.
pub fn with_another_variant(error: VerifyError, facts: &AdapterFacts) -> anyhow::Error {
    let wrong = match &error {
        VerifyError::Wrong(difference) => difference.variant,
        VerifyError::OutOfBounds { variant, .. } => variant,
        _ => return error.into(),
    };
    let of_its_op = variants(facts).find(|(_, all)| all.iter().any(|v| v.name == wrong));
    let others = of_its_op.into_iter().flat_map(|(_, all)| all);
    let mut others = others.filter(|v| v.name != wrong && v.supported.is_ok()).map(|v| v.name);
    match others.next() {
        Some(other) => anyhow!("{error}; --variant {other} takes another kernel"),
        None => anyhow!("{error}; there is no other --variant here, only another --adapter"),
    }
}

struct Bench<'a> {
    case: &'a Case<'a>,
    network: &'a Network,
    program: &'a Program,
}

impl Bench<'_> {
    /// All images; nothing is learnt, so that every step does the same work.
    fn batch(&self, number: u32) -> Batch {
        let (count, seed) = (self.case.batch, self.case.args.seed as u32);
        Batch { count, number, seed, ..Batch::default() }
    }

    /// Runs a step to its end and returns its milliseconds.
    fn step(&self, number: u32) -> Result<f64> {
        let start = Instant::now();
        self.program.run(self.network, &self.batch(number))?;
        self.network.gpu().wait()?;
        Ok(milliseconds(start))
    }

    /// Refuses to time a step whose results cannot be right.
    fn check(&self) -> Result<()> {
        let (gpu, batch) = (self.network.gpu(), self.case.batch);
        let name = &gpu.facts().name;
        let metrics: Vec<f32> = gpu.finish_read(self.network.start_metrics()?)?;
        let slot = metrics.get(..4).unwrap_or_default();
        if let [loss, _, images, _] = *slot {
            let mean = loss / images;
            ensure!(
                mean.is_finite() && images == batch as f32,
                "wrong results on {name}: a loss of {mean} over {images} of {batch} images"
            );
        }
        let last = batch % self.network.plan().micro_batch;
        let images = if last == 0 { self.network.plan().micro_batch } else { last };
        let logits = self.program.read_logits(self.network, images)?;
        if !logits.iter().all(|logit| logit.is_finite()) {
            bail!("wrong results on {name}: logits that are no number");
        }
        ensure!(
            logits.iter().any(|&logit| logit != 0.0),
            "wrong results on {name}: all logits are 0"
        );
        Ok(())
    }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
