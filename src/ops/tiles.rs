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
