//! The operations: one file each, with the shape it works on, its f64 reference on the CPU, and its
//! kernel variants.

mod augment;
mod augmentation;
mod avgpool;
mod batch_norm;
mod batch_norm_backward;
mod ceiling;
mod choices;
mod clip;
pub mod contents;
mod conv;
mod conv_weights;
pub mod cost;
mod dense;
mod dense_update;
mod dropout;
mod fill_halo;
mod fill_ones;
mod input;
mod load_raw;
mod maxpool;
mod metrics;
mod one_hot;
mod optimizer;
mod probe;
mod reference;
mod resize;
mod resize_pillow;
mod softmax;
mod task;
mod tiles;
mod update;
mod verify;
mod winograd;
mod winograd_filter;
mod winograd_pictures;
mod winograd_reference;
mod winograd_tiles;
mod winograd_weights;

use std::fmt::Debug;

use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Step, Variant};

pub use augment::{Augment, draws_layout};
pub use augmentation::{Augmentation, Mix};
pub use avgpool::{AvgPoolBackward, AvgPoolForward};
pub use batch_norm::{
    BatchNormFold, BatchNormForward, BatchNormMoments, BatchNormStatistics, moments, slots,
    statistics,
};
pub use batch_norm_backward::{BatchNormBackward, BatchNormBackwardSums, BatchNormGradients};
pub use ceiling::{Bound, Ceilings, ceilings};
pub use choices::{Choices, choose};
pub use clip::{ClipFactor, SQUARE_SLOTS, SquareSums};
pub use conv::{ConvBackwardData, ConvFilterFlip, ConvForward};
pub use conv_weights::{ConvBackwardWeights, SumPartials};
pub use dense::{DenseBackwardData, DenseBackwardWeights, DenseForward, Slice};
pub use dense_update::DenseBackwardUpdate;
pub use dropout::Dropout;
pub use fill_halo::FillHalo;
pub use fill_ones::FillOnes;
pub use input::{Pictures, Shard};
pub use load_raw::LoadRaw;
pub use maxpool::{MaxPoolBackward, MaxPoolForward};
pub use metrics::MetricsUpdate;
pub use one_hot::OneHot;
pub use optimizer::{Decay, Decayed, Form, Optimizer, Rule};
pub use probe::{ProbeCopy, ProbeFma, ProbeUniform};
pub use reference::Data;
pub use resize::ResizeBilinear;
pub use resize_pillow::ResizePillow;
pub use softmax::{SoftmaxCrossEntropy, label_words};
pub use task::{ConvPass, ConvTask, Way, task_key, ways_of};
pub use update::Update;
pub use verify::{Case, Deviation, Difference, Run, Storage, VerifyError, trial_step, verify};
pub use winograd::{Tile, WinogradBackwardData, WinogradForward};
pub use winograd_filter::WinogradFilter;
pub use winograd_pictures::WinogradPictures;
pub use winograd_weights::{WinogradBackwardWeights, WinogradFilterGradient};

/// An operation of a certain shape.
pub trait Op: Debug + Send + Sync {
    /// The registry name: field, then pass, such as `conv_forward`.
    fn name(&self) -> &'static str;

    /// The buffers it binds, in order.
    fn bindings(&self) -> Vec<Binding>;

    /// All its variants for an adapter.
    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant>;

    /// Floating-point operations for `images` images: two for each multiply-add of convolutions and
    /// dense layers, 0 for what is not counted as work.
    fn flop(&self, _images: u64) -> u64 {
        0
    }

    /// The pass of a convolution that it does the work of, where it does: other operations compute
    /// the same.
    fn conv(&self) -> Option<ConvTask> {
        None
    }

    /// The least bytes that a launch for `images` images moves: each buffer is read or written once,
    /// or both.
    fn bytes(&self, images: u64) -> u64 {
        let moved = |binding: &Binding| match binding.access {
            Access::Read | Access::Write => binding.layout.bytes(images as usize),
            Access::Update => 2 * binding.layout.bytes(images as usize),
        };
        self.bindings().iter().map(moved).sum()
    }

    /// The result in f64 by plain loops: fills what the operation writes.
    ///
    /// `buffers` has one entry for each of [`Op::bindings`].
    fn reference(&self, step: &Step, buffers: &mut [Data]);

