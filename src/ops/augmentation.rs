//! Random changes of the images that a network is trained with, and how they are drawn.
//!
//! All that is drawn is a pure function of seed, number of the step and place in the batch, so it depends
//! neither on how a batch is cut nor on where its images come from. It is drawn on the host, where angles
//! and Beta distributions have f64, and reaches kernels as a few numbers an image: positions as whole
//! numbers of parts of a pixel, so that every adapter samples the same places.

use std::f64::consts::{PI, TAU};

use super::Pictures;

/// Numbers of f32 that are drawn for an image; see [`Augmentation::draws`].
pub const DRAW: usize = 16;

/// Tries to find a crop that fits, before the middle is taken: as torchvision.
const TRIES: usize = 10;
/// The least and the largest ratio of width to height of a resized crop.
const RATIOS: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

/// Random changes of the images that a network is trained with; the default changes nothing.
///
/// An image is cropped and resized, turned, shifted, flipped, made brighter or darker, given more or less
/// contrast, covered in part, and mixed with another one of its batch, in this order. The first four are one map from
/// pixels of the network's input to places in the stored picture, which is sampled bilinearly once; what
/// lies outside the picture is 0 (black), before normalisation, as torchvision's `RandomCrop(padding)`
/// and `RandomRotation` fill. A turned or shifted crop shows what lies about it, where that is still
/// picture.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Augmentation {
    /// Chance of a horizontal flip, 0 to 1: torchvision's `RandomHorizontalFlip`.
    pub flip: f32,
    /// Pixels of the network's input by which an image is shifted at most, each way:
    /// `RandomCrop(side, padding)` of the resized image.
    pub crop_padding: u32,
    /// A crop of this share of the picture's area to all of it, with a ratio of sides from 3/4 to 4/3, is
    /// resized to the input: `RandomResizedCrop(scale=(share, 1))`. 0 for none.
    pub resized_crop: f32,
    /// The largest angle of a rotation about the middle, in degrees, 0 to 180: `RandomRotation`.
    pub rotation: f32,
    /// Values in `[0, 1]` are multiplied by a factor from `1 - brightness`, at least 0, to
    /// `1 + brightness`, and cut to `[0, 1]`: `ColorJitter`.
    pub brightness: f32,
    /// Values move from or to 0.5 by a factor from `1 - contrast`, at least 0, to `1 + contrast`, and are
    /// cut to `[0, 1]`. `ColorJitter` takes the picture's mean grey in place of 0.5, which would be a pass
    /// over all its pixels before the first is written.
    pub contrast: f32,
    /// Side of a square, in pixels of the network's input, that is set to 0 after normalisation: to the
    /// mean. Its middle is any pixel, so that a part of it may lie outside (DeVries and Taylor,
    /// "Improved Regularization of Convolutional Neural Networks with Cutout", arXiv:1708.04552).
    pub cutout: u32,
    /// An image becomes `share` of itself and `1 - share` of another, and so does its target, with the
    /// share from Beta(mixup, mixup), drawn once for a batch; 0 for none (Zhang et al., "mixup: Beyond
    /// Empirical Risk Minimization", arXiv:1710.09412).
    pub mixup: f32,
}

/// How the images of a batch are mixed: image `i` with image `(i + apart) % images`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// What an image keeps of itself, 0 to 1.
    pub share: f32,
    /// Places from an image to its partner, below the number of images; 0 if there is one image only.
    pub apart: usize,
}

/// What each kind of change draws from: asking for another one leaves the rest as it was.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Crop,
    Turn,
    Shift,
    Flip,
    Brightness,
    Contrast,
    Cutout,
    Mixup,
}

