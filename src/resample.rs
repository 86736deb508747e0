//! How Pillow resizes 8-bit images with its bilinear filter, of which the host, the device and the
//! reference make the same bytes.
//!
//! Method: `src/libImaging/Resample.c` of Pillow 13.0. Each output position is a weighted sum of the
//! source positions under a triangle about it. The triangle is one pixel wide to each side, and as
//! much wider as the source is larger than the output, which smooths what is too fine to be kept.
//! Weights are normalised in double precision, then rounded to 22 bits after the binary point; a sum
//! is rounded to 8 bits after the first axis, and again after the second. Pillow before 13 always
//! began with the columns: where [`Order`] is another, some of its bytes differ by one.

use std::ops::Range;

/// Bits of a weight after its binary point.
pub const PRECISION: u32 = 22;

/// The weights of the outputs along one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// `(outputs, 2 + taps)`: the first source position, the number of weights, and the weights.
    words: Vec<u32>,
    stride: usize,
}

impl Axis {
    /// The weights of all outputs where `source` positions become `size`, neither of them 0.
    pub fn new(source: usize, size: usize) -> Self {
        Self::window(source, size, 0..size)
    }

    /// The weights of some of the outputs only.
    pub fn window(source: usize, size: usize, outputs: Range<usize>) -> Self {
        let scale = source as f64 / size as f64;
        let support = scale.max(1.0);
        let stride = Self::stride(source, size);
        let mut words = Vec::with_capacity(outputs.len() * stride);
        let mut weights = Vec::with_capacity(stride);
        for output in outputs {
            let centre = (output as f64 + 0.5) * scale;
            // A negative number becomes 0.
            let first = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(source);
            let distance = |at: usize| (at as f64 - centre + 0.5) * (1.0 / support);
            weights.clear();
            weights.extend((first..end).map(|at| (1.0 - distance(at).abs()).max(0.0)));
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: &f64| (0.5 + weight / sum * f64::from(1 << PRECISION)) as u32;
            let start = words.len();
            words.extend([first as u32, (end - first) as u32]);
            words.extend(weights.iter().map(fixed));
            words.resize(start + stride, 0);
        }
        Self { words, stride }
    }

    /// Words of an output in [`Axis::words`].
    pub fn stride(source: usize, size: usize) -> usize {
        2 + (source as f64 / size as f64).max(1.0).ceil() as usize * 2 + 1
    }

    /// Outputs.
    pub fn len(&self) -> usize {
        self.words.len() / self.stride
    }

    /// True without outputs.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// For each output the first source position, the number of weights `n`, `n` weights that are
    /// at most 2^22, and zeros up to [`Axis::stride`] words.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// The byte at position `output`, where `source` gives the byte at a source position.
    pub fn byte(&self, output: usize, source: impl Fn(usize) -> u8) -> u8 {
        let words = &self.words[output * self.stride..][..self.stride];
        let (first, count) = (words[0] as usize, words[1] as usize);
        let terms = words[2..][..count].iter().zip(first..);
        let sum: u32 = terms.map(|(weight, at)| weight * u32::from(source(at))).sum();
        ((sum + (1 << (PRECISION - 1))) >> PRECISION).min(255) as u8
    }
}

/// Which axis is resized first; the bytes between the two are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Each row along its columns, then the result along its rows.
    ColumnsFirst,
    /// The other way round.
    RowsFirst,
}

impl Order {
    /// That of resizing `(rows, columns)` to `size`: rows come first where they lose pixels, and more
    /// than twice as many as the columns.
    pub fn of(source: (usize, usize), size: (usize, usize)) -> Self {
        let lost = |source: usize, size: usize| source as i128 - size as i128;
        let (rows, columns) = (lost(source.0, size.0), lost(source.1, size.1));
        if rows > 0 && rows > 2 * columns { Self::RowsFirst } else { Self::ColumnsFirst }
    }
}

/// Resizes an image, `(source rows, width, channels)` bytes, to `(rows.len(), columns.len(),
/// channels)`. Its shape must be that of the axes.
pub fn resample(
    pixels: &[u8],
    (width, channels): (usize, usize),
    rows: &Axis,
    columns: &Axis,
    order: Order,
) -> Vec<u8> {
    match order {
        Order::ColumnsFirst => {
            let across = along_columns(pixels, (width, channels), columns);
            along_rows(&across, columns.len() * channels, rows)
        }
        Order::RowsFirst => {
            let down = along_rows(pixels, width * channels, rows);
            along_columns(&down, (width, channels), columns)
        }
    }
}

fn along_columns(pixels: &[u8], (width, channels): (usize, usize), columns: &Axis) -> Vec<u8> {
    let line = (width * channels).max(1);
    let mut resized = Vec::with_capacity(pixels.len() / line * columns.len() * channels);
    for row in pixels.chunks_exact(line) {
        for column in 0..columns.len() {
            let byte = |c| columns.byte(column, |at| row[at * channels + c]);
            resized.extend((0..channels).map(byte));
        }
    }
    resized
}

/// `line` bytes are a row.
fn along_rows(pixels: &[u8], line: usize, rows: &Axis) -> Vec<u8> {
    let mut resized = Vec::with_capacity(rows.len() * line);
    for row in 0..rows.len() {
        resized.extend((0..line).map(|j| rows.byte(row, |at| pixels[at * line + j])));
    }
    resized
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(axis: &Axis, output: usize) -> (u32, &[u32]) {
        let words = &axis.words()[output * axis.stride..];
        (words[0], &words[2..][..words[1] as usize])
    }

    #[test]
    fn a_size_kept_changes_nothing() {
        let axis = Axis::new(5, 5);
        assert_eq!(axis.len(), 5);
        for output in 0..5 {
            let (first, weights) = weights(&axis, output);
            assert_eq!((first, weights[0]), (output as u32, 1 << PRECISION));
            assert!(weights[1..].iter().all(|&weight| weight == 0));
            assert_eq!(
                axis.byte(output, |at| [9, 255, 0, 3, 128][at]),
                [9, 255, 0, 3, 128][output]
            );
        }
    }

    #[test]
    fn what_shrinks_is_smoothed() {
        // Four pixels to two: a triangle of two to each side, its weights 1/4, 3/4, 3/4, 1/4.
        let axis = Axis::new(4, 2);
        let one = f64::from(1 << PRECISION);
        let fixed = |of_seven: f64| (of_seven / 7.0 * one + 0.5) as u32;
        assert_eq!(weights(&axis, 0), (0, &[fixed(3.0), fixed(3.0), fixed(1.0)][..]));
        assert_eq!(weights(&axis, 1), (1, &[fixed(1.0), fixed(3.0), fixed(3.0)][..]));
    }

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        let whole = Axis::new(13, 29);
        let window = Axis::window(13, 29, 7..19);
        assert_eq!(window.words(), &whole.words()[7 * whole.stride..19 * whole.stride]);
        assert!(Axis::window(13, 29, 4..4).is_empty());
    }

    #[test]
    fn rows_come_first_where_they_lose_more_than_twice_as_much() {
        assert_eq!(Order::of((10, 10), (7, 9)), Order::RowsFirst);
        assert_eq!(Order::of((10, 10), (8, 9)), Order::ColumnsFirst);
        assert_eq!(Order::of((10, 10), (9, 20)), Order::RowsFirst);
        assert_eq!(Order::of((10, 10), (11, 30)), Order::ColumnsFirst);
        assert_eq!(Order::of((10, 10), (10, 10)), Order::ColumnsFirst);
    }
}
