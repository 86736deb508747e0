//! How the tiled variants cut the work: a function of the operation's shape alone.

use crate::kernel::Grid;
use crate::shape::FeatureMap;

/// Output channels in fours that a workgroup of a tiled convolution takes: the most of those that
/// leave the fewest channels idle.
fn tile_quads(quads: usize) -> usize {
    match quads {
        ..=4 => 4,
        _ if quads.next_multiple_of(8) < quads.next_multiple_of(16) => 8,
        _ => 16,
    }
}

/// Output channels in fours that an invocation takes, and invocations along the channels.
fn conv_threads(target: FeatureMap) -> (usize, usize) {
    match tile_quads(target.quads()) {
        4 => (1, 4),
        tile => (2, tile / 2),
    }
}

/// The constants of `common/conv_tiled.wgsl`.
pub(super) fn conv_constants(source: FeatureMap, target: FeatureMap) -> Vec<(&'static str, u32)> {
    let (quads, threads) = conv_threads(target);
    vec![
        ("CHANNELS", source.channels.min(4) as u32),
        ("QUADS", quads as u32),
        ("K_THREADS", threads as u32),
    ]
}

/// The grid of `common/conv_tiled.wgsl`.
pub(super) fn conv_grid(target: FeatureMap) -> Grid {
    let (quads, threads) = conv_threads(target);
    Grid {
        tiles: target.quads().div_ceil(quads * threads) as u64,
        items: (target.height.div_ceil(8) * target.width.div_ceil(8)) as u64,
        per_group: (16 / threads) as u64,
    }
}

/// Invocations of `conv_backward_weights_tiled` along the input and the output channels: one takes
/// one input channel and eight output channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightTile {
    c_threads: usize,
    k_threads: usize,
}

impl WeightTile {
    /// The tile for a convolution that reads `x` and whose output has the gradient `dy`.
    pub(super) fn of(x: FeatureMap, dy: FeatureMap) -> Self {
        let c_threads = if x.quads() == 1 { 4 } else { 16 };
        Self { c_threads, k_threads: tile_quads(dy.quads()) / 2 }
    }

    /// Tiles that cover all filters.
    pub(super) fn count(self, x: FeatureMap, dy: FeatureMap) -> usize {
        (4 * x.quads()).div_ceil(self.c_threads) * dy.quads().div_ceil(2 * self.k_threads)
    }

    /// The constants of `conv_backward_weights_tiled`.
    pub(super) fn constants(self) -> Vec<(&'static str, u32)> {
        vec![("C_THREADS", self.c_threads as u32), ("K_THREADS", self.k_threads as u32)]
    }
}

/// The tile of `common/dense_tiled.wgsl`: rows of 32 outputs, and steps of the sums in a stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct DenseTile {
    rows: usize,
    depth: usize,
}

impl DenseTile {
    /// Rows are images, of which most launches have `images`.
    pub(super) fn of_images(images: usize) -> Self {
        match images {
            0..=8 => Self { rows: 8, depth: 64 },
            9..=16 => Self { rows: 16, depth: 64 },
            17..=32 => Self { rows: 32, depth: 32 },
            _ => Self { rows: 64, depth: 32 },
        }
    }

    /// Rows are inputs, and the steps images.
    pub(super) const OF_INPUTS: Self = Self { rows: 128, depth: 16 };

    /// The constants of a kernel.
    pub(super) fn constants(self) -> Vec<(&'static str, u32)> {
        vec![("TILE", self.rows as u32), ("DEPTH", self.depth as u32)]
    }

    /// A grid of `columns` tiles for each tile of images.
    pub(super) fn grid(self, columns: usize) -> Grid {
        Grid { tiles: columns as u64, items: 1, per_group: self.rows as u64 }
    }

    /// Tiles that cover `rows`.
    pub(super) fn count(self, rows: usize) -> usize {
        rows.div_ceil(self.rows)
    }
}
