//! The whole path learns: a network drives the loss over a few real images to nothing.

use std::sync::Arc;

use vgg_wgpu::data;
use vgg_wgpu::graph::{Architecture, Network, NetworkOptions};
use vgg_wgpu::train::history::EpochRecord;
use vgg_wgpu::train::{self, FitOptions, Init, Observer, TrainError, Trainer};

use crate::device;

/// Ends the run as soon as the goal is reached, by an error that the test knows.
struct Until {
    loss: f64,
    last: f64,
}

impl Observer for Until {
    fn epoch(&mut self, _trainer: &Trainer, record: &EpochRecord) -> Result<(), TrainError> {
        self.last = record.val_loss;
        match record.val_loss < self.loss {
            true => Err(TrainError::NoImages { which: "further" }),
            false => Ok(()),
        }
    }
}

#[test]
fn sixty_four_real_images_are_learnt_by_heart() {
    let Some(devices) = device::open() else { return };
    let set = data::embedded().unwrap();
    let images = set.train.shuffled_subset(64, 5);
    let architecture = Architecture::builder().ratio(4).input(1, 32, 32).dropout(0.0);
    let options = NetworkOptions { batch: 32, momentum: true, ..Default::default() };
    let gpu = Arc::clone(devices.usual.gpu());
    let network = Network::new(gpu, architecture.build().unwrap(), options).unwrap();
    train::initialise(&network, Init::Kaiming, 1).unwrap();
    // Validated on the same images: by how much they are known, without dropout.
    let mut trainer = Trainer::new(network, &images, &images).unwrap();
    let fit = FitOptions {
        epochs: 60,
        batch: 32,
        learning_rate: 0.02,
        momentum: 0.9,
        seed: 1,
        shuffle: true,
    };
    let mut until = Until { loss: 0.01, last: f64::NAN };
    let ended = trainer.fit(&fit, &mut until);
    assert!(until.last < 0.01, "the loss is still {} ({ended:?})", until.last);
    let known = trainer.evaluate(32).unwrap();
    assert_eq!((known.hits, known.images), (64, 64));
}
