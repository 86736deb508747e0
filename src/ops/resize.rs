//! Gathers a batch from a set of 8-bit images and resizes it bilinearly.

use super::input::{self, Pictures};
use super::{Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Binding, Dim, Step, Variant, variant};

/// `x[i]` = image `order[sample_base + i]` of a set, resized bilinearly with half-pixel centres and
/// clamped edges (PyTorch's `interpolate` with `align_corners=False`), scaled to `[0, 1]` and
/// normalised.
///
/// Source positions are fractions of whole numbers, so the result is as exact as f32 is, for sides
/// of at most [`ResizeBilinear::MAX_SIDE`] pixels.
#[derive(Debug, Clone, Copy)]
pub struct ResizeBilinear(pub Pictures);

impl ResizeBilinear {
    /// The longest side of source and output: twice the product of two stays below 2^32, and 255
    /// times two of them is a whole number of f32.
    pub const MAX_SIDE: usize = 1 << 15;
}

impl Op for ResizeBilinear {
    fn name(&self) -> &'static str {
        "resize_bilinear"
    }

    fn bindings(&self) -> Vec<Binding> {
        self.0.bindings(&[])
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let Pictures { source_height, source_width, output, .. } = self.0;
        let (from_height, to_height) = ratio(source_height, output.height);
        let (from_width, to_width) = ratio(source_width, output.width);
        let ratios = [
            ("from_height", from_height),
            ("from_width", from_width),
            ("to_height", to_height),
            ("to_width", to_width),
        ];
        vec![variant! {
            "resize_bilinear",
            constants: vec![],
            dims: self.0.dims(&ratios.map(|(name, value)| (name, Dim::U(value)))),
            grid: self.0.grid(),
            // The order of samples comes from outside.
            proven: false,
            supported: Ok(()),
        }]
    }

    fn bytes(&self, images: u64) -> u64 {
        self.0.bytes(images)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [order, pixels, x] = buffers else { unreachable!("three bindings") };
        let Pictures { source_height, source_width, output, .. } = self.0;
        let words = pixels.words();
        self.0.write(step, order.words(), x, |base, i, j, c| {
            let mut value = 0.0;
            for (row, row_weight) in corners(i, output.height, source_height) {
                for (column, weight) in corners(j, output.width, source_width) {
                    let byte = self.0.byte(words, base, row, column, c);
                    value += row_weight * weight * f64::from(byte);
                }
            }
            value
        });
    }

    /// Sums and products of f32, and a division that may be wrong by 2.5 units in the last place.
    fn tolerance(&self, _images: u64) -> f64 {
        1e-6
    }

    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        (name == "order").then(|| self.0.shard.any_order(random))
    }
}

/// `source / size` in lowest terms.
pub(super) fn ratio(source: usize, size: usize) -> (u32, u32) {
    let (mut a, mut b) = (source, size);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let divisor = a.max(1);
    ((source / divisor) as u32, (size / divisor) as u32)
}

/// The two source positions that output position `i` lies between, with their weights.
fn corners(i: usize, size: usize, source: usize) -> [(usize, f64); 2] {
    let centre = (i as f64 + 0.5) * source as f64 / size as f64 - 0.5;
    let centre = centre.clamp(0.0, (source - 1) as f64);
    let low = centre.floor();
    let high = (low as usize + 1).min(source - 1);
    [(low as usize, 1.0 - (centre - low)), (high, centre - low)]
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    input::examples().into_iter().map(|pictures| Box::new(ResizeBilinear(pictures)) as _).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_those_of_pytorch() {
        // torch.nn.functional.interpolate([0., 1.], size=4, mode="linear", align_corners=False)
        // gives 0, 0.25, 0.75, 1.
        let value = |i| corners(i, 4, 2).map(|(at, weight)| at as f64 * weight).iter().sum::<f64>();
        assert_eq!([0, 1, 2, 3].map(value), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(corners(2, 5, 5)[0], (2, 1.0));
        assert_eq!(corners(3, 9, 1), [(0, 1.0), (0, 0.0)]);
    }

    #[test]
    fn the_longest_side_keeps_every_number_in_range() {
        let side = ResizeBilinear::MAX_SIDE as u64;
        // (2 i + 1) * source, and a sum of bytes weighted by parts of 2 * size.
        assert!(2 * side * side < 1 << 32);
        assert!(255 * 2 * side <= 1 << 24);
    }

    #[test]
    fn ratios_are_in_lowest_terms() {
        assert_eq!(ratio(28, 224), (1, 8));
        assert_eq!(ratio(375, 250), (3, 2));
        assert_eq!(ratio(13, 13), (1, 1));
    }
}
