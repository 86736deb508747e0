//! Sets of images that are read one at a time.

use std::error::Error;
use std::fmt::Debug;

use super::Split;

/// Why an image of a set could not be read.
pub type ReadError = Box<dyn Error + Send + Sync>;

/// Labelled images of one size, read by number and on several threads at once: what a training run that
/// does not keep all images on the device takes them from.
///
/// Reading the same image again gives the same bytes: a run that is repeated depends on it.
pub trait ImageSet: Debug + Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// True without images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows, columns and channels of each image; 1 (grey) or 3 (red, green, blue) channels.
    fn shape(&self) -> (usize, usize, usize);

    /// The class of an image, from 0.
    fn label(&self, index: usize) -> u32;

    /// Writes the values of an image, 0 to 255, `(rows, columns, channels)` in row-major order, to all
    /// of `pixels`.
    ///
    /// # Errors
    /// Whatever keeps it from being read; it ends the run.
    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), ReadError>;
}

impl ImageSet for Split {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> (usize, usize, usize) {
        (self.images.height, self.images.width, self.images.channels)
    }

    fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), ReadError> {
        let image = self.images.image(index).ok_or("there is no image of this number")?;
        pixels.copy_from_slice(image);
        Ok(())
    }
}
