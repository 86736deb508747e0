//! Checked shapes: the one place where sizes of tensors and of layer outputs are computed.
//!
//! Activations are channels-last, `(n, h, w, c)` in row-major order, with `c` padded to a multiple
//! of four (the padding is always zero) so that a kernel reads `vec4<f32>` along the channels.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Outputs in one panel of a dense layer's weights; see [`Layout::Panels`].
pub const PANEL: usize = 32;
/// Rows that those of a panel are filled up to a multiple of: a block of texels holds as many
/// ([`crate::gpu::Order::Blocks`]).
const PANEL_ROWS: usize = 8;
/// Taps of a 3x3 filter.
pub const TAPS: usize = 9;

/// A size that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// The pooled map of a block would have no pixel.
    #[error(
        "block {block}: its input is {height}x{width}, and pooling by 2 leaves nothing of it; \
         {blocks} blocks need a resolution of at least {least}"
    )]
    Collapsed {
        /// The block, counted from 1.
        block: usize,
        /// Number of blocks in the table.
        blocks: usize,
        /// Rows of the block's input.
        height: usize,
        /// Columns of the block's input.
        width: usize,
        /// The smallest resolution at which every block keeps a pixel.
        least: usize,
    },
    /// A size that must be positive is zero.
    #[error("{what} must be at least 1")]
    Zero {
        /// What the size counts.
        what: &'static str,
    },
    /// Input channels other than 1 or 3.
    #[error("{found} input channels: pictures have 1 (gray) or 3 (RGB)")]
    Channels {
        /// The number asked for.
        found: usize,
    },
    /// A tensor's size does not fit 32-bit indices.
    #[error("{what} of {elements} elements is more than a shader can index (2^32)")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its number of elements (saturated).
        elements: u128,
    },
}

/// What stands between the blocks of a VGG and its dense layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// The last block's map is flattened as it is: "Dive into Deep Learning" 7.2.
    #[default]
    Flatten,
    /// The last block's map is pooled to 7x7 by adaptive averaging first: torchvision's VGG.
    AvgPool7,
}

/// What is done to values in `[0, 1]` before a network sees them: `(value - mean) / deviation`, for
/// each channel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divided by.
    pub deviation: [f32; 3],
}

impl Normalisation {
    /// That of ImageNet, which torchvision's weights were trained with.
    pub const IMAGENET: Self =
        Self { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };
}

impl Default for Normalisation {
    /// Values stay as they are.
    fn default() -> Self {
        Self { mean: [0.0; 3], deviation: [1.0; 3] }
    }
}

/// `c` rounded up to a multiple of four: the number of channels stored.
pub const fn padded(c: usize) -> usize {
    c.div_ceil(4) * 4
}

/// Rows of a panel for a layer of `inputs` inputs: theirs, that of the biases, and empty ones up to a
/// multiple of eight.
pub const fn panel_rows(inputs: usize) -> usize {
    (inputs + 1).next_multiple_of(PANEL_ROWS)
}

/// One image's feature map `(h, w, c)`, stored with `padded(c)` channels and a zero border of
/// `halo` pixels on all four sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FeatureMap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels that carry values.
    pub channels: usize,
    /// Zero pixels around the map: 1 where a 3x3 convolution reads it, else 0.
    pub halo: usize,
}

impl FeatureMap {
    /// A map without halo.
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels, halo: 0 }
    }

    /// The same map with a halo of `halo` pixels.
    pub const fn with_halo(self, halo: usize) -> Self {
        Self { halo, ..self }
    }

    /// Stored rows.
    pub const fn rows(&self) -> usize {
        self.height + 2 * self.halo
    }

    /// Stored columns.
    pub const fn columns(&self) -> usize {
        self.width + 2 * self.halo
    }

    /// Stored channels in fours.
    pub const fn quads(&self) -> usize {
        self.channels.div_ceil(4)
    }

    /// Stored elements of one image.
    pub const fn len(&self) -> usize {
        self.rows() * self.columns() * self.quads() * 4
    }

    /// True if nothing is stored.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Index of pixel `(y, x)`, channel `c` of image `n`, in elements.
    pub const fn index(&self, n: usize, y: usize, x: usize, c: usize) -> usize {
        n * self.len() + ((y + self.halo) * self.columns() + x + self.halo) * self.quads() * 4 + c
    }

    /// The map after 2x2 max pooling with stride 2, without halo. An odd last row or column is
    /// dropped, as PyTorch does.
    pub const fn pooled(&self) -> Self {
        Self { height: self.height / 2, width: self.width / 2, channels: self.channels, halo: 0 }
    }

    /// The map with another number of channels, without halo: what a padded 3x3 convolution gives.
    pub const fn with_channels(&self, channels: usize) -> Self {
        Self { height: self.height, width: self.width, channels, halo: 0 }
    }

    /// Elements of the flattened map as the first dense layer reads it: `h * w * padded(c)`.
    pub const fn flattened(&self) -> usize {
        self.height * self.width * self.quads() * 4
    }
}

/// What a tensor holds, and how it lies in memory. All elements take four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `(n, h + 2 halo, w + 2 halo, padded c)` f32.
    Map(FeatureMap),
    /// `(n, h, w, padded c / 4)` u32: one byte a channel, the position 0..3 of a pooled maximum.
    Positions(FeatureMap),
    /// `(n, padded columns)` f32.
    Rows(usize),
    /// `(9 * padded c + 1, padded k)` f32: 3x3 filters, then the bias as the last row.
    Filter {
        /// Input channels.
        c: usize,
        /// Output channels.
        k: usize,
    },
    /// `(2, padded c)` f32: the scale of each channel of a batch normalisation, then its shift.
    Norm {
        /// Channels.
        c: usize,
    },
    /// `(panels, panel_rows(inputs), 32)` f32: dense weights in panels of 32 outputs, each with its bias in
    /// the row after the last input's, so that a panel is read as one stream and a slice of outputs is a
    /// range.
    Panels {
        /// Inputs of the layer (a multiple of four).
        inputs: usize,
        /// Outputs in these panels.
        outputs: usize,
    },
    /// `(len)` f32.
    Flat(usize),
    /// `(len)` u32.
    Words(usize),
    /// `(n)` u32.
    WordPerImage,
}

