//! A network's first layer from its 8-bit images, in inference: what `ResizeBilinear` and
//! `WinogradForward` compute one after the other, without the map between them.

use super::resize::ratio;
use super::winograd_tiles::{Cut, cut};
use super::{ConvTask, Data, Op, Pictures, ResizeBilinear, Shard, Tile, WinogradForward};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Step, Variant};
use crate::shape::{FeatureMap, Layout, Normalisation};

const TILE: Tile = Tile::Two;
/// Rows and columns of stored images that a window may touch: those of images that are not shrunk,
/// and a few more.
const MOST_ROWS: usize = 12;
const MOST_COLUMNS: usize = 5;

/// `y` = ReLU of the convolution of an image set's images, resized bilinearly and normalised as
/// [`ResizeBilinear`] does, with transformed filters; if wanted the largest of each 2x2 window of it.
/// Pixels of the halo are 0. Source of the method: as [`WinogradForward`].
#[derive(Debug, Clone, Copy)]
pub struct WinogradPictures {
    /// The images, all of the set, and as what the convolution sees them: their output has a halo.
    pub pictures: Pictures,
    /// The output, with the halo of whoever reads it.
    pub output: FeatureMap,
    /// True if negative outputs become 0.
    pub relu: bool,
    /// True if the output is the pooled map.
    pub pool: bool,
}

impl WinogradPictures {
    /// True if windows of the resized `pictures` touch few enough pixels of the stored ones, all of
    /// which are bound.
    pub fn suits(pictures: &Pictures) -> bool {
        let Shard { first, count, .. } = pictures.shard;
        let (rows, columns) = touched(pictures);
        first == 0 && count > 0 && rows <= MOST_ROWS && columns <= MOST_COLUMNS
    }

    fn conv_of_map(&self) -> WinogradForward {
        let Self { pictures, output, relu, pool } = *self;
        WinogradForward { input: pictures.output, output, relu, tile: TILE, pool }
    }

    /// The dimensions that `common/pictures_window.wgsl` reads.
    fn dims(&self) -> Vec<(&'static str, Dim)> {
        let Pictures { source_height, source_width, shard, normalisation, output } = self.pictures;
        let Normalisation { mean, deviation } = normalisation;
        let (from_height, to_height) = ratio(source_height, output.height);
        let (from_width, to_width) = ratio(source_width, output.width);
        let mut dims = vec![
            ("source_height", Dim::U(source_height as u32)),
            ("source_width", Dim::U(source_width as u32)),
            ("count", Dim::U(shard.count as u32)),
            ("last_word", Dim::U((self.pictures.pixels().len(1) - 1) as u32)),
            ("from_height", Dim::U(from_height)),
            ("from_width", Dim::U(from_width)),
            ("to_height", Dim::U(to_height)),
            ("to_width", Dim::U(to_width)),
        ];
        // Of a sum of bytes whose weights are counted in parts of both axes.
        let whole = 255.0 * (2.0 * f64::from(to_height)) * (2.0 * f64::from(to_width));
        let factor = |c: usize| Dim::F((1.0 / (whole * f64::from(deviation[c]))) as f32);
        let shift = |c: usize| Dim::F(-(f64::from(mean[c]) / f64::from(deviation[c])) as f32);
        dims.extend([("factor_0", factor(0)), ("factor_1", factor(1)), ("factor_2", factor(2))]);
        dims.extend([("shift_0", shift(0)), ("shift_1", shift(1)), ("shift_2", shift(2))]);
        dims
    }
}

impl Op for WinogradPictures {
    fn name(&self) -> &'static str {
        "winograd_pictures"
    }

    fn bindings(&self) -> Vec<Binding> {
        let (c, k) = (self.pictures.output.channels, self.output.channels);
        vec![
            self.pictures.shard.order(),
            Binding::words("pixels", self.pictures.pixels(), Access::Read),
            Binding::quads("u", TILE.filters(c, k), Access::Read),
            Binding::quads("output", Layout::Map(self.output), Access::Write),
        ]
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let conv = self.conv_of_map();
        let dims = [conv.dims(), self.dims()].concat();
        let mut shuffle = Cut::shuffle(TILE, (conv.input, conv.full()), dims, facts);
        let (rows, columns) = touched(&self.pictures);
        let touched = [("PICTURE_ROWS", rows as u32), ("PICTURE_COLUMNS", columns as u32)];
        shuffle.constants.extend(touched);
        // Of the order of samples, which comes from outside, the kernel takes no more than there is.
        vec![cut!("winograd_pictures_2x2_shuffle", shuffle)]
    }

    fn conv(&self) -> Option<ConvTask> {
        self.conv_of_map().conv()
    }

    fn flop(&self, images: u64) -> u64 {
        self.conv_of_map().flop(images)
    }

    /// Of the images that are read: the binding holds the whole set.
    fn bytes(&self, images: u64) -> u64 {
        let [.., u, output] = self.bindings()[..] else { unreachable!("four bindings") };
        let read = images * self.pictures.image_bytes() as u64;
        read + u.layout.bytes(1) + output.layout.bytes(images as usize)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [order, pixels, u, y] = buffers else { unreachable!("four bindings") };
        let (conv, images) = (self.conv_of_map(), step.images as usize);
        let x = Data::F(vec![0.0; Layout::Map(conv.input).len(images)]);
        let mut resize = [order.clone(), pixels.clone(), x];
        ResizeBilinear(self.pictures).reference(step, &mut resize);
        let [.., x] = resize;
        let positions = Data::U(vec![0; conv.positions().len(images)]);
        let mut maps = [x, u.clone(), Data::U(Vec::new()), y.clone(), positions];
        conv.reference(step, &mut maps);
        let [.., output, _] = maps;
        *y = output;
    }

    /// That of the convolution, and of the numbers it reads.
    fn tolerance(&self, images: u64) -> f64 {
        self.conv_of_map().tolerance(images) + ResizeBilinear(self.pictures).tolerance(images)
    }

    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let (c, k) = (self.pictures.output.channels, self.output.channels);
        match name {
            "order" => Some(self.pictures.shard.any_order(random)),
            "u" => Some(TILE.any_filters(c, k, random)),
            _ => None,
        }
    }
}

