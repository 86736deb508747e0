//! Filters transformed for Winograd's minimal filtering (Lavin and Gray, arXiv:1509.09308).

use super::winograd::shapes;
use super::{Data, Op, Tile, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout, TAPS, padded};

/// Filters transformed once for all images: `u = G w G^T`.
#[derive(Debug, Clone, Copy)]
pub struct WinogradFilter {
    /// Input channels of the convolution.
    pub c: usize,
    /// Its output channels.
    pub k: usize,
    /// The tile they are made for.
    pub tile: Tile,
    /// True for the backward pass to data: filters turned by 180 degrees, channels exchanged.
    pub flip: bool,
}

impl Op for WinogradFilter {
    fn name(&self) -> &'static str {
        "winograd_filter"
    }

    fn bindings(&self) -> Vec<Binding> {
        let (rows, outputs) = if self.flip { (self.k, self.c) } else { (self.c, self.k) };
        vec![
            Binding::quads("w", Layout::Filter { c: self.c, k: self.k }, Access::Read),
            Binding::quads("u", self.tile.filters(rows, outputs), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let (rows, outputs) = if self.flip { (self.k, self.c) } else { (self.c, self.k) };
        let quads = padded(outputs) / 4;
        vec![variant! {
            "winograd_filter",
            constants: vec![
                ("TILE", self.tile.outputs() as u32),
                ("SIDE", self.tile.side() as u32),
                ("FLIP", u32::from(self.flip)),
            ],
            dims: vec![
                ("rows", Dim::U(padded(rows) as u32)),
                ("quads", Dim::U(quads as u32)),
            ],
            grid: Grid::fixed(((self.tile.side() * padded(rows) + 1) * quads).div_ceil(64) as u64),
            proven: false,
            supported: Ok(()),
        }]
    }

    fn reference(&self, _step: &Step, buffers: &mut [Data]) {
        let [w, u] = buffers else { unreachable!("two bindings") };
        let (g, side) = (self.tile.filter_matrix(), self.tile.side());
        let (stored_c, stored_k) = (padded(self.c), padded(self.k));
        let channels = (0..stored_c).flat_map(|c| (0..stored_k).map(move |k| (c, k)));
        for (c, k) in channels {
            for point in 0..side * side {
                let mut sum = 0.0;
                for tap in 0..TAPS {
                    let from = if self.flip { TAPS - 1 - tap } else { tap };
                    let factor = g[point / side][tap / 3] * g[point % side][tap % 3];
                    sum += factor * w[(from * stored_c + c) * stored_k + k];
                }
                let at = match self.flip {
                    true => (point * stored_k + k) * stored_c + c,
                    false => (point * stored_c + c) * stored_k + k,
                };
                u[at] = sum;
            }
        }
        let size = stored_c * stored_k;
        let outputs = if self.flip { stored_c } else { stored_k };
        for k in 0..outputs {
            u[side * side * size + k] = if self.flip { 0.0 } else { w[TAPS * size + k] };
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(TAPS as u64)
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let op = |(i, tile, map, k): (usize, Tile, FeatureMap, usize)| {
        Box::new(WinogradFilter { c: map.channels, k, tile, flip: i % 2 == 1 }) as _
    };
    shapes().map(op).collect()
}
