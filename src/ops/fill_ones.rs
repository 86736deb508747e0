//! A mask that lets everything through.

use super::conv::pixels;
use super::{Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout};

/// `x` = 1 wherever a map carries a value. The kernels that go back through a ReLU take its output for
/// the mask of the gradient; bound in its place, this gives the gradient by that output itself.
#[derive(Debug, Clone, Copy)]
pub struct FillOnes {
    /// The map, without halo.
    pub map: FeatureMap,
}

impl Op for FillOnes {
    fn name(&self) -> &'static str {
        "fill_ones"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![Binding::quads("x", Layout::Map(self.map), Access::Write)]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let map = self.map;
        let pixels = map.height * map.width;
        vec![variant! {
            "fill_ones",
            constants: vec![],
            dims: vec![
                ("pixels", Dim::U(pixels as u32)),
                ("quads", Dim::U(map.quads() as u32)),
                ("channels", Dim::U(map.channels as u32)),
            ],
            grid: Grid { tiles: 1, items: (pixels * map.quads()) as u64, per_group: 64 },
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x] = buffers else { unreachable!("one binding") };
        for (n, i, j, c) in pixels(step.images, self.map) {
            x[self.map.index(n, i, j, c)] = 1.0;
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        0.0
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let shapes = [(1, 1, 1), (1, 7, 4), (6, 1, 5), (2, 3, 9), (7, 7, 128), (5, 4, 30)];
    let op = |&(h, w, c): &(usize, usize, usize)| {
        Box::new(FillOnes { map: FeatureMap::new(h, w, c) }) as _
    };
    shapes.iter().map(op).collect()
}
