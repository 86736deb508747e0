//! Adaptive average pooling, as between the blocks and the dense layers of torchvision's VGG.

use std::ops::Range;

use super::conv::pixels;
use super::{Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::{FeatureMap, Layout};

/// `y` = the mean of each window: `(n, h, w, c)` to `(n, h', w', c)` of any size.
#[derive(Debug, Clone, Copy)]
pub struct AvgPoolForward {
    /// The input, without halo.
    pub x: FeatureMap,
    /// The output, without halo.
    pub y: FeatureMap,
}

/// `dx = (x > 0) *` each gradient spread evenly over its window.
#[derive(Debug, Clone, Copy)]
pub struct AvgPoolBackward {
    /// The input of the pooling, without halo; its gradient has the same shape.
    pub x: FeatureMap,
    /// Its output.
    pub y: FeatureMap,
}

/// The positions of `size` that output `i` of `outputs` is the mean of (PyTorch's
/// `adaptive_avg_pool2d`).
fn window(i: usize, size: usize, outputs: usize) -> Range<usize> {
    i * size / outputs..((i + 1) * size).div_ceil(outputs)
}

fn dims(x: FeatureMap, y: FeatureMap) -> Vec<(&'static str, Dim)> {
    vec![
        ("in_height", Dim::U(x.height as u32)),
        ("in_width", Dim::U(x.width as u32)),
        ("height", Dim::U(y.height as u32)),
        ("width", Dim::U(y.width as u32)),
        ("quads", Dim::U(y.quads() as u32)),
    ]
}

fn grid(map: FeatureMap) -> Grid {
    Grid { tiles: 1, items: (map.height * map.width * map.quads()) as u64, per_group: 64 }
}

impl Op for AvgPoolForward {
    fn name(&self) -> &'static str {
        "avgpool_forward"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("x", Layout::Map(self.x), Access::Read),
            Binding::quads("y", Layout::Map(self.y), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "avgpool_forward",
            constants: vec![],
            dims: dims(self.x, self.y),
            grid: grid(self.y),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, y] = buffers else { unreachable!("two bindings") };
        for (n, i, j, c) in pixels(step.images, self.y) {
            let rows = window(i, self.x.height, self.y.height);
            let columns = window(j, self.x.width, self.y.width);
            let count = (rows.len() * columns.len()) as f64;
            let all = rows.flat_map(|v| columns.clone().map(move |u| (v, u)));
            let sum: f64 = all.map(|(v, u)| x[self.x.index(n, v, u, c)]).sum();
            y[self.y.index(n, i, j, c)] = sum / count;
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding((self.x.height * self.x.width / (self.y.height * self.y.width)) as u64)
    }
}

impl Op for AvgPoolBackward {
    fn name(&self) -> &'static str {
        "avgpool_backward"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::quads("dy", Layout::Map(self.y), Access::Read),
            Binding::quads("x", Layout::Map(self.x), Access::Read),
            Binding::quads("dx", Layout::Map(self.x), Access::Write),
        ]
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        vec![variant! {
            "avgpool_backward",
            constants: vec![],
            dims: dims(self.x, self.y),
            grid: grid(self.x),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [dy, x, dx] = buffers else { unreachable!("three bindings") };
        for (n, v, u, c) in pixels(step.images, self.x) {
            dx[self.x.index(n, v, u, c)] = 0.0;
        }
        for (n, i, j, c) in pixels(step.images, self.y) {
            let rows = window(i, self.x.height, self.y.height);
            let columns = window(j, self.x.width, self.y.width);
            let share = dy[self.y.index(n, i, j, c)] / (rows.len() * columns.len()) as f64;
            for (v, u) in rows.flat_map(|v| columns.clone().map(move |u| (v, u))) {
                let at = self.x.index(n, v, u, c);
                if x[at] > 0.0 {
                    dx[at] += share;
                }
            }
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding((self.y.height * self.y.width / (self.x.height * self.x.width)) as u64)
    }
}

/// `((height, width), (height, width) pooled, channels)`: to fewer, as many and more, even and
/// overlapping windows, and VGG's at 224, 320 and 32 px.
type Shape = ((usize, usize), (usize, usize), usize);
const SHAPES: &[Shape] = &[
    ((1, 1), (1, 1), 1),
    ((1, 1), (7, 7), 5),
    ((3, 5), (7, 7), 4),
    ((9, 13), (7, 7), 6),
    ((14, 14), (7, 7), 8),
    ((5, 2), (3, 4), 13),
    ((10, 10), (7, 7), 128),
];

fn examples(make: impl Fn(FeatureMap, FeatureMap) -> Box<dyn Op>) -> Vec<Box<dyn Op>> {
    let op = |&((h, w), (to_h, to_w), c): &Shape| {
        make(FeatureMap::new(h, w, c), FeatureMap::new(to_h, to_w, c))
    };
    SHAPES.iter().map(op).collect()
}

pub(super) fn forward_examples() -> Vec<Box<dyn Op>> {
    examples(|x, y| Box::new(AvgPoolForward { x, y }))
}

pub(super) fn backward_examples() -> Vec<Box<dyn Op>> {
    examples(|x, y| Box::new(AvgPoolBackward { x, y }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_pytorch() {
        // adaptive_avg_pool1d of 10 positions to 7 overlaps, of 3 to 7 repeats.
        let windows = |size| (0..7).map(|i| window(i, size, 7)).collect::<Vec<_>>();
        assert_eq!(windows(10), [0..2, 1..3, 2..5, 4..6, 5..8, 7..9, 8..10]);
        assert_eq!(windows(3), [0..1, 0..1, 0..2, 1..2, 1..3, 2..3, 2..3]);
        assert_eq!(windows(7), (0..7).map(|i| i..i + 1).collect::<Vec<_>>());
    }
}