impl Augmentation {
    /// True if nothing is changed.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with it for an input of `sides` rows and columns: the name of a number, the number,
    /// and what is allowed.
    pub fn fault(&self, sides: [usize; 2]) -> Option<(&'static str, f32, String)> {
        let to = |most: f32| move |value: f32| (0.0..=most).contains(&value);
        let (share, angle, any) = (to(1.0), to(180.0), to(f32::MAX));
        let side = sides[0].min(sides[1]);
        let numbers = [
            ("flip", self.flip, share(self.flip), "0 to 1"),
            ("resized crop", self.resized_crop, share(self.resized_crop), "0 to 1"),
            ("rotation", self.rotation, angle(self.rotation), "0 to 180"),
            ("brightness", self.brightness, any(self.brightness), "at least 0"),
            ("contrast", self.contrast, any(self.contrast), "at least 0"),
            ("mixup", self.mixup, any(self.mixup), "at least 0"),
        ];
        let wrong = numbers.into_iter().find(|&(.., allowed, _)| !allowed);
        if let Some((what, value, _, expected)) = wrong {
            return Some((what, value, expected.to_owned()));
        }
        let expected = || format!("less than the {side} pixels of the network's input");
        let shifts_off = self.crop_padding as usize >= side;
        shifts_off.then(|| ("crop padding", self.crop_padding as f32, expected()))
    }

    /// How the `images` images of a batch are mixed, if they are.
    pub fn mix(&self, seed: u32, number: u32, images: usize) -> Option<Mix> {
        if self.mixup <= 0.0 {
            return None;
        }
        let mut random = Random::new(seed, number, 0, Stream::Mixup);
        let share = random.beta(f64::from(self.mixup)) as f32;
        let apart = if images > 1 { 1 + random.below(images - 1) } else { 0 };
        Some(Mix { share, apart })
    }

    /// What is drawn for the `images` images of a batch in step `number`, 16 numbers each:
    ///
    /// - what a column and a row further on add to the place in the picture: x by column, x by row, y by
    ///   column, y by row, in whole parts of a pixel, of which there are `2^pictures.bits`;
    /// - the place of the middle of the first output pixel, from the picture's corner: x in whole pixels
    ///   and parts, y in whole pixels and parts;
    /// - factors of brightness and contrast, first row and first column of the square that is cut out;
    /// - the place in the batch of the image to mix with, the share of its own, and twice 0.
    pub fn draws(
        &self,
        pictures: &Pictures,
        (seed, number): (u32, u32),
        images: usize,
    ) -> Vec<f32> {
        let mix = self.mix(seed, number, images).unwrap_or(Mix { share: 1.0, apart: 0 });
        let mut draws = Vec::with_capacity(images * DRAW);
        for place in 0..images {
            let random = |stream| Random::new(seed, number, place, stream);
            draws.extend(self.map(pictures, &random));
            let (mut bright, mut sharp) = (random(Stream::Brightness), random(Stream::Contrast));
            draws.extend([bright.factor(self.brightness), sharp.factor(self.contrast)]);
            let (mut cutout, half) = (random(Stream::Cutout), i64::from(self.cutout / 2));
            let sides = [pictures.output.height, pictures.output.width];
            draws.extend(sides.map(|side| (cutout.below(side) as i64 - half) as f32));
            let partner = (place + mix.apart) % images;
            draws.extend([partner as f32, mix.share, 0.0, 0.0]);
        }
        draws
    }

