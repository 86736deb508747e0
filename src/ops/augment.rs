//! Gathers a batch from a set of 8-bit images and changes each at random on the way to a network's input.

use super::augmentation::DRAW;
use super::input::{self, Pictures, Shard};
use super::{Augmentation, Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout, Normalisation};

/// `x[i]` = image `order[sample_base + i]` of a set as [`Augmentation`] changes it, scaled to `[0, 1]` and
/// normalised; with mixup the sum of it and its partner by their shares. What is drawn for the image at each place of the batch
/// is in `draws`, as [`Augmentation::draws`] gives it.
///
/// Places in pictures are whole numbers of parts of a pixel: the result is as exact as f32 is, for sides of at most
/// [`ResizeBilinear::MAX_SIDE`](super::ResizeBilinear::MAX_SIDE) pixels.
#[derive(Debug, Clone, Copy)]
pub struct Augment {
    /// The images, and what is made of them.
    pub pictures: Pictures,
    /// What is done to them.
    pub augmentation: Augmentation,
}

/// The layout of the draws for batches of up to `images` images.
pub fn draws_layout(images: usize) -> Layout {
    Layout::Flat(images * DRAW)
}

impl Augment {
    fn colours(&self) -> bool {
        self.augmentation.brightness > 0.0 || self.augmentation.contrast > 0.0
    }

    fn mixes(&self) -> bool {
        self.augmentation.mixup > 0.0
    }

    /// Channel `c` of the image whose first byte is `base` as output pixel `(i, j)` sees it by the
    /// numbers in `draw`: normalised.
    fn seen(&self, words: &[u32], base: usize, draw: &[f64], (i, j, c): Place) -> f64 {
        let Pictures { source_height, source_width, normalisation, .. } = self.pictures;
        let parts = f64::from(1_u32 << self.pictures.bits(self.augmentation.crop_padding));
        let (row, column) = (i as f64, j as f64);
        // From the picture's corner, in pixels.
        let x = draw[4] + (draw[0] * column + draw[1] * row + draw[5]) / parts;
        let y = draw[6] + (draw[2] * column + draw[3] * row + draw[7]) / parts;
        let inside = |at: f64, side: usize| at >= 0.0 && at < side as f64;
        let Normalisation { mean, deviation } = normalisation;
        let normalised = |v: f64| (v - f64::from(mean[c])) / f64::from(deviation[c]);
        let covered =
            |at: f64, first: f64| at >= first && at < first + f64::from(self.augmentation.cutout);
        if covered(row, draw[10]) && covered(column, draw[11]) {
            return 0.0;
        }
        if !inside(x, source_width) || !inside(y, source_height) {
            return normalised(0.0);
        }
        let mut value = 0.0;
        for (row, row_weight) in corners(y, source_height) {
            for (column, weight) in corners(x, source_width) {
                let byte = self.pictures.byte(words, base, row, column, c);
                value += row_weight * weight * f64::from(byte) / 255.0;
            }
        }
        if self.colours() {
            value = (value * draw[8]).clamp(0.0, 1.0);
            value = (0.5 + (value - 0.5) * draw[9]).clamp(0.0, 1.0);
        }
        normalised(value)
    }
}

/// Row, column and channel of an output.
type Place = (usize, usize, usize);

/// The pixels that a place between two of them lies between, with their weights; the place is counted
/// from the picture's edge.
fn corners(place: f64, side: usize) -> [(usize, f64); 2] {
    let at = (place - 0.5).clamp(0.0, (side - 1) as f64);
    let low = at.floor();
    [(low as usize, 1.0 - (at - low)), ((low as usize + 1).min(side - 1), at - low)]
}

