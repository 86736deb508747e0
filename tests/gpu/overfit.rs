//! The whole path learns: a network drives the loss over a few real images to nothing.

use std::ops::ControlFlow;
use std::sync::Arc;

use vgg_wgpu::data;
use vgg_wgpu::graph::{Architecture, Network, NetworkOptions};
use vgg_wgpu::ops::Optimizer;
use vgg_wgpu::train::history::EpochRecord;
use vgg_wgpu::train::{self, FitOptions, Init, Observer, TrainError, Trainer};

use crate::device;

/// Ends the run as soon as the validation loss is below `goal`.
struct Until {
    goal: f64,
    losses: Vec<f64>,
}

impl Observer for Until {
    fn epoch(
        &mut self,
        _trainer: &Trainer,
        record: &EpochRecord,
    ) -> Result<ControlFlow<()>, TrainError> {
        self.losses.push(record.val_loss);
        Ok(match record.val_loss < self.goal {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }
}

#[test]
fn sixty_four_real_images_are_learnt_by_heart() {
    let Some(devices) = device::open() else { return };
    let set = data::embedded().unwrap();
    let images = set.train.shuffled_subset(64, 5);
    let architecture = Architecture::builder().ratio(4).input(1, 32, 32).dropout(0.0);
    let options =
        NetworkOptions { batch: 16, optimizer: Optimizer::sgd(0.9), ..Default::default() };
    let gpu = Arc::clone(devices.usual.gpu());
    let network = Network::new(gpu, architecture.build().unwrap(), options).unwrap();
    train::initialise(&network, Init::Kaiming, 1).unwrap();
    // Validated on the same images: by how much they are known, without dropout.
    let mut trainer = Trainer::new(network, &images, &images).unwrap();
    let fit = FitOptions {
        epochs: 150,
        batch: 16,
        learning_rate: 0.01,
        seed: 1,
        shuffle: true,
        ..FitOptions::default()
    };
    let mut until = Until { goal: 0.01, losses: Vec::new() };
    trainer.fit(&fit, &mut until).unwrap();
    let last = until.losses.last().copied().unwrap_or(f64::NAN);
    assert!(last < 0.01, "the loss is not under 0.01: {:.4?}", until.losses);
    let known = trainer.evaluate(64).unwrap();
    assert_eq!((known.hits, known.images), (64, 64));
}