    /// The first eight numbers of an image.
    fn map(&self, pictures: &Pictures, random: &dyn Fn(Stream) -> Random) -> [f32; 8] {
        let (height, width) = (pictures.output.height as f64, pictures.output.width as f64);
        let source = [pictures.source_height, pictures.source_width];
        let [[top, rows], [left, columns]] = match self.resized_crop > 0.0 {
            true => crop(&mut random(Stream::Crop), source, f64::from(self.resized_crop)),
            false => source.map(|side| [0.0, side as f64]),
        };
        let angle = random(Stream::Turn).between(-1.0, 1.0) * f64::from(self.rotation) * PI / 180.0;
        let (mut shift, padding) = (random(Stream::Shift), self.crop_padding as usize);
        let [down, right] = [(); 2].map(|()| shift.below(2 * padding + 1) as f64 - padding as f64);
        let flips = random(Stream::Flip).uniform() < f64::from(self.flip);
        let (direction, sin, cos) = (if flips { -1.0 } else { 1.0 }, angle.sin(), angle.cos());
        // From the middle of the output: flipped back, shifted, turned, scaled to the crop.
        let [x_scale, y_scale] = [columns / width, rows / height];
        let steps =
            [x_scale * cos * direction, x_scale * -sin, y_scale * sin * direction, y_scale * cos];
        let x_middle = left + x_scale * (width / 2.0 + cos * right - sin * down);
        let y_middle = top + y_scale * (height / 2.0 + sin * right + cos * down);
        let parts = f64::from(1_u32 << pictures.bits(self.crop_padding));
        // Whole numbers that f32 has.
        let steps = steps.map(|step| (step * parts).round() as f32);
        // From the middle back to the first pixel, so that rounded steps err least.
        let before = [(width - 1.0) / 2.0, (height - 1.0) / 2.0];
        let first = |middle: f64, by_column: f32, by_row: f32| {
            let back = f64::from(by_column) * before[0] + f64::from(by_row) * before[1];
            let at = (middle * parts - back).round();
            let whole = (at / parts).floor();
            [whole as f32, (at - whole * parts) as f32]
        };
        let [x, x_part] = first(x_middle, steps[0], steps[1]);
        let [y, y_part] = first(y_middle, steps[2], steps[3]);
        [steps[0], steps[1], steps[2], steps[3], x, x_part, y, y_part]
    }
}

impl Pictures {
    /// The bits after the point of places in pictures whose output is turned and shifted by up to
    /// `padding` pixels: so many that places stay below 2^30 parts, and weights are whole numbers of f32.
    pub(super) fn bits(&self, padding: u32) -> u32 {
        let [height, width] = [self.output.height, self.output.width].map(|side| side as f64);
        let half = |side: f64| side / 2.0 + f64::from(padding);
        let radius = half(width).hypot(half(height));
        let reach = |source: usize, side: f64| source as f64 * (1.0 + radius / side);
        let most = reach(self.source_width, width).max(reach(self.source_height, height));
        30_u32.saturating_sub(most.log2().ceil() as u32).min(23)
    }
}

/// First row and rows, first column and columns of a crop as torchvision's `RandomResizedCrop` takes it.
fn crop(random: &mut Random, [height, width]: [usize; 2], least: f64) -> [[f64; 2]; 2] {
    let area = (height * width) as f64;
    for _ in 0..TRIES {
        let target = area * random.between(least, 1.0);
        let ratio = random.between(RATIOS.0.ln(), RATIOS.1.ln()).exp();
        let sides = [(target / ratio).sqrt().round(), (target * ratio).sqrt().round()];
        let fits = |(side, whole): (f64, usize)| side >= 1.0 && side <= whole as f64;
        if sides.into_iter().zip([height, width]).all(fits) {
            let first = |side: f64, whole: usize, random: &mut Random| {
                random.below(whole - side as usize + 1) as f64
            };
            let top = first(sides[0], height, random);
            return [[top, sides[0]], [first(sides[1], width, random), sides[1]]];
        }
    }
    let (h, w) = (height as f64, width as f64);
    let [rows, columns] = match w / h {
        narrow if narrow < RATIOS.0 => [(w / RATIOS.0).round().clamp(1.0, h), w],
        wide if wide > RATIOS.1 => [h, (h * RATIOS.1).round().clamp(1.0, w)],
        _ => [h, w],
    };
    [[((h - rows) / 2.0).floor(), rows], [((w - columns) / 2.0).floor(), columns]]
}

/// Random numbers that follow from seed, step, place and stream alone: SplitMix64 (Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014) started from a hash of these.
#[derive(Debug)]
struct Random {
    state: u64,
}

impl Random {
    const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

