//! A network of one's own: a table of blocks, its layers and memory before anything runs, and an epoch of
//! training on the images inside the crate.
//!
//! ```sh
//! cargo run --release --example custom_architecture
//! ```

use std::error::Error;
use std::sync::Arc;

use vgg_wgpu::data;
use vgg_wgpu::gpu::{Gpu, GpuOptions};
use vgg_wgpu::graph::{self, Architecture, Block, Network, NetworkOptions};
use vgg_wgpu::ops::Optimizer;
use vgg_wgpu::train::{self, FitOptions, Init, Trainer};

/// Images in a batch.
const BATCH: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    // Three blocks of 3x3 convolutions, each with batch normalisation and a pooling at its end: the map
    // shrinks from 24x24 to 3x3, and a hidden dense layer reads its 3 * 3 * 32 values.
    let block = |convolutions, channels| Block { convolutions, channels };
    let architecture = Architecture::builder()
        .blocks(vec![block(1, 8), block(2, 16), block(1, 32)])
        .batch_norm(true)
        .hidden(vec![64])
        .dropout(0.2)
        .input(1, 24, 24)
        .classes(10)
        .build()?;
    for (name, layer) in architecture.layers() {
        let (parameters, mflop) = (layer.parameters(), layer.flop() as f64 / 1e6);
        println!("{name:<14} {parameters:>7} parameters {mflop:>8.3} MFLOP forward");
    }

    // What the adapter will be asked for, and whether batches have to be cut: nothing is allocated yet.
    let gpu = Arc::new(Gpu::open(&GpuOptions::default())?);
    let options = NetworkOptions {
        batch: BATCH,
        optimizer: Optimizer::sgd(0.9),
        ..NetworkOptions::default()
    };
    let plan = graph::plan(&architecture, &options, gpu.facts())?;
    println!(
        "plan: {:.1} MiB for {BATCH} images, {} at a time, on {}",
        plan.bytes() as f64 / f64::from(1 << 20),
        plan.micro_batch,
        gpu.facts()
    );

    let network = Network::new(gpu, architecture, options)?;
    train::initialise(&network, Init::Kaiming, 1)?;
    let images = data::embedded()?;
    let (some, test) = (images.train.shuffled_subset(1000, 1), images.test.take(200));
    let mut trainer = Trainer::new(network, &some, &test)?;
    let fit = FitOptions { epochs: 1, batch: BATCH, learning_rate: 0.02, ..FitOptions::default() };
    // Nobody looks on; a `RunFolder` in place of `()` would keep each epoch on disk.
    let history = trainer.fit(&fit, &mut ())?;
    for epoch in &history.epochs {
        let (number, loss, accuracy) = (epoch.epoch, epoch.val_loss, epoch.val_acc);
        println!("epoch {number}: test loss {loss:.4}, accuracy {accuracy:.4}");
    }
    Ok(())
}