impl Layout {
    /// Elements for `n` images.
    pub const fn len(&self, n: usize) -> usize {
        match *self {
            Layout::Map(map) => n * map.len(),
            Layout::Positions(map) => n * map.height * map.width * map.quads(),
            Layout::Rows(columns) => n * padded(columns),
            Layout::Filter { c, k } => (TAPS * padded(c) + 1) * padded(k),
            Layout::Norm { c } => 2 * padded(c),
            Layout::Panels { inputs, outputs } => {
                outputs.div_ceil(PANEL) * panel_rows(inputs) * PANEL
            }
            Layout::Flat(len) | Layout::Words(len) => len,
            Layout::WordPerImage => n,
        }
    }

    /// Where weights lie among biases: the first of each so many elements. Returns both numbers, first
    /// those after which it is the same again. Scale and shift of a normalisation are no weights.
    pub const fn weights(&self) -> (usize, usize) {
        match *self {
            Layout::Filter { c, k } => (self.len(1), TAPS * padded(c) * padded(k)),
            Layout::Panels { inputs, .. } => (panel_rows(inputs) * PANEL, inputs * PANEL),
            Layout::Norm { .. } => (self.len(1), 0),
            _ => (self.len(1), self.len(1)),
        }
    }

    /// Bytes for `n` images.
    pub const fn bytes(&self, n: usize) -> u64 {
        self.len(n) as u64 * 4
    }

    /// True if the tensor grows with the number of images.
    pub const fn per_image(&self) -> bool {
        self.len(2) != self.len(1)
    }

    /// True if the elements are u32, false if f32.
    pub const fn is_words(&self) -> bool {
        matches!(self, Layout::Positions(_) | Layout::Words(_) | Layout::WordPerImage)
    }

    /// True if element `i` is padding or halo, which must stay zero.
    pub fn is_padding(&self, i: usize) -> bool {
        match *self {
            Layout::Map(map) => {
                let stored = map.quads() * 4;
                let (pixel, c) = ((i % map.len()) / stored, i % stored);
                let (y, x) = (pixel / map.columns(), pixel % map.columns());
                let inside = |at: usize, size: usize| at >= map.halo && at < map.halo + size;
                c >= map.channels || !inside(y, map.height) || !inside(x, map.width)
            }
            Layout::Rows(columns) => i % padded(columns) >= columns,
            Layout::Filter { c, k } => {
                let (row, column) = (i / padded(k), i % padded(k));
                column >= k || (row < TAPS * padded(c) && row % padded(c) >= c)
            }
            Layout::Norm { c } => i % padded(c) >= c,
            Layout::Panels { inputs, outputs } => {
                let (row, column) = (i / PANEL, i % PANEL);
                let (panel, row) = (row / panel_rows(inputs), row % panel_rows(inputs));
                row > inputs || panel * PANEL + column >= outputs
            }
            Layout::Positions(_) | Layout::Flat(_) | Layout::Words(_) | Layout::WordPerImage => {
                false
            }
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Map(_) => "(n, h + 2 halo, w + 2 halo, c)",
            Layout::Positions(_) => "(n, h, w, c / 4): a byte a channel",
            Layout::Rows(_) => "(n, columns)",
            Layout::Filter { .. } => "(9 c + 1, k): taps, then the bias",
            Layout::Norm { .. } => "(2, c): scale, then shift",
            Layout::Panels { .. } => "(panels, panel_rows, 32): weights, then the bias",
            Layout::Flat(_) | Layout::Words(_) => "(len)",
            Layout::WordPerImage => "(n)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_counts_padding_and_halo() {
        let map = FeatureMap::new(5, 7, 3).with_halo(1);
        assert_eq!(map.len(), 7 * 9 * 4);
        assert_eq!(map.index(0, 0, 0, 0), (9 + 1) * 4);
        assert_eq!(map.pooled(), FeatureMap::new(2, 3, 3));
    }

    #[test]
    fn padding_is_what_no_index_reaches() {
        let map = FeatureMap::new(3, 2, 5).with_halo(1);
        let mut reached = vec![false; map.len() * 2];
        for (n, y, x, c) in (0..2).flat_map(|n| {
            (0..3).flat_map(move |y| (0..2).flat_map(move |x| (0..5).map(move |c| (n, y, x, c))))
        }) {
            reached[map.index(n, y, x, c)] = true;
        }
        for (i, reached) in reached.iter().enumerate() {
            assert_eq!(Layout::Map(map).is_padding(i), !reached, "element {i}");
        }
    }

    #[test]
    fn a_panel_holds_32_outputs_and_their_biases() {
        let layout = Layout::Panels { inputs: 8, outputs: 40 };
        assert_eq!(layout.len(3), 2 * 16 * 32);
        assert!(!layout.per_image());
        assert!(!layout.is_padding(16 * 32 + 7));
        assert!(layout.is_padding(16 * 32 + 8));
        assert!(!layout.is_padding(8 * 32 + 31), "a bias");
        assert!(layout.is_padding(9 * 32), "after the biases");
    }
}