    fn new(seed: u32, number: u32, place: usize, stream: Stream) -> Self {
        let place = (place as u64) << 8 | stream as u64;
        let hash = mix(u64::from(seed).wrapping_add(Self::GAMMA));
        Self { state: mix(mix(hash ^ u64::from(number)).wrapping_add(Self::GAMMA) ^ place) }
    }

    /// From 0 up to 1.
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(Self::GAMMA);
        (mix(self.state) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A whole number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        (self.uniform() * bound as f64) as usize
    }

    /// From `1 - reach`, or 0, to `1 + reach`.
    fn factor(&mut self, reach: f32) -> f32 {
        let reach = f64::from(reach);
        self.between((1.0 - reach).max(0.0), 1.0 + reach) as f32
    }

    /// From Beta(alpha, alpha): a function of a t-distributed number with 2 alpha degrees of freedom, which
    /// two uniform ones give (Bailey, "Polar generation of random variates with the t-distribution",
    /// 1994; Devroye, "Random variate generation in one line of code", 1996).
    fn beta(&mut self, alpha: f64) -> f64 {
        // From above 0 to 1.
        let u = 1.0 - self.uniform();
        let cos = (TAU * self.uniform()).cos();
        let spread = u.powf(-1.0 / alpha) - 1.0;
        0.5 + 0.5 * cos / (1.0 / spread + cos * cos).sqrt()
    }
}

