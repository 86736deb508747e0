//! Pictures of any size on their way to a network's input, with the bytes that Pillow and
//! torchvision give.

use std::ops::Range;

use thiserror::Error;

use crate::resample::{Axis, Order, resample};

/// A picture that cannot be resized as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PictureError {
    /// The bytes are not those of the picture.
    #[error("{bytes} bytes are no picture of {height}x{width} with {channels} channels")]
    Length {
        /// Bytes given.
        bytes: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Values of a pixel.
        channels: usize,
    },
    /// A picture or a result without pixels, or a side that shaders could not count.
    #[error("a side of {size} pixels is to become one of {wanted}; both must be 1 to 2^32 - 1")]
    Side {
        /// Pixels of the side.
        size: usize,
        /// Pixels asked for.
        wanted: usize,
    },
}

/// Rows, columns and channels.
type Shape = (usize, usize, usize);

/// Resizes an 8-bit picture, `(height, width, channels)` row-major, to `(rows, columns, channels)`:
/// to the same bytes as Pillow's `Image.resize((columns, rows), BILINEAR)`, which smooths where it
/// shrinks. See [`crate::resample`].
///
/// # Errors
/// [`PictureError`] if there are not as many bytes as the shape says, or a size is 0.
pub fn resize_pillow(
    pixels: &[u8],
    shape: Shape,
    (rows, columns): (usize, usize),
) -> Result<Vec<u8>, PictureError> {
    part(pixels, shape, (rows, 0..rows), (columns, 0..columns))
}

/// Resizes an 8-bit picture, `(height, width, channels)`, so that its shorter side has `shorter`
/// pixels, and cuts `(rows, columns)` out of the middle: the bytes of torchvision's
/// `Resize(shorter)` and `CenterCrop((rows, columns))` on a Pillow image. Where the middle reaches
/// past the picture there is black. Only what is cut out is computed.
///
/// # Errors
/// As [`resize_pillow`].
pub fn resize_and_crop(
    pixels: &[u8],
    shape: Shape,
    shorter: usize,
    (rows, columns): (usize, usize),
) -> Result<Vec<u8>, PictureError> {
    let (height, width, channels) = shape;
    let short = height.min(width).max(1);
    // The longer side is cut to whole pixels.
    let resized = |side: usize| match side == short {
        true => shorter,
        false => {
            (shorter as u128 * side as u128 / short as u128).min(u128::from(u64::MAX)) as usize
        }
    };
    let (tall, wide) = (resized(height), resized(width));
    let ((above, inner), (left, columns_inner)) = (middle(tall, rows), middle(wide, columns));
    let line = columns_inner.len() * channels;
    let found = part(pixels, shape, (tall, inner), (wide, columns_inner))?;
    let mut cut = vec![0; rows * columns * channels];
    let lines = cut.chunks_exact_mut((columns * channels).max(1)).skip(above);
    for (to, from) in lines.zip(found.chunks_exact(line.max(1))) {
        to[left * channels..][..line].copy_from_slice(from);
    }
    Ok(cut)
}

/// Grey values of RGB pixels, as Pillow's `convert("L")` has them: ITU-R BT.601's weights in 16 bits.
pub fn grey(rgb: &[u8]) -> Vec<u8> {
    let (pixels, _) = rgb.as_chunks();
    let grey = |&[r, g, b]: &[u8; 3]| {
        let [r, g, b] = [r, g, b].map(u32::from);
        ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
    };
    pixels.iter().map(grey).collect()
}

/// The part of a resized picture within the given rows and columns of it.
fn part(
    pixels: &[u8],
    (height, width, channels): Shape,
    (tall, rows): (usize, Range<usize>),
    (wide, columns): (usize, Range<usize>),
) -> Result<Vec<u8>, PictureError> {
    let bytes = pixels.len();
    if height.checked_mul(width).and_then(|n| n.checked_mul(channels)) != Some(bytes) {
        return Err(PictureError::Length { bytes, height, width, channels });
    }
    let valid = |side: usize| (1..=u32::MAX as usize).contains(&side);
    for (size, wanted) in [(height, tall), (width, wide)] {
        if !valid(size) || !valid(wanted) {
            return Err(PictureError::Side { size, wanted });
        }
    }
    let order = Order::of((height, width), (tall, wide));
    let rows = Axis::window(height, tall, rows);
    let columns = Axis::window(width, wide, columns);
    Ok(resample(pixels, (width, channels), &rows, &columns, order))
}

/// What `wanted` pixels about the middle of `size` show: pixels before the picture, then a part of
/// it. Halves are rounded to even, as Python rounds.
fn middle(size: usize, wanted: usize) -> (usize, Range<usize>) {
    match size.checked_sub(wanted) {
        None => ((wanted - size) / 2, 0..size),
        Some(rest) => {
            let start = rest / 2 + usize::from(rest % 4 == 3);
            (0, start..start + wanted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_torchvisions() {
        // int(round((size - wanted) / 2.0)), and padding by (wanted - size) // 2.
        let starts = [5, 6, 7, 8, 9, 10, 11, 12].map(|size| middle(size, 5).1.start);
        assert_eq!(starts, [0, 0, 1, 2, 2, 2, 3, 4]);
        assert_eq!(middle(3, 6), (1, 0..3));
    }

    #[test]
    fn a_picture_smaller_than_its_middle_gets_black_about_it() {
        let cut = resize_and_crop(&[7; 4], (2, 2, 1), 1, (3, 4)).unwrap();
        assert_eq!(cut, [0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_long_picture_takes_no_memory_for_what_is_cut_off() {
        let stripes: Vec<u8> = (0..60_000).map(|i| (i % 251) as u8).collect();
        let cut = resize_and_crop(&stripes, (1, 60_000, 1), 60_000, (2, 3)).unwrap();
        // The middle of 3.6e9 columns is half-way between the pixels 29,999 and 30,000.
        let about = [stripes[29_999], stripes[30_000]];
        assert_eq!(about, [130, 131]);
        assert!(cut.len() == 6 && cut.iter().all(|byte| about.contains(byte)), "{cut:?}");
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let length = resize_pillow(&[0; 5], (2, 3, 1), (2, 2)).unwrap_err();
        assert_eq!(length, PictureError::Length { bytes: 5, height: 2, width: 3, channels: 1 });
        let side = resize_pillow(&[0; 6], (2, 3, 1), (0, 2)).unwrap_err();
        assert_eq!(side, PictureError::Side { size: 2, wanted: 0 });
        assert!(resize_pillow(&[], (0, 3, 1), (2, 2)).is_err());
        assert!(resize_and_crop(&[], (0, 0, 1), 2, (2, 2)).is_err());
        assert!(resize_and_crop(&[0; 6], (2, 3, 1), 0, (2, 2)).is_err());
        assert!(resize_and_crop(&[0; 6], (2, 3, 1), usize::MAX, (2, 2)).is_err());
    }

    #[test]
    fn grey_is_weighted_as_in_pillow() {
        assert_eq!(grey(&[255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255]), [255, 76, 150, 29]);
        assert_eq!(grey(&[9, 9, 9, 0, 0, 0]), [9, 0]);
    }
}
