//! What is to be computed, and the ways to compute it.

use std::iter;

use super::{
    ConvBackwardData, ConvBackwardWeights, ConvFilterFlip, ConvForward, MaxPoolForward, Op,
    SumPartials, Tile, WinogradBackwardData, WinogradBackwardWeights, WinogradFilter,
    WinogradFilterGradient, WinogradForward,
};
use crate::gpu::AdapterFacts;
use crate::kernel::Variant;
use crate::shape::{FeatureMap, Layout};

/// A pass of a convolution layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConvPass {
    /// From the input to the output.
    Forward,
    /// From the gradient of the output to that of the input.
    BackwardData,
    /// From the input and the gradient of the output to that of the filters.
    BackwardWeights,
}

/// A pass of a 3x3 convolution of a certain shape. Several operations compute the same: directly, or
/// by Winograd's filtering in tiles of some size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvTask {
    /// The pass.
    pub pass: ConvPass,
    /// What is read, with a halo: the input, or backward to data the gradient of the output.
    pub source: FeatureMap,
    /// What is computed, or backward to weights the gradient of the output.
    pub target: FeatureMap,
    /// True of a forward pass with the pooling after it. It has no key of its own: layers of one shape
    /// run one variant.
    pub pool: bool,
}

impl ConvTask {
    /// A pass without a pooling.
    pub fn new(pass: ConvPass, source: FeatureMap, target: FeatureMap) -> Self {
        Self { pass, source, target, pool: false }
    }
}

/// One way to compute a task: operations that run one after the other. One of them does the work, and
/// may have several variants; the others make its filters or add its sums.
#[derive(Debug)]
pub struct Way {
    /// The operations, in the order they run.
    pub ops: Vec<Box<dyn Op>>,
}

/// A [`Way`] of these operations.
macro_rules! way {
    ($($op:expr),+) => {
        Way { ops: vec![$(Box::new($op)),+] }
    };
}

impl ConvPass {
    /// The task's name, which is that of the direct operation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "conv_forward",
            Self::BackwardData => "conv_backward_data",
            Self::BackwardWeights => "conv_backward_weights",
        }
    }
}

impl ConvTask {
    /// What names the task in files and reports, such as `conv_forward 56x56 64>128 n32`: pass, rows
    /// and columns, channels, images of a launch.
    pub fn key(&self, images: usize) -> String {
        let Self { pass, source, target, .. } = self;
        let (h, w, c, k) = (target.height, target.width, source.channels, target.channels);
        format!("{} {h}x{w} {c}>{k} n{images}", pass.name())
    }

    /// All ways there are to compute it for launches of `images` images. Another one is a line here,
    /// and a line for each of its variants among the shares of the cost model.
    pub fn ways(&self, images: usize, facts: &AdapterFacts) -> Vec<Way> {
        let Self { pass, source, target, pool } = *self;
        let (c, k) = (source.channels, target.channels);
        let tiles = [Tile::Two, Tile::Four].into_iter();
        match pass {
            ConvPass::Forward => {
                let (input, output, relu) = (source, target, true);
                let pooling = MaxPoolForward { input: output, output: output.pooled() };
                let with_pooling = |way: Way| if pool { way.and(pooling) } else { way };
                let direct = with_pooling(way![ConvForward { input, output, relu }]);
                let winograd = tiles.map(|tile| {
                    let filter = WinogradFilter { c, k, tile, flip: false };
                    if pool && tile == Tile::Two {
                        let output = pooling.output;
                        return way![filter, WinogradForward { input, output, relu, tile, pool }];
                    }
                    let forward = WinogradForward { input, output, relu, tile, pool: false };
                    with_pooling(way![filter, forward])
                });
                iter::once(direct).chain(winograd).collect()
            }
            ConvPass::BackwardData => {
                // The layer's input has as many channels as the gradient that is computed.
                let (c, k, dy, dx) = (k, c, source, target);
                let direct = way![ConvFilterFlip { c, k }, ConvBackwardData { dy, dx }];
                let winograd = tiles.map(|tile| {
                    let filter = WinogradFilter { c, k, tile, flip: true };
                    way![filter, WinogradBackwardData { dy, dx, tile, pool: false }]
                });
                iter::once(direct).chain(winograd).collect()
            }
            ConvPass::BackwardWeights => {
                let direct = ConvBackwardWeights::new(source, target, facts);
                let sum = SumPartials { grad: Layout::Filter { c, k }, slots: direct.slots };
                let winograd = tiles.map(|tile| {
                    let first = WinogradBackwardWeights::new(source, target, images, tile, facts);
                    let slots = first.slots;
                    way![first, WinogradFilterGradient { c, k, slots, tile }]
                });
                iter::once(way![direct, sum]).chain(winograd).collect()
            }
        }
    }
}