/// The output function of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Shard;
    use crate::shape::FeatureMap;

    const IMAGES: usize = 4000;

    fn pictures(source: (usize, usize), output: (usize, usize)) -> Pictures {
        Pictures {
            source_height: source.0,
            source_width: source.1,
            shard: Shard { first: 0, count: 1, samples: 1 },
            normalisation: Default::default(),
            output: FeatureMap::new(output.0, output.1, 3),
        }
    }

    /// Draws for many images of 32x32.
    fn drawn(augmentation: Augmentation) -> Vec<Vec<f64>> {
        let draws = augmentation.draws(&pictures((32, 32), (32, 32)), (5, 9), IMAGES);
        draws.chunks_exact(DRAW).map(|draw| draw.iter().map(|&v| f64::from(v)).collect()).collect()
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        values.sum::<f64>() / IMAGES as f64
    }

    /// The place in the picture that pixel (column, row) of the output sees, from its corner.
    fn place(draw: &[f64], bits: u32, column: f64, row: f64) -> [f64; 2] {
        let parts = f64::from(1_u32 << bits);
        [0, 2].map(|k| {
            let moved = draw[k] * column + draw[k + 1] * row + draw[5 + k];
            draw[4 + k] + moved / parts
        })
    }

    #[test]
    fn without_changes_pixels_see_the_places_of_a_resize() {
        for (source, output) in [((28, 28), (32, 32)), ((7, 9), (224, 96)), ((500, 333), (64, 64))]
        {
            let pictures = pictures(source, output);
            let draws = Augmentation::default().draws(&pictures, (1, 2), 1);
            let draw: Vec<f64> = draws.iter().map(|&v| f64::from(v)).collect();
            for (column, row) in [(0, 0), (output.1 - 1, 0), (3, output.0 - 1)] {
                let (column, row) = (column as f64, row as f64);
                let found = place(&draw, pictures.bits(0), column, row);
                let x = (column + 0.5) * source.1 as f64 / output.1 as f64;
                let y = (row + 0.5) * source.0 as f64 / output.0 as f64;
                let near = |a: f64, b: f64| (a - b).abs() < 1e-3;
                assert!(near(found[0], x) && near(found[1], y), "{found:?}, not {x}, {y}");
            }
            assert_eq!(draw[8..], [1.0, 1.0, draw[10], draw[11], 0.0, 1.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn flips_shifts_and_squares_are_as_frequent_as_asked() {
        let flip = Augmentation { flip: 0.3, crop_padding: 4, cutout: 8, ..Default::default() };
        let draws = drawn(flip);
        let flipped = mean(draws.iter().map(|draw| f64::from(u8::from(draw[0] < 0.0))));
        // Four standard deviations.
        assert!((flipped - 0.3).abs() < 0.03, "{flipped}");
        let bits = pictures((32, 32), (32, 32)).bits(4);
        let mut seen = [0; 9];
        for draw in &draws {
            let middle = place(draw, bits, 15.5, 15.5);
            let shift = middle.map(|at| at - 16.0);
            assert!(shift.iter().all(|s| s.fract() == 0.0 && s.abs() <= 4.0), "{shift:?}");
            seen[(shift[1] + 4.0) as usize] += 1;
            assert!((-4.0..28.0).contains(&draw[10]) && (-4.0..28.0).contains(&draw[11]));
        }
        assert!(seen.iter().all(|&count| (360..=530).contains(&count)), "{seen:?}");
        let top = mean(draws.iter().map(|draw| draw[10]));
        assert!((top - 11.5).abs() < 0.6, "{top}");
    }

    #[test]
    fn angles_are_within_bounds_and_keep_sizes() {
        let draws = drawn(Augmentation { rotation: 30.0, ..Default::default() });
        let degrees = |draw: &Vec<f64>| (-draw[1]).atan2(draw[0]).to_degrees();
        assert!(draws.iter().all(|draw| degrees(draw).abs() <= 30.001));
        assert!(draws.iter().any(|draw| degrees(draw) > 29.0));
        assert!(draws.iter().any(|draw| degrees(draw) < -29.0));
        assert!(mean(draws.iter().map(degrees)).abs() < 1.2);
        let bits = pictures((32, 32), (32, 32)).bits(0);
        let parts = f64::from(1_u32 << bits);
        for draw in &draws {
            assert!((draw[0].hypot(draw[1]) / parts - 1.0).abs() < 1e-4);
            // About the middle.
            let middle = place(draw, bits, 15.5, 15.5);
            assert!(middle.iter().all(|at| (at - 16.0).abs() < 1e-4), "{middle:?}");
        }
    }

    #[test]
    fn factors_are_within_bounds() {
        let draws = drawn(Augmentation { brightness: 0.4, contrast: 1.5, ..Default::default() });
        assert!(draws.iter().all(|draw| (0.6..=1.4).contains(&draw[8])));
        assert!(draws.iter().all(|draw| (0.0..=2.5).contains(&draw[9])));
        let means = [8, 9].map(|k| mean(draws.iter().map(|draw| draw[k])));
        assert!((means[0] - 1.0).abs() < 0.016 && (means[1] - 1.25).abs() < 0.05, "{means:?}");
    }

    #[test]
    fn crops_lie_in_the_picture_and_have_its_share() {
        for sides in [[32, 32], [40, 30], [7, 100], [100, 9], [1, 1]] {
            let mut random = Random::new(1, 2, 3, Stream::Crop);
            let (mut least, mut most) = (f64::MAX, 0.0_f64);
            for _ in 0..2000 {
                let crop = crop(&mut random, sides, 0.3);
                for ([first, length], side) in crop.iter().zip(sides) {
                    assert!(*first >= 0.0 && *length >= 1.0 && first + length <= side as f64);
                }
                let area = crop[0][1] * crop[1][1] / (sides[0] * sides[1]) as f64;
                (least, most) = (least.min(area), most.max(area));
            }
            if sides[0] == 32 {
                assert!((0.27..0.33).contains(&least) && most > 0.95, "{least} to {most}");
            }
        }
    }

    #[test]
    fn shares_follow_the_beta_distribution() {
        for alpha in [0.05, 0.2, 0.5, 1.0, 4.0, 40.0] {
            let augmentation = Augmentation { mixup: alpha, ..Default::default() };
            let shares: Vec<_> = (0..IMAGES as u32)
                .map(|number| f64::from(augmentation.mix(3, number, 10).unwrap().share))
                .collect();
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
            let middle = mean(shares.iter().copied());
            let variance = mean(shares.iter().map(|share| (share - 0.5).powi(2)));
            let wanted = 1.0 / (4.0 * (2.0 * f64::from(alpha) + 1.0));
            assert!((middle - 0.5).abs() < 4.0 * (wanted / IMAGES as f64).sqrt(), "{middle}");
            assert!((variance / wanted - 1.0).abs() < 0.1, "{alpha}: {variance}, not {wanted}");
        }
        assert_eq!(Augmentation::default().mix(3, 0, 10), None);
    }

    #[test]
    fn a_partner_is_another_image_of_the_batch() {
        let augmentation = Augmentation { mixup: 0.4, ..Default::default() };
        let pictures = pictures((4, 4), (4, 4));
        for (number, images) in (0..).zip([1, 2, 3, 64]) {
            let draws = augmentation.draws(&pictures, (0, number), images);
            let mut partners: Vec<_> =
                draws.chunks_exact(DRAW).map(|draw| draw[12] as usize).collect();
            assert!(images == 1 || partners.iter().enumerate().all(|(i, &partner)| i != partner));
            partners.sort_unstable();
            assert!(partners.into_iter().eq(0..images));
        }
    }

    #[test]
    fn draws_follow_from_seed_step_and_place_alone() {
        let pictures = pictures((28, 28), (32, 32));
        let some = Augmentation { flip: 0.5, rotation: 9.0, cutout: 4, ..Default::default() };
        let of = |augmentation: Augmentation, drawn, images| {
            augmentation.draws(&pictures, drawn, images)
        };
        let whole = of(some, (7, 3), 8);
        assert_eq!(whole, of(some, (7, 3), 8));
        assert_eq!(whole[..3 * DRAW], of(some, (7, 3), 3));
        for other in [(8, 3), (7, 4)] {
            assert_ne!(whole, of(some, other, 8));
        }
        assert!((1..8).all(|place| whole[..DRAW] != whole[place * DRAW..(place + 1) * DRAW]));
        // One more kind of change leaves the others as they were.
        let more = of(Augmentation { brightness: 0.5, ..some }, (7, 3), 8);
        for (draw, with) in whole.chunks_exact(DRAW).zip(more.chunks_exact(DRAW)) {
            assert!(draw[..8] == with[..8] && draw[9..] == with[9..] && draw[8] != with[8]);
        }
    }

    /// A run that is repeated by a later version depends on them.
    #[test]
    fn draws_are_fixed() {
        let mut random = Random::new(42, 7, 3, Stream::Shift);
        assert_eq!([(); 3].map(|()| random.below(1000)), [433, 704, 758]);
        let mix = Augmentation { mixup: 0.2, ..Default::default() }.mix(42, 7, 100);
        let mix = mix.unwrap();
        // Powers and cosines may differ in their last bits from machine to machine.
        assert!((mix.share - 0.999_834_55).abs() < 1e-6 && mix.apart == 92, "{mix:?}");
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let none = Augmentation::default();
        let fault = |augmentation: Augmentation| augmentation.fault([32, 24]);
        assert_eq!(fault(Augmentation { crop_padding: 23, mixup: 0.2, ..none }), None);
        let (what, found, expected) = fault(Augmentation { crop_padding: 24, ..none }).unwrap();
        assert_eq!((what, found), ("crop padding", 24.0));
        assert!(expected.contains("less than the 24 pixels"), "{expected}");
        for wrong in [
            Augmentation { flip: 1.1, ..none },
            Augmentation { resized_crop: -0.1, ..none },
            Augmentation { rotation: 181.0, ..none },
            Augmentation { brightness: f32::NAN, ..none },
            Augmentation { contrast: -1.0, ..none },
            Augmentation { mixup: f32::INFINITY, ..none },
        ] {
            assert!(fault(wrong).is_some(), "{wrong:?}");
        }
    }
}
