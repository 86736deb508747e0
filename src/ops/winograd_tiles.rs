//! How the variants of Winograd's filtering cut the work.

use super::Tile;
use crate::gpu::AdapterFacts;
use crate::kernel::{Dim, Grid, Lanes};
use crate::shape::FeatureMap;

/// Dimensions of a kernel.
type Dims = Vec<(&'static str, Dim)>;

/// What a variant differs in from others of its operation, but for its source.
pub(super) struct Cut {
    pub constants: Vec<(&'static str, u32)>,
    pub dims: Dims,
    pub grid: Grid,
    pub supported: Result<(), String>,
}

/// A variant that is cut in this way. Every index is in range by construction: what lies past the
/// maps is computed from clamped loads and not stored.
macro_rules! cut {
    ($name:literal, $cut:expr) => {{
        let $crate::ops::winograd_tiles::Cut { constants, dims, grid, supported } = $cut;
        $crate::kernel::variant! { $name, constants, dims, grid, proven: true, supported }
    }};
}
pub(super) use cut;

impl Cut {
    /// `common/winograd_shuffle.wgsl`, of a convolution from the first map to the second.
    pub fn shuffle(
        tile: Tile,
        (source, target): (FeatureMap, FeatureMap),
        dims: Dims,
        facts: &AdapterFacts,
    ) -> Self {
        let (lanes, supported) = Lanes::or_least(facts);
        let constants = tile.constants(source, lanes);
        Self { constants, dims, grid: tile.grid(target, lanes), supported }
    }

    /// `common/winograd_tiled.wgsl`: with tiles of 2x2 outputs 128 invocations take more channels
    /// where there are enough, since each block of channels transforms the input again; tiles of 4x4
    /// fill workgroup memory with 12 of them and 16 channels.
    pub fn tiled(
        tile: Tile,
        target: FeatureMap,
        (pooled, unpooled): (bool, bool),
        dims: Dims,
    ) -> Self {
        let (tile_quads, quads, round) = match tile {
            Tile::Two if target.quads() > 4 => (4, 8, 1),
            Tile::Two => (8, 4, 1),
            Tile::Four => (3, 4, 2),
        };
        let constants = vec![
            ("POOLED", u32::from(pooled)),
            ("UNPOOLED", u32::from(unpooled)),
            ("TILE", tile.outputs() as u32),
            ("POINTS", tile.points() as u32),
            ("TILE_QUADS", tile_quads),
            ("QUADS", quads),
            ("ROUND", round),
        ];
        let side = tile.outputs();
        let grid = Grid {
            tiles: target.quads().div_ceil(quads as usize) as u64,
            items: (target.width.div_ceil(side) * target.height.div_ceil(side)) as u64,
            per_group: u64::from(4 * tile_quads),
        };
        Self { constants, dims, grid, supported: Ok(()) }
    }
}

/// How `common/winograd_weights_tiled.wgsl` cuts a gradient of filters: quads of input and of output
/// channels that a workgroup takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightCut {
    in_quads: usize,
    out_quads: usize,
}

impl WeightCut {
    /// 64 sums an invocation: of 128 with tiles of 2x2 outputs, of 108 with tiles of 4x4.
    pub fn of(tile: Tile, dy: FeatureMap) -> Self {
        match tile {
            Tile::Two if dy.quads() > 4 => Self { in_quads: 4, out_quads: 8 },
            Tile::Two => Self { in_quads: 8, out_quads: 4 },
            Tile::Four => Self { in_quads: 3, out_quads: 4 },
        }
    }

    /// Workgroups of a slot.
    pub fn groups(self, x: FeatureMap, dy: FeatureMap) -> usize {
        x.quads().div_ceil(self.in_quads) * dy.quads().div_ceil(self.out_quads)
    }

    /// The constants of the kernel.
    pub fn constants(self, tile: Tile, unpooled: bool) -> Vec<(&'static str, u32)> {
        vec![
            ("UNPOOLED", u32::from(unpooled)),
            ("TILE", tile.outputs() as u32),
            ("POINTS", tile.points() as u32),
            ("IN_QUADS", self.in_quads as u32),
            ("OUT_QUADS", self.out_quads as u32),
        ]
    }
}
