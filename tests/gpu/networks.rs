//! Small networks with random weights and images, for the tests of whole passes.

use std::sync::Arc;

use vgg_wgpu::gpu::Gpu;
use vgg_wgpu::graph::{
    Architecture, Batch, Block, ImageSource, METRIC_SLOTS, Network, NetworkOptions, Pass, Pixels,
    Program, ResizeFilter, SourceShape,
};
use vgg_wgpu::shape::{Head, Layout};
use vgg_wgpu::weights::norm_from_torch;

/// Images of the set that the networks here train with.
pub const IMAGES: usize = 40;

/// Three channels of 10x9, blocks of 6 and 10 channels, hidden layers of 12 and 9, five classes:
/// nothing is a multiple of a tile, and all paddings occur.
pub fn tiny(dropout: f32) -> Architecture {
    let blocks = [(1, 6), (2, 10)].map(|(convolutions, channels)| Block { convolutions, channels });
    let builder = Architecture::builder().blocks(blocks.to_vec()).input(3, 10, 9);
    builder.hidden(vec![12, 9]).classes(5).dropout(dropout).build().unwrap()
}

/// The same with batch normalisation, or with average pooling before the dense layers, without
/// dropout.
pub fn tiny_of(batch_norm: bool, head: Head) -> Architecture {
    let blocks = [(1, 6), (2, 10)].map(|(convolutions, channels)| Block { convolutions, channels });
    let builder = Architecture::builder().blocks(blocks.to_vec()).input(3, 10, 9);
    let builder = builder.batch_norm(batch_norm).head(head).dropout(0.0);
    builder.hidden(vec![12, 9]).classes(5).build().unwrap()
}

/// A network with its two passes over one set of random images.
pub struct Bench {
    pub network: Network,
    pub train: Program,
    pub infer: Program,
}

impl Bench {
    /// `architecture` with weights and images drawn from `seed`.
    pub fn new(
        gpu: &Arc<Gpu>,
        architecture: Architecture,
        options: NetworkOptions,
        seed: u64,
    ) -> Self {
        let (input, classes) = (architecture.input(), architecture.classes());
        let network = Network::new(Arc::clone(gpu), architecture, options).unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        for i in 0..network.parameters().len() {
            let values = weights(network.parameters()[i].layout, &mut random);
            network.write_parameter(i, &values).unwrap();
        }
        // Not the network's resolution: the resize is part of the pass.
        let shape = SourceShape { count: IMAGES, height: 8, width: 11, channels: input.channels };
        let mut pixels = vec![0; IMAGES * 8 * 11 * input.channels];
        random.fill(&mut pixels);
        let labels: Vec<u32> = (0..IMAGES).map(|_| u32::from(random.u8(..classes as u8))).collect();
        let pixels = Pixels::Bytes(&pixels, ResizeFilter::Bilinear);
        let source = Arc::new(ImageSource::upload(gpu, shape, pixels, &labels).unwrap());
        let train = network.bind(Pass::Train, Arc::clone(&source)).unwrap();
        let infer = network.bind(Pass::Infer, source).unwrap();
        Self { network, train, infer }
    }

    /// Runs a batch and returns its metrics: the sum of losses, hits, images.
    pub fn run(&self, program: &Program, batch: Batch) -> [f32; 3] {
        program.run(&self.network, &batch).unwrap();
        let readback = self.network.start_metrics().unwrap();
        let ring: Vec<f32> = self.network.gpu().finish_read(readback).unwrap();
        let slot = batch.number as usize % METRIC_SLOTS * 4;
        [ring[slot], ring[slot + 1], ring[slot + 2]]
    }

    pub fn parameters(&self) -> Vec<Vec<f32>> {
        let all = 0..self.network.parameters().len();
        all.map(|i| self.network.read_parameter(i).unwrap()).collect()
    }

    pub fn gradients(&self) -> Vec<Vec<f32>> {
        let all = 0..self.network.parameters().len();
        all.map(|i| self.network.read_gradient(i).unwrap().unwrap()).collect()
    }
}

/// The batch of `count` images from `first` on.
pub fn batch(number: u32, first: usize, count: usize) -> Batch {
    Batch { first, count, number, seed: 7, learning_rate: 0.05, ..Batch::default() }
}

/// Uniform in ±sqrt(6 / inputs), so that activations keep their size; paddings zero.
fn weights(layout: Layout, random: &mut fastrand::Rng) -> Vec<f32> {
    let inputs = match layout {
        Layout::Filter { c, .. } => 9 * c,
        Layout::Panels { inputs, .. } => inputs,
        // Around the identity: scales in [0.5, 1.5], shifts in [-0.5, 0.5].
        Layout::Norm { c } => {
            let mut near = |middle: f32| (0..c).map(|_| middle + random.f32() - 0.5).collect();
            let (scale, shift): (Vec<f32>, Vec<f32>) = (near(1.0), near(0.0));
            return norm_from_torch(&[&scale, &shift]);
        }
        other => panic!("{other:?} holds no parameter"),
    };
    let bound = (6.0 / inputs as f32).sqrt();
    let mut value = |i| match layout.is_padding(i) {
        true => 0.0,
        false => bound * (2.0 * random.f32() - 1.0),
    };
    (0..layout.len(1)).map(&mut value).collect()
}
