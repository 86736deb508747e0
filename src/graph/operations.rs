//! The operations of a network, listed without a device.

use super::lower::{self, Pass, SourceShape};
use super::memory::{plan, setting};
use super::source::{Format, Reads};
use super::{Architecture, GraphError, NetworkOptions, ResizeFilter};
use crate::gpu::AdapterFacts;
use crate::ops::{ClipFactor, Decayed, Op, SquareSums, Update};

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
        let (len, form) = (plan.gradients as usize / 4, options.optimizer.form());
        let clips = options.optimizer.clip_norm.is_some();
        let mut add = |layer: &str, op| operations.push(Operation { layer: layer.to_owned(), op });
        if clips {
            add("clip", Box::new(SquareSums { len }));
            add("clip", Box::new(ClipFactor { ranges: 1 }));
        }
        add("update", Box::new(Update { len, form, decayed: Decayed::all(len), clips }));
    }
    Ok(operations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterKind;
    use crate::ops::Optimizer;

    #[test]
    fn training_lists_all_passes_and_the_update_and_inference_only_the_forward_one() {
        let network = Architecture::builder().table("1x4,2x8").unwrap();
        let network = network.input(1, 8, 8).hidden(vec![12]).classes(3).build().unwrap();
        let facts = AdapterFacts::example(AdapterKind::Discrete);
        let images = SourceShape { count: 10, height: 28, width: 28, channels: 1 };
        let names = |train, clip_norm| -> Vec<(String, &str)> {
            let optimizer = Optimizer { clip_norm, ..Optimizer::sgd(0.9) };
            let options = NetworkOptions { batch: 4, train, optimizer, ..Default::default() };
            let found = operations(&network, &options, images, &facts).unwrap();
            found.into_iter().map(|found| (found.layer, found.op.name())).collect()
        };
        let count = |names: &[(String, &str)], op| names.iter().filter(|(_, o)| *o == op).count();
        let train = names(true, None);
        assert_eq!(count(&train, "conv_forward"), 3);
        assert_eq!(count(&train, "conv_backward_weights"), 3);
        // Nothing reads the gradient of the images.
        assert_eq!(count(&train, "conv_backward_data"), 2);
        assert_eq!(train.last().unwrap(), &("update".to_owned(), "update"));
        let clipped: Vec<_> = names(true, Some(1.0)).into_iter().map(|(_, op)| op).collect();
        assert!(clipped.ends_with(&["square_sums", "clip_factor", "update"]), "{clipped:?}");
        let infer = names(false, Some(1.0));
        assert!(infer.iter().eq(train.iter().take(infer.len())), "{infer:?}");
        assert_eq!(infer.last().unwrap().1, "metrics_update");
    }
}
