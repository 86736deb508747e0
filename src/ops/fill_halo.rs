//! Zeroes the border of a feature map.

use super::{Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout};

/// Writes 0 to the halo of a map whose memory held something else before; the rest is unchanged.
#[derive(Debug, Clone, Copy)]
pub struct FillHalo {
    /// The map, with a halo of one pixel.
    pub map: FeatureMap,
}

impl Op for FillHalo {
    fn name(&self) -> &'static str {
        "fill_halo"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![Binding::quads("x", Layout::Map(self.map), Access::Update)]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let map = self.map;
        let border = 2 * map.columns() + 2 * map.height;
        vec![variant! {
            "fill_halo",
            constants: vec![],
            dims: vec![
                ("height", Dim::U(map.height as u32)),
                ("width", Dim::U(map.width as u32)),
                ("quads", Dim::U(map.quads() as u32)),
            ],
            grid: Grid { tiles: 1, items: border as u64, per_group: 64 },
            proven: true,
            supported: Ok(()),
        }]
    }

    /// Only the halo is written.
    fn bytes(&self, images: u64) -> u64 {
        let inside = self.map.with_halo(0);
        images * 4 * (self.map.len() - inside.len()) as u64
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x] = buffers else { unreachable!("one binding") };
        let (map, stored) = (self.map, self.map.quads() * 4);
        for pixel in 0..step.images as usize * map.rows() * map.columns() {
            let (row, column) = (pixel / map.columns() % map.rows(), pixel % map.columns());
            if row == 0 || row == map.rows() - 1 || column == 0 || column == map.columns() - 1 {
                (0..stored).for_each(|c| x[pixel * stored + c] = 0.0);
            }
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        0.0
    }

    /// The halo is not yet zero.
    fn input(&self, _name: &str, step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let len = Layout::Map(self.map).len(step.images as usize);
        Some(Data::F((0..len).map(|_| 1.0 + (random() * 8.0).floor()).collect()))
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let shapes = [(1, 1, 1), (1, 7, 4), (6, 1, 5), (2, 3, 9), (7, 7, 128), (28, 28, 16)];
    let op = |&(h, w, c): &(usize, usize, usize)| {
        Box::new(FillHalo { map: FeatureMap::new(h, w, c).with_halo(1) }) as _
    };
    shapes.iter().map(op).collect()
}
