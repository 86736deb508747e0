//! The operations of a network, listed without a device.

use super::lower::{self, Pass, SourceShape};
use super::memory::{plan, setting};
use super::source::{Format, Reads};
use super::{Architecture, GraphError, NetworkOptions, ResizeFilter};
use crate::gpu::AdapterFacts;
use crate::ops::{Op, SgdMomentumUpdate, SgdUpdate};

/// An operation that a network runs, and the layer it belongs to.
#[derive(Debug)]
pub struct Operation {
    /// The layer, `input`, `loss` or `update`.
    pub layer: String,
    /// The operation.
    pub op: Box<dyn Op>,
}

/// What a network runs for each micro-batch of a set of `images`, in order, then the update: the
/// operations that [`Network::bind`](super::Network::bind) would give an adapter with these facts.
/// In inference where [`NetworkOptions::train`] is false.
///
/// # Errors
/// [`GraphError`] that tells what does not fit the adapter.
pub fn operations(
    architecture: &Architecture,
    options: &NetworkOptions,
    images: SourceShape,
    facts: &AdapterFacts,
) -> Result<Vec<Operation>, GraphError> {
    let plan = plan(architecture, options, facts)?;
    let pass = if options.train { Pass::Train } else { Pass::Infer };
    let launches = (plan.micro_batch, plan.in_place);
    let setting = setting(architecture, options, pass, launches, facts);
    let format = Format::Bytes(ResizeFilter::Bilinear);
    let shards = &[(0, images.count)];
    let graph = lower::lower(&setting, Reads { shape: images, format, augmentation: None, shards });
    let of_node = |node: lower::Node| Operation { layer: node.layer, op: node.op };
    let mut operations: Vec<_> = graph.nodes.into_iter().map(of_node).collect();
    // Frozen features and dense layers updated in place leave nothing to it.
    if options.train && plan.gradients > 0 {
        let len = plan.gradients as usize / 4;
        let op: Box<dyn Op> = match options.momentum {
            true => Box::new(SgdMomentumUpdate { len }),
            false => Box::new(SgdUpdate { len }),
        };
        operations.push(Operation { layer: "update".to_owned(), op });
    }
    Ok(operations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterKind;

    #[test]
    fn training_lists_all_passes_and_the_update_and_inference_only_the_forward_one() {
        let network = Architecture::builder().table("1x4,2x8").unwrap();
        let network = network.input(1, 8, 8).hidden(vec![12]).classes(3).build().unwrap();
        let facts = AdapterFacts::example(AdapterKind::Discrete);
        let images = SourceShape { count: 10, height: 28, width: 28, channels: 1 };
        let names = |train, momentum| -> Vec<(String, &str)> {
            let options = NetworkOptions { batch: 4, train, momentum, ..Default::default() };
            let found = operations(&network, &options, images, &facts).unwrap();
            found.into_iter().map(|found| (found.layer, found.op.name())).collect()
        };
        let count = |names: &[(String, &str)], op| names.iter().filter(|(_, o)| *o == op).count();
        let train = names(true, true);
        assert_eq!(count(&train, "conv_forward"), 3);
        assert_eq!(count(&train, "conv_backward_weights"), 3);
        // Nothing reads the gradient of the images.
        assert_eq!(count(&train, "conv_backward_data"), 2);
        assert_eq!(train.last().unwrap(), &("update".to_owned(), "sgd_momentum_update"));
        assert_eq!(names(true, false).last().unwrap().1, "sgd_update");
        let infer = names(false, true);
        assert!(infer.iter().eq(train.iter().take(infer.len())), "{infer:?}");
        assert_eq!(infer.last().unwrap().1, "metrics_update");
    }
}
