//! A few images as a network sees them.

use crate::data::{ImageSet, ReadError};
use crate::graph::ResizeFilter;
use crate::kernel::Step;
use crate::ops::{Data, Op, Pictures, ResizeBilinear, ResizePillow, Shard};
use crate::shape::{FeatureMap, Normalisation};

/// An image and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Values from 0 to 255, `(height, width, channels)` in row-major order.
    pub pixels: Vec<u8>,
    /// The class, from 0.
    pub label: u32,
}

impl Sample {
    /// Image `index` of a set, resized to a network's `input` as the network does it. Values are rounded
    /// to bytes, and not normalised.
    ///
    /// # Errors
    /// That of a set whose image cannot be read.
    pub fn of(
        set: &dyn ImageSet,
        index: usize,
        input: FeatureMap,
        filter: ResizeFilter,
    ) -> Result<Self, ReadError> {
        let (source_height, source_width, channels) = set.shape();
        let mut bytes = vec![0; source_height * source_width * channels];
        set.read(index, &mut bytes)?;
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let words = bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect();

        let output = FeatureMap::new(input.height, input.width, channels);
        let shard = Shard { first: 0, count: 1, samples: 1 };
        let normalisation = Normalisation::default();
        let pictures = Pictures { source_height, source_width, shard, normalisation, output };
        let (order, words) = (Data::U(vec![0]), Data::U(words));
        let x = Data::F(vec![0.0; output.len()]);
        let step = Step::default();
        // The references are the definition of what the kernels compute.
        let x = match filter {
            ResizeFilter::Bilinear => {
                let mut buffers = [order, words, x];
                ResizeBilinear(pictures).reference(&step, &mut buffers);
                let [.., x] = buffers;
                x
            }
            ResizeFilter::Pillow => {
                let resize = ResizePillow(pictures);
                let mut buffers = [order, words, Data::U(resize.tables()), x];
                resize.reference(&step, &mut buffers);
                let [.., x] = buffers;
                x
            }
        };
        let byte = |place| (x[place] * 255.0).round().clamp(0.0, 255.0) as u8;
        let places = (0..output.height).flat_map(|row| {
            (0..output.width).flat_map(move |column| {
                (0..channels).map(move |channel| output.index(0, row, column, channel))
            })
        });
        let (height, width, pixels) = (output.height, output.width, places.map(byte).collect());
        Ok(Self { height, width, channels, pixels, label: set.label(index) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Images, Split, resize_pillow};

    fn split(height: usize, width: usize, channels: usize) -> Split {
        let pixels = (0..2 * height * width * channels).map(|i| (i * 37 % 251) as u8).collect();
        Split { images: Images { count: 2, height, width, channels, pixels }, labels: vec![4, 7] }
    }

    #[test]
    fn an_image_of_the_inputs_size_stays_as_it_is() {
        let split = split(5, 5, 3);
        for filter in [ResizeFilter::Bilinear, ResizeFilter::Pillow] {
            let sample = Sample::of(&split, 1, FeatureMap::new(5, 5, 3), filter).unwrap();
            assert_eq!(sample.pixels, split.images.image(1).unwrap());
            assert_eq!((sample.height, sample.width, sample.channels, sample.label), (5, 5, 3, 7));
        }
    }

    #[test]
    fn images_are_resized_by_the_filter() {
        let input = FeatureMap::new(4, 4, 1);
        let split = split(7, 9, 1);
        let pillow = Sample::of(&split, 0, input, ResizeFilter::Pillow).unwrap();
        let image = split.images.image(0).unwrap();
        assert_eq!(pillow.pixels, resize_pillow(image, (7, 9, 1), (4, 4)).unwrap());
        let pixels = vec![0, 100, 0, 100, 0, 100, 0, 100];
        let images = Images { count: 1, height: 2, width: 4, channels: 1, pixels };
        let stripes = Split { images, labels: vec![0] };
        let half = FeatureMap::new(2, 2, 1);
        let bilinear = Sample::of(&stripes, 0, half, ResizeFilter::Bilinear).unwrap();
        assert_eq!(bilinear.pixels, [50; 4]);
    }
}