/// The most rows and columns of a stored image that the window of an invocation touches.
fn touched(pictures: &Pictures) -> (usize, usize) {
    let Pictures { source_height, source_width, output, .. } = *pictures;
    let (rows, columns) = TILE.block();
    (most(source_height, output.height, rows), most(source_width, output.width, columns))
}

/// The most pixels along an axis of `source` pixels resized to `size` that `block` outputs of a
/// convolution see, one more on both sides.
fn most(source: usize, size: usize, block: usize) -> usize {
    let (from, to) = ratio(source, size);
    let (from, to) = (from as usize, to as usize);
    // In parts of 1 / (2 to) of a pixel.
    let place = |i: usize| {
        let at = ((2 * i + 1) * from).max(to) - to;
        at.min((source - 1) * 2 * to)
    };
    let of_block = |first: usize| {
        let (low, high) = (place(first.saturating_sub(1)), place((first + block).min(size - 1)));
        high.div_ceil(2 * to) - low / (2 * to) + 1
    };
    (0..size).step_by(block).map(of_block).max().unwrap_or(1)
}

/// Small sets of images: equal sizes, up, down, smallest and odd, of 1 and 3 channels.
pub(super) fn examples() -> Vec<Box<dyn Op>> {
    // ((source height, width), channels, (output height, width), images, output channels)
    let shapes = [
        ((1, 1), 1, (2, 2), 3, 4),
        ((1, 1), 3, (1, 5), 2, 5),
        ((7, 7), 1, (56, 56), 5, 16),
        ((4, 3), 1, (32, 24), 9, 20),
        ((8, 9), 3, (32, 36), 4, 16),
        ((9, 11), 1, (9, 11), 6, 33),
        ((10, 6), 3, (10, 6), 3, 8),
        ((28, 28), 1, (32, 32), 4, 16),
        ((5, 3), 3, (7, 11), 2, 17),
        ((9, 13), 1, (8, 11), 11, 12),
        ((13, 17), 3, (12, 15), 3, 16),
        ((2, 509), 1, (3, 511), 2, 4),
        ((40, 3), 1, (499, 5), 1, 3),
    ];
    let op = |(i, ((source_height, source_width), channels, (h, w), count, k))| {
        let i: usize = i;
        let input = FeatureMap::new(h, w, channels).with_halo(1);
        let normalisation =
            if i % 3 == 1 { Normalisation::default() } else { Normalisation::IMAGENET };
        let shard = Shard { first: 0, count, samples: 80 };
        let pictures =
            Pictures { source_height, source_width, shard, normalisation, output: input };
        let relu = i % 3 != 2;
        let full = input.with_channels(k).with_halo(i % 2);
        let pooled = full.pooled().with_halo(i % 2);
        [(full, false), (pooled, true)].map(|(output, pool)| {
            let op = WinogradPictures { pictures, output, relu, pool };
            (!output.is_empty()).then(|| Box::new(op) as _)
        })
    };
    shapes.into_iter().enumerate().flat_map(op).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_touch_as_many_pixels_as_their_inputs_lie_between() {
        // From 28 to 224 an input is an eighth of a pixel from the next.
        assert_eq!((most(28, 224, 8), most(28, 224, 2)), (3, 3));
        assert_eq!((most(28, 28, 8), most(28, 28, 2)), (10, 4));
        assert_eq!(most(1, 9, 8), 1);
        // A clamped window is no wider.
        assert_eq!(most(7, 5, 8), 7);
    }

    #[test]
    fn images_that_shrink_much_or_lie_in_several_shards_do_not_suit() {
        let pictures = |source, size, first| Pictures {
            source_height: source,
            source_width: source,
            shard: Shard { first, count: 2, samples: 2 },
            normalisation: Normalisation::default(),
            output: FeatureMap::new(size, size, 3).with_halo(1),
        };
        assert!(WinogradPictures::suits(&pictures(28, 224, 0)));
        assert!(WinogradPictures::suits(&pictures(224, 224, 0)));
        assert!(!WinogradPictures::suits(&pictures(375, 224, 0)));
        assert!(!WinogradPictures::suits(&pictures(28, 224, 1)));
        let examples = examples().len();
        assert!(examples > 13, "{examples}");
    }
}
