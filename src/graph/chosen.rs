//! What a program runs where there was a choice.

use serde::{Deserialize, Serialize};

use super::{Network, Program};
use crate::ops::{ConvTask, Op, task_key};

/// A variant that a program runs where others could run too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The layer.
    pub layer: String,
    /// What it computes, see [`task_key`].
    pub task: String,
    /// The variant.
    pub variant: String,
}

impl Program {
    /// The variants that a batch runs on `network`, the one it was bound to, where the adapter runs
    /// others too, in the order they run.
    pub fn choices(&self, network: &Network) -> Vec<Chosen> {
        let (facts, images) = (network.gpu().facts(), self.micro_batch);
        let usable = |op: &dyn Op| {
            op.variants(facts).iter().filter(|variant| variant.supported.is_ok()).count()
        };
        let of_ways = |conv: ConvTask| {
            conv.ways(images, facts).iter().map(|way| usable(way.main())).sum::<usize>()
        };
        let mut chosen = Vec::new();
        for bound in self.all(network) {
            if bound.op.conv().map_or_else(|| usable(&*bound.op), of_ways) > 1 {
                let task = task_key(&*bound.op, images);
                let (layer, variant) = (bound.layer.clone(), bound.launch.variant.to_owned());
                chosen.push(Chosen { layer, task, variant });
            }
        }
        chosen
    }
}
