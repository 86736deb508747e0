//! What a graph is built for, and which way each convolution then takes.

use super::Architecture;
use super::lower::Pass;
use crate::gpu::AdapterFacts;
use crate::ops::{Choices, ConvPass, ConvTask, Optimizer, Tile};
use crate::shape::FeatureMap;

/// What a graph is built for.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The network.
    pub network: &'a Architecture,
    /// What it does.
    pub pass: Pass,
    /// True if only dense layers are trained: the others run as in inference.
    pub frozen: bool,
    /// True if dense layers are updated as their gradients are computed.
    pub in_place: bool,
    /// What it learns by.
    pub optimizer: &'a Optimizer,
    /// Images that most launches have.
    pub images: usize,
    /// The adapter.
    pub facts: &'a AdapterFacts,
    /// Kernel variants that the user prefers, by name.
    pub variants: &'a [String],
    /// Variants that were chosen for tasks.
    pub choices: &'a Choices,
}

impl Setting<'_> {
    /// True if batch normalisations take the statistics of the batch and learn.
    pub(super) fn normalises(&self) -> bool {
        self.pass == Pass::Train && !self.frozen
    }

    /// The Winograd tile of a pass of a convolution, or `None` where it is direct.
    pub(super) fn tile(
        &self,
        pass: ConvPass,
        source: FeatureMap,
        target: FeatureMap,
    ) -> Option<Tile> {
        self.variant(ConvTask::new(pass, source, target)).and_then(Tile::of)
    }

    /// The tile of a forward convolution, and whether the pooling after it, if there is one, is done
    /// with it.
    pub(super) fn forward_tile(
        &self,
        source: FeatureMap,
        target: FeatureMap,
        pooled: bool,
    ) -> Option<(Tile, bool)> {
        let (variant, pool) = self.forward_variant(source, target, pooled);
        let tile = variant.and_then(Tile::of)?;
        Some((tile, pool && tile == Tile::Two))
    }

    /// The variant of a forward convolution, and whether it is to be one that may pool.
    pub(super) fn forward_variant(
        &self,
        source: FeatureMap,
        target: FeatureMap,
        pooled: bool,
    ) -> (Option<&'static str>, bool) {
        let apart = self.variants.iter().any(|name| name.starts_with("maxpool_forward"));
        let pool = pooled && !apart;
        let task = ConvTask { pool, ..ConvTask::new(ConvPass::Forward, source, target) };
        (self.variant(task), pool)
    }

    fn variant(&self, task: ConvTask) -> Option<&'static str> {
        self.choices.conv(&task, self.images, self.facts, self.variants)
    }

    /// True if the backward passes of the convolution from `input` to `output` before a pooling read
    /// the gradient of the pooled map: in workgroup memory, where that spares a map and its traffic.
    pub(super) fn reads_pooled(&self, input: FeatureMap, output: FeatureMap, first: bool) -> bool {
        let reads = |pass, source, target| {
            let variant = self.variant(ConvTask::new(pass, source, target));
            variant.is_some_and(|name| name.starts_with("winograd_") && name.ends_with("_tiled"))
        };
        let (input, dy) = (input.with_halo(1), output.with_halo(1));
        let apart = self.variants.iter().any(|name| name.starts_with("maxpool_backward"));
        !apart
            && reads(ConvPass::BackwardWeights, input, dy)
            && (first || reads(ConvPass::BackwardData, dy, input))
    }
}
