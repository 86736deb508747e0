//! The subset of Fashion-MNIST inside the program; `data/README.md` tells how it was drawn.

use std::path::Path;

use super::load::{FASHION_MNIST_CLASSES, File, Set, assemble};
use super::{DataError, Dataset, Source, idx};

/// A file of the subset under the name that errors use.
macro_rules! file {
    ($name:literal) => {
        (
            concat!("embedded:", $name),
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/data/fashion-mnist-subset/",
                $name
            ))
            .as_slice(),
        )
    };
}

const TRAIN_IMAGES: (&str, &[u8]) = file!("train-images-idx3-ubyte.gz");
const TRAIN_LABELS: (&str, &[u8]) = file!("train-labels-idx1-ubyte.gz");
const TEST_IMAGES: (&str, &[u8]) = file!("t10k-images-idx3-ubyte.gz");
const TEST_LABELS: (&str, &[u8]) = file!("t10k-labels-idx1-ubyte.gz");

/// The class-balanced subset of Fashion-MNIST embedded in the program: 10,000 images to train with
/// and 2,000 to test with, of 28x28 grey pixels, in a fixed shuffled order.
///
/// # Errors
///
/// None but for a damaged program.
pub fn embedded() -> Result<Dataset, DataError> {
    let images = |(name, bytes): (&'static str, &'static [u8])| {
        idx::parse_images(bytes, Path::new(name)).map(|content| File::new(name, content))
    };
    let labels = |(name, bytes): (&'static str, &'static [u8])| {
        idx::parse_labels(bytes, Path::new(name)).map(|content| File::new(name, content))
    };
    let set = Set {
        train: (images(TRAIN_IMAGES)?, labels(TRAIN_LABELS)?),
        test: (images(TEST_IMAGES)?, labels(TEST_LABELS)?),
    };
    let classes = FASHION_MNIST_CLASSES.map(String::from).to_vec();
    assemble("Fashion-MNIST subset".to_string(), Source::Embedded, set, classes)
}
