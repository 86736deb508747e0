//! Sets of labelled images: the IDX files of Fashion-MNIST and of sets made like it, and pictures.
//!
//! [`open`] finds a set (a folder named by the user, the folders where Fashion-MNIST usually lies,
//! or the subset embedded in the program) and reads it whole, as bytes; [`fetch`] downloads
//! Fashion-MNIST; [`permutation`] orders the images of an epoch; [`resize_pillow`] and
//! [`resize_and_crop`] make a network's input of pictures of any size.
//!
//! [`find_pictures`] and [`pictures_of_csv`] find the pictures of a set, which [`read_pictures`] decodes
//! into memory and a [`PictureSet`] or a [`CachedSet`] as a run goes on: these are [`ImageSet`]s, the trait
//! for sets of one's own.
//!
//! ```no_run
//! use vgg_wgpu::data;
//!
//! let set = data::open(None)?;
//! println!("{set}");
//! let train = set.train.shuffled_subset(1000, 42);
//! assert_eq!(train.len(), 1000);
//! # Ok::<(), data::DataError>(())
//! ```

mod download;
mod embedded;
mod error;
mod fetch;
mod idx;
mod load;
mod locate;
mod picture;
mod pictures;
mod set;
mod shuffle;

use std::fmt;
use std::path::PathBuf;

pub use embedded::embedded;
pub use error::{DataError, FetchError};
pub use fetch::{FetchOptions, MIRRORS, Progress, RemoteFile, fetch};
pub use idx::{parse_images, parse_labels, read_images, read_labels};
pub use load::FASHION_MNIST_CLASSES;
pub use locate::{DATA_ENV, Places, SYSTEM_DIR, cache_dir, open, open_with, user_cache};
pub use picture::{PictureError, grey, resize_and_crop, resize_pillow};
pub use pictures::{
    BadPicture, Cached, CachedSet, EXTENSIONS, Found, Picture, PictureForm, PictureProblem,
    PictureSet, cached_pictures, check_pictures, find_pictures, in_memory, pictures_of_csv,
    pictures_under, read_pictures,
};
pub use set::{ImageSet, ReadError};
pub use shuffle::permutation;

/// Images of one size, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Number of images.
    pub count: usize,
    /// Rows of each image.
    pub height: usize,
    /// Columns of each image.
    pub width: usize,
    /// Values of each pixel: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Values from 0 to 255, `(count, height, width, channels)` in row-major order.
    pub pixels: Vec<u8>,
}

impl Images {
    /// Bytes of one image.
    pub fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The pixels of one image, `(height, width, channels)`.
    pub fn image(&self, index: usize) -> Option<&[u8]> {
        let start = index.checked_mul(self.image_len())?;
        self.pixels.get(start..start.checked_add(self.image_len())?)
    }
}

/// Images and the class of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The images.
    pub images: Images,
    /// The class of each image, from 0.
    pub labels: Vec<u32>,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The first `n` images, or all where there are fewer.
    pub fn take(mut self, n: usize) -> Self {
        let n = n.min(self.len());
        self.labels.truncate(n);
        self.images.pixels.truncate(n * self.images.image_len());
        self.images.count = n;
        self
    }

    /// `n` images drawn without repetition, or all where there are fewer, in the order drawn: the
    /// first `n` of [`permutation`] with this seed and epoch 0. So a larger `n` with the same seed
    /// begins with the same images.
    pub fn shuffled_subset(&self, n: usize, seed: u64) -> Self {
        let n = n.min(self.len());
        let mut pixels = Vec::with_capacity(n * self.images.image_len());
        let mut labels = Vec::with_capacity(n);
        for index in permutation(self.len(), seed, 0).into_iter().take(n) {
            let index = index as usize;
            if let (Some(image), Some(&label)) = (self.images.image(index), self.labels.get(index))
            {
                pixels.extend_from_slice(image);
                labels.push(label);
            }
        }
        let Images { height, width, channels, .. } = self.images;
        Self { images: Images { count: labels.len(), height, width, channels, pixels }, labels }
    }
}

/// A set for training and the set to test with.
///
/// Prints as one sentence: `Fashion-MNIST subset embedded in the program: 10000 train and 2000
/// test images`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// What the set is called: `Fashion-MNIST`, or the name of its folder.
    pub name: String,
    /// Where it was found.
    pub source: Source,
    /// The images to train with.
    pub train: Split,
    /// The images to test with, of the same size as those of `train`.
    pub test: Split,
    /// The name of each class; every label is less than their number.
    pub classes: Vec<String>,
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (train, test) = (self.train.len(), self.test.len());
        write!(f, "{} {}: {train} train and {test} test images", self.name, self.source)
    }
}

/// Where a set was found. Prints as the words that follow its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The folder that the caller named.
    Directory(PathBuf),
    /// The folder named by the environment variable [`DATA_ENV`].
    Environment(PathBuf),
    /// The user's cache folder, which [`fetch`] fills.
    Cache(PathBuf),
    /// The folder of the system's package.
    System(PathBuf),
    /// The subset inside the program.
    Embedded,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => write!(f, "from {}", dir.display()),
            Self::Environment(dir) => write!(f, "from {} (${DATA_ENV})", dir.display()),
            Self::Cache(dir) => write!(f, "from the cache folder {}", dir.display()),
            Self::System(dir) => write!(f, "from the system's folder {}", dir.display()),
            Self::Embedded => write!(f, "embedded in the program"),
        }
    }
}