impl Op for Augment {
    fn name(&self) -> &'static str {
        "augment"
    }

    fn bindings(&self) -> Vec<Binding> {
        let draws = draws_layout(self.pictures.shard.samples);
        self.pictures.bindings(&[Binding::quads("draws", draws, Access::Read)])
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let Self { pictures, augmentation } = self;
        let bits = pictures.bits(augmentation.crop_padding);
        let more = [
            ("last_word", Dim::U((pictures.pixels().len(1) - 1) as u32)),
            ("bits", Dim::U(bits)),
            ("cutout", Dim::U(augmentation.cutout)),
            // The first shard finds nothing to add to.
            ("adds", Dim::U(u32::from(pictures.shard.first > 0))),
        ];
        vec![variant! {
            "augment",
            constants: vec![
                ("CHANNELS", pictures.output.channels as u32),
                ("COLOUR", u32::from(self.colours())),
                ("CUTOUT", u32::from(augmentation.cutout > 0)),
                ("MEMBERS", if self.mixes() { 2 } else { 1 }),
            ],
            dims: pictures.dims(&more),
            grid: pictures.grid(),
            // The order of samples comes from outside.
            proven: false,
            supported: Ok(()),
        }]
    }

    fn bytes(&self, images: u64) -> u64 {
        self.pictures.bytes(images) + draws_layout(images as usize).bytes(1)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [order, pixels, draws, x] = buffers else { unreachable!("four bindings") };
        let (words, order, shard) = (pixels.words(), order.words(), self.pictures.shard);
        let first = (step.sample_base - step.image_base) as usize;
        let draw = |place: usize| (0..DRAW).map(|k| draws[place * DRAW + k]).collect::<Vec<_>>();
        // Of the image at a place of the batch, where it is in the shard.
        let seen = |place: usize, at: Place| {
            let sample = (order[first + place] as usize).checked_sub(shard.first);
            let sample = sample.filter(|&sample| sample < shard.count)?;
            let base = sample * self.pictures.image_bytes();
            Some(self.seen(words, base, &draw(place), at))
        };
        let output = self.pictures.output;
        for (n, i, j, c) in super::conv::pixels(step.images, output) {
            let (place, at) = (step.image_base as usize + n, output.index(n, i, j, c));
            let own = seen(place, (i, j, c));
            if !self.mixes() {
                x[at] = own.unwrap_or(x[at]);
                continue;
            }
            let [partner, share] = [12, 13].map(|k| draws[place * DRAW + k]);
            let other = seen(partner as usize, (i, j, c)).unwrap_or(0.0);
            let before = if shard.first > 0 { x[at] } else { 0.0 };
            x[at] = before + share * own.unwrap_or(0.0) + (1.0 - share) * other;
        }
    }

    /// Sums and products of f32: positions and weights are exact.
    fn tolerance(&self, _images: u64) -> f64 {
        2e-6
    }

    fn input(&self, name: &str, step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let shard = self.pictures.shard;
        match name {
            "order" => Some(shard.any_order(random)),
            "draws" => {
                let images = (step.image_base + step.images) as usize;
                let drawn = (step.seed, step.number);
                let mut draws = self.augmentation.draws(&self.pictures, drawn, images);
                draws.resize(draws_layout(shard.samples).len(1), 0.0);
                Some(Data::F(draws.into_iter().map(f64::from).collect()))
            }
            _ => None,
        }
    }
}

/// Every kind of change alone and all together, on pictures of awkward shapes and in shards from the
/// middle of a set.
pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let none = Augmentation::default();
    let colours = Augmentation { brightness: 0.4, contrast: 0.6, ..none };
    let all = Augmentation {
        flip: 0.5,
        resized_crop: 0.2,
        rotation: 180.0,
        cutout: 3,
        mixup: 0.7,
        ..colours
    };
    let of_all = |i: usize, output: FeatureMap| {
        let side = output.height.min(output.width) as u32;
        let crop_padding = (side - 1).min(4);
        match i % 8 {
            0 => none,
            1 => Augmentation { flip: 0.5, crop_padding, ..none },
            2 => Augmentation { resized_crop: 0.08, ..none },
            3 => Augmentation { rotation: 30.0, ..none },
            4 => colours,
            5 => Augmentation { cutout: side.div_ceil(2), ..none },
            6 => Augmentation { mixup: 0.4, ..none },
            _ => Augmentation { crop_padding, ..all },
        }
    };
    let shapes = input::examples().into_iter().enumerate();
    let one = shapes.clone().map(|(i, pictures)| (pictures, of_all(i, pictures.output)));
    // Once more from the other end, so that colours and shards meet with the rest.
    let other = shapes.map(|(i, pictures)| (pictures, of_all(i + 7, pictures.output)));
    let usual = |side, channels| {
        let output = FeatureMap::new(side, side, channels).with_halo(1);
        let shard = Shard { first: 0, count: 3, samples: 80 };
        let (source_height, source_width) = (side, side);
        Pictures { source_height, source_width, shard, normalisation: Default::default(), output }
    };
    let usual = [usual(32, 3), usual(224, 3)];
    let usual = usual.map(|pictures| (pictures, Augmentation { crop_padding: 4, ..all }));
    let op = |(pictures, augmentation)| Box::new(Augment { pictures, augmentation }) as _;
    one.chain(other).chain(usual).map(op).collect()
}