impl Way {
    /// With another operation after it.
    fn and(mut self, op: impl Op + 'static) -> Self {
        self.ops.push(Box::new(op));
        self
    }

    /// The operation that does the work.
    pub fn main(&self) -> &dyn Op {
        let main = self.ops.iter().max_by_key(|op| op.flop(1));
        &**main.expect("a way has an operation")
    }

    /// The variants of the main operation that an adapter runs.
    pub fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let variants = self.main().variants(facts).into_iter();
        variants.filter(|variant| variant.supported.is_ok()).collect()
    }
}

/// What names the task of an operation, see [`ConvTask::key`]: operations of one task are
/// alternatives to each other.
pub fn task_key(op: &dyn Op, images: usize) -> String {
    if let Some(conv) = op.conv() {
        return conv.key(images);
    }
    let bindings = op.bindings();
    let layouts = || bindings.iter().map(|binding| binding.layout);
    // Weights tell what is read and computed; without them all tensors have to.
    let weights = |layout: &Layout| matches!(layout, Layout::Panels { .. } | Layout::Filter { .. });
    let sizes: Vec<_> = match layouts().find(weights) {
        Some(weights) => vec![size(weights)],
        None => layouts().map(size).collect(),
    };
    format!("{} {} n{images}", op.name(), sizes.join(" "))
}

/// The ways to compute what `op` computes: for a pass of a convolution all of them, else `op` alone.
pub fn ways_of(op: Box<dyn Op>, images: usize, facts: &AdapterFacts) -> Vec<Way> {
    match op.conv() {
        Some(conv) => conv.ways(images, facts),
        None => vec![Way { ops: vec![op] }],
    }
}

/// What differs between tensors of a kind.
fn size(layout: Layout) -> String {
    match layout {
        Layout::Map(map) | Layout::Positions(map) => {
            format!("{}x{}x{}", map.height, map.width, map.channels)
        }
        Layout::Filter { c, k } => format!("{c}>{k}"),
        Layout::Panels { inputs, outputs } => format!("{inputs}>{outputs}"),
        Layout::Rows(count) | Layout::Flat(count) | Layout::Words(count) => count.to_string(),
        Layout::Norm { c } => c.to_string(),
        Layout::WordPerImage => "1".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterKind;
    use crate::ops::{AvgPoolForward, DenseForward, Dropout, Slice};

    fn maps() -> (FeatureMap, FeatureMap) {
        let source = FeatureMap::new(14, 12, 16).with_halo(1);
        (source, source.with_channels(32))
    }

    #[test]
    fn all_ways_of_a_task_have_its_key() {
        let (source, target) = maps();
        let facts = AdapterFacts::example(AdapterKind::Software);
        for pass in [ConvPass::Forward, ConvPass::BackwardData, ConvPass::BackwardWeights] {
            let task = ConvTask::new(pass, source, target);
            let ways = task.ways(8, &facts);
            assert!(ways.len() > 1);
            for way in ways {
                assert_eq!(task_key(way.main(), 8), task.key(8), "{way:?}");
                assert!(way.main().flop(1) > 0, "{way:?}");
            }
        }
        let task = ConvTask { pool: true, ..ConvTask::new(ConvPass::Forward, source, target) };
        assert_eq!(task.key(8), "conv_forward 14x12 16>32 n8");
        let wider = ConvTask { target: target.with_halo(1), ..task };
        assert_eq!(wider.key(8), task.key(8), "a halo changes no choice");
    }

    #[test]
    fn other_tasks_are_named_by_operation_and_sizes() {
        let dense = DenseForward {
            slice: Slice::whole(64, 10),
            relu: false,
            dropout: Dropout::NONE,
            images: 4,
        };
        assert_eq!(task_key(&dense, 4), "dense_forward 64>10 n4");
        let pooling = AvgPoolForward {
            x: FeatureMap::new(9, 8, 4).with_halo(1),
            y: FeatureMap::new(7, 7, 4),
        };
        assert_eq!(task_key(&pooling, 4), "avgpool_forward 9x8x4 7x7x4 n4");
    }
}
