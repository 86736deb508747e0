//! Filters that were learnt on some classes serve for others: weights are read from a file, the last layer
//! is drawn anew, the convolutions stay as they are, and the dense layers are trained.
//!
//! So that it runs as it is, the file holds a small network trained here, on seven classes of
//! Fashion-MNIST; the three others are what it then learns. `weights::import` reads torchvision's
//! `vgg16.pth` as well.
//!
//! ```sh
//! cargo run --release --example transfer_learning -- shoes.safetensors
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vgg_wgpu::data::{self, Dataset, Images, Split};
use vgg_wgpu::gpu::{Gpu, GpuOptions};
use vgg_wgpu::graph::{Architecture, Network, NetworkOptions};
use vgg_wgpu::ops::Optimizer;
use vgg_wgpu::train::{self, Card, FitOptions, Init, Trainer};
use vgg_wgpu::weights::{self, ImportOptions};

/// Images in a batch.
const BATCH: usize = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let out =
        std::env::args().nth(1).map_or_else(|| "transferred.safetensors".into(), PathBuf::from);
    let gpu = Arc::new(Gpu::open(&GpuOptions::default())?);
    let images = data::embedded()?;
    learn_seven(&gpu, &images, &out)?;

    // The network of the file with a last layer for the new classes.
    let names: Vec<String> = images.classes[7..].to_vec();
    let mut random = fastrand::Rng::with_seed(2);
    let model = weights::import(&out, &ImportOptions::default())?
        .model
        .with_classes(names.clone(), |name, shape| Init::Xavier.draw(name, shape, &mut random));

    // Frozen, the convolutions have no gradients and no backward pass.
    let architecture = train::architecture_of(&model.description)?;
    let options = NetworkOptions { freeze_features: true, ..options() };
    let network = Network::new(gpu, architecture, options)?;
    train::load(&network, &model)?;
    let (train, test) = (only(&images.train, 7..10, 300), only(&images.test, 7..10, 120));
    let mut trainer = Trainer::new(network, &train, &test)?;
    let before = trainer.evaluate(BATCH)?.accuracy();
    trainer.fit(&fit(2), &mut ())?;
    let after = trainer.evaluate(BATCH)?.accuracy();
    println!("{}: accuracy {before:.4} before, {after:.4} after", names.join(", "));

    train::save(trainer.network(), &Card::of(&names), &out)?;
    println!("saved {}", out.display());
    Ok(())
}

/// Trains a network on the first seven classes and writes it to a file.
fn learn_seven(gpu: &Arc<Gpu>, images: &Dataset, file: &Path) -> Result<(), Box<dyn Error>> {
    let names = &images.classes[..7];
    let architecture = Architecture::builder()
        .table("1x8,1x16,1x32")?
        .hidden(vec![64])
        .dropout(0.2)
        .input(1, 24, 24)
        .classes(names.len())
        .build()?;
    let network = Network::new(Arc::clone(gpu), architecture, options())?;
    train::initialise(&network, Init::Kaiming, 1)?;
    let (train, test) = (only(&images.train, 0..7, 1400), only(&images.test, 0..7, 280));
    let mut trainer = Trainer::new(network, &train, &test)?;
    trainer.fit(&fit(2), &mut ())?;
    let accuracy = trainer.evaluate(BATCH)?.accuracy();
    println!("{}: accuracy {accuracy:.4}", names.join(", "));
    Ok(train::save(trainer.network(), &Card::of(names), file)?)
}

fn options() -> NetworkOptions {
    NetworkOptions { batch: BATCH, optimizer: Optimizer::sgd(0.9), ..NetworkOptions::default() }
}

fn fit(epochs: u32) -> FitOptions {
    FitOptions { epochs, batch: BATCH, learning_rate: 0.02, ..FitOptions::default() }
}

/// The first `most` images of some classes, with labels from 0.
fn only(split: &Split, classes: std::ops::Range<u32>, most: usize) -> Split {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let wanted = split.labels.iter().enumerate().filter(|(_, label)| classes.contains(label));
    for (i, label) in wanted.take(most) {
        pixels.extend_from_slice(split.images.image(i).unwrap_or_default());
        labels.push(label - classes.start);
    }
    let Images { height, width, channels, .. } = split.images;
    Split { images: Images { count: labels.len(), height, width, channels, pixels }, labels }
}