    /// The largest error allowed for a result: relative to the largest magnitude in the output,
    /// as f32 rounding grows with the square root of the number of terms.
    fn tolerance(&self, images: u64) -> f64;

    /// Slots of the output that only count by their sum: how the work is split over them is the
    /// variant's affair. 1 for an ordinary output.
    fn partial_slots(&self) -> usize {
        1
    }

    /// Contents of a binding read, where not any numbers will do: labels must be below the number
    /// of classes, positions below four. `random` gives uniform numbers from 0 up to 1. For tests
    /// and benches; `None` leaves the contents to them.
    fn input(&self, _name: &str, _step: &Step, _random: &mut dyn FnMut() -> f64) -> Option<Data> {
        None
    }
}

/// An operation in the registry, with the shapes that tests and benches try.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The operation's name.
    pub name: &'static str,
    /// Awkward shapes and real ones.
    pub examples: fn() -> Vec<Box<dyn Op>>,
}

/// Every operation there is.
pub const REGISTRY: &[Entry] = &[
    Entry { name: "resize_bilinear", examples: resize::examples },
    Entry { name: "resize_pillow", examples: resize_pillow::examples },
    Entry { name: "augment", examples: augment::examples },
    Entry { name: "load_raw", examples: load_raw::examples },
    Entry { name: "fill_halo", examples: fill_halo::examples },
    Entry { name: "conv_forward", examples: conv::forward_examples },
    Entry { name: "conv_filter_flip", examples: conv::flip_examples },
    Entry { name: "conv_backward_data", examples: conv::backward_examples },
    Entry { name: "conv_backward_weights", examples: conv_weights::examples },
    Entry { name: "winograd_filter", examples: winograd_filter::examples },
    Entry { name: "winograd_forward", examples: winograd::forward_examples },
    Entry { name: "winograd_pictures", examples: winograd_pictures::examples },
    Entry { name: "winograd_backward_data", examples: winograd::backward_examples },
    Entry { name: "winograd_backward_weights", examples: winograd_weights::examples },
    Entry { name: "winograd_filter_gradient", examples: winograd_weights::gradient_examples },
    Entry { name: "sum_partials", examples: conv_weights::sum_examples },
    Entry { name: "maxpool_forward", examples: maxpool::forward_examples },
    Entry { name: "maxpool_backward", examples: maxpool::backward_examples },
    Entry { name: "avgpool_forward", examples: avgpool::forward_examples },
    Entry { name: "avgpool_backward", examples: avgpool::backward_examples },
    Entry { name: "batch_norm_moments", examples: batch_norm::moments_examples },
    Entry { name: "batch_norm_statistics", examples: batch_norm::statistics_examples },
    Entry { name: "batch_norm_forward", examples: batch_norm::forward_examples },
    Entry { name: "batch_norm_fold", examples: batch_norm::fold_examples },
    Entry { name: "batch_norm_backward_sums", examples: batch_norm_backward::sums_examples },
    Entry { name: "batch_norm_gradients", examples: batch_norm_backward::gradients_examples },
    Entry { name: "batch_norm_backward", examples: batch_norm_backward::backward_examples },
    Entry { name: "dense_forward", examples: dense::forward_examples },
    Entry { name: "dense_backward_data", examples: dense::backward_data_examples },
    Entry { name: "dense_backward_weights", examples: dense::backward_weights_examples },
    Entry { name: "dense_backward_update", examples: dense_update::examples },
    Entry { name: "softmax_cross_entropy", examples: softmax::examples },
    Entry { name: "one_hot", examples: one_hot::examples },
    Entry { name: "fill_ones", examples: fill_ones::examples },
    Entry { name: "metrics_update", examples: metrics::examples },
    Entry { name: "square_sums", examples: clip::sums_examples },
    Entry { name: "clip_factor", examples: clip::factor_examples },
    Entry { name: "update", examples: update::examples },
];

/// Operations that are in no network: they measure what an adapter can do, and make numbers to
/// measure with.
pub const PROBES: &[Entry] = &[
    Entry { name: "probe_fma", examples: probe::fma_examples },
    Entry { name: "probe_copy", examples: probe::copy_examples },
    Entry { name: "probe_uniform", examples: probe::uniform_examples },
];

/// Tolerance of a sum of `terms` products in f32.
fn rounding(terms: u64) -> f64 {
    4.0 * f64::from(f32::EPSILON) * (terms as f64).sqrt().max(4.0)
}
