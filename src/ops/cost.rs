//! How long a kernel should take on an adapter, by the adapter's class: what chooses between the ways
//! to compute something where nobody has measured.
//!
//! A kernel takes the time of its operations, at the share of the class's ceiling that kernels of its
//! kind reach, and that of its least bytes. The two are added, not overlapped as in a roofline: of two
//! kernels that move the same bytes the one that computes faster then comes first whatever bounds it.
//! Operations are those of the direct computation, so shares of Winograd's filtering are comparable
//! with them. The model answers for launches of 32 images whatever a batch has: a network then runs
//! the same kernels whichever way its batches are cut.

use super::{Op, Way};
use crate::gpu::{AdapterClass, AdapterFacts};

/// Images of the launches that the model answers for.
pub const USUAL_IMAGES: usize = 32;

/// What an adapter of a class can do.
struct Ceilings {
    flop_per_s: f64,
    bytes_per_s: f64,
    /// Seconds between two launches that depend on each other.
    launch: f64,
}

/// Software: as `bench` measured on two cores with lavapipe (docs/performance.md). The others are what
/// vendors publish of common ones, an Intel Xe-LP with 96 units, a GeForce RTX 3060 and an Apple M1;
/// launches are an assumption. A choice depends only on how they relate to each other.
const fn ceilings(class: AdapterClass) -> Ceilings {
    let (flop_per_s, bytes_per_s, launch) = match class {
        AdapterClass::Software => (160e9, 17.5e9, 0.0),
        AdapterClass::Integrated => (2.1e12, 60e9, 5e-6),
        AdapterClass::Discrete => (12.7e12, 360e9, 5e-6),
        AdapterClass::Apple => (2.6e12, 68e9, 5e-6),
    };
    Ceilings { flop_per_s, bytes_per_s, launch }
}

/// The shares of the multiply-add ceiling that variants reach: on software, integrated, discrete and
/// Apple adapters.
///
/// Software: measured (docs/performance.md; tiled ones and the direct gradient of filters by `tune`, for
/// vgg11 / 4 at 64 px). GPUs: estimates, as none was at hand. For tiles in workgroup memory they are the
/// direct multiply-adds that an instruction stands for (docs/performance.md, by `tools/gpu-stats`; of
/// dense layers the share in the innermost loop) times 0.6 for what that leaves out; variants made for
/// registers and shuffles are put below them, since there nothing hides the latency of their loads.
const SHARES: &[(&str, [f64; 4])] = &[
    ("conv_forward_shuffle", [0.48, 0.25, 0.25, 0.25]),
    ("conv_forward_tiled", [0.05, 0.53, 0.53, 0.53]),
    ("conv_backward_data_shuffle", [0.48, 0.25, 0.25, 0.25]),
    ("conv_backward_data_tiled", [0.05, 0.53, 0.53, 0.53]),
    ("conv_backward_weights_shuffle", [0.33, 0.20, 0.20, 0.20]),
    ("conv_backward_weights_tiled", [0.06, 0.49, 0.49, 0.49]),
    ("winograd_forward_2x2_shuffle", [0.6, 0.20, 0.20, 0.20]),
    ("winograd_forward_2x2_tiled", [0.05, 0.74, 0.74, 0.74]),
    ("winograd_forward_4x4_shuffle", [0.52, 0.15, 0.15, 0.15]),
    ("winograd_forward_4x4_tiled", [0.05, 0.91, 0.91, 0.91]),
    ("winograd_pictures_2x2_shuffle", [0.6, 0.20, 0.20, 0.20]),
    ("winograd_backward_data_2x2_shuffle", [0.6, 0.20, 0.20, 0.20]),
    ("winograd_backward_data_2x2_tiled", [0.05, 0.74, 0.74, 0.74]),
    ("winograd_backward_data_4x4_shuffle", [0.52, 0.15, 0.15, 0.15]),
    ("winograd_backward_data_4x4_tiled", [0.05, 0.91, 0.91, 0.91]),
    ("winograd_backward_weights_2x2_shuffle", [0.41, 0.15, 0.15, 0.15]),
    ("winograd_backward_weights_2x2_tiled", [0.05, 0.58, 0.58, 0.58]),
    ("winograd_backward_weights_4x4_tiled", [0.05, 0.62, 0.62, 0.62]),
    ("dense_forward_shuffle", [0.42, 0.20, 0.20, 0.20]),
    ("dense_forward_tiled", [0.005, 0.47, 0.47, 0.47]),
    ("dense_backward_data_shuffle", [0.31, 0.20, 0.20, 0.20]),
    ("dense_backward_data_tiled", [0.005, 0.47, 0.47, 0.47]),
    ("dense_backward_weights_shuffle", [0.3, 0.20, 0.20, 0.20]),
    ("dense_backward_weights_tiled", [0.005, 0.47, 0.47, 0.47]),
    ("dense_backward_update_shuffle", [0.3, 0.20, 0.20, 0.20]),
    ("dense_backward_update_rendered", [0.4, 0.0, 0.0, 0.0]),
];

/// The share of `variant` on a class, where it has one.
fn share(variant: &str, class: AdapterClass) -> Option<f64> {
    let (_, shares) = SHARES.iter().find(|(name, _)| *name == variant)?;
    Some(match class {
        AdapterClass::Software => shares[0],
        AdapterClass::Integrated => shares[1],
        AdapterClass::Discrete => shares[2],
        AdapterClass::Apple => shares[3],
    })
}

/// True where Winograd's filtering is known to pay: with enough channels read for the transform and the
/// stores of outputs, of which a pooling spares most; enough channels computed for the transform of
/// inputs; and more rows than a few, of which it computes several at once. Measured on software adapters
/// with tensors in texels, and only there their shares hold. Tiles of 4x4 outputs cost a digit, which
/// only a measurement or the user may spend.
fn winograd_pays(op: &dyn Op, variant: &str, facts: &AdapterFacts) -> bool {
    let Some(conv) = op.conv() else { return false };
    let (source, target) = (conv.source, conv.target);
    let shares_hold = facts.texels || !facts.is_software();
    let channels = (conv.pool || source.channels >= 8) && target.channels >= 16;
    shares_hold && channels && target.height > 4 && !variant.contains("_4x4_")
}

/// The seconds that `op` should take by the variant of that name, for launches of 32 images; infinite
/// where the model does not know.
pub fn seconds(op: &dyn Op, variant: &str, facts: &AdapterFacts) -> f64 {
    let class = facts.class();
    let Some(share) = share(variant, class) else { return f64::INFINITY };
    let ceilings = ceilings(class);
    let compute = op.flop(USUAL_IMAGES as u64) as f64 / (share * ceilings.flop_per_s);
    compute + moving(op, &ceilings)
}

/// The seconds that all operations of `way` should take, see [`seconds`]: those beside the main one
/// only move bytes. Infinite also where Winograd's filtering is known not to pay.
pub fn seconds_of(way: &Way, variant: &str, facts: &AdapterFacts) -> f64 {
    if variant.starts_with("winograd_") && !winograd_pays(way.main(), variant, facts) {
        return f64::INFINITY;
    }
    let ceilings = ceilings(facts.class());
    let others = way.ops.iter().filter(|op| op.flop(1) == 0);
    let beside: f64 = others.map(|op| moving(&**op, &ceilings)).sum();
    seconds(way.main(), variant, facts) + beside
}

fn moving(op: &dyn Op, ceilings: &Ceilings) -> f64 {
    op.bytes(USUAL_IMAGES as u64) as f64 / ceilings.bytes_per_s + ceilings.launch
}

/// The place of the least of `seconds`, the first among equals; `None` of nothing.
pub(super) fn least(seconds: impl Iterator<Item = f64>) -> Option<usize> {
    seconds.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterKind::{self, Discrete, Integrated, Software};
    use crate::kernel::Lanes;
    use crate::ops::{Choices, ConvPass, ConvTask, REGISTRY, choose};
    use crate::shape::FeatureMap;

    const PASSES: [ConvPass; 3] =
        [ConvPass::Forward, ConvPass::BackwardData, ConvPass::BackwardWeights];

    fn task(pass: ConvPass, (h, w, c, k): (usize, usize, usize, usize)) -> ConvTask {
        let source = FeatureMap::new(h, w, c).with_halo(1);
        ConvTask::new(pass, source, source.with_channels(k).with_halo(1))
    }

    fn chosen(task: ConvTask, facts: &AdapterFacts) -> &'static str {
        Choices::default().conv(&task, 32, facts, &[]).expect("a variant runs")
    }

    /// What was chosen on lavapipe before there was a model: what measurements had shown.
    #[test]
    fn software_adapters_run_what_was_measured_to_be_fastest() {
        let facts = AdapterFacts::example(Software);
        let sizes = || [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 28, 33, 56, 112, 224].into_iter();
        let channels = [1, 3, 4, 7, 8, 12, 15, 16, 20, 33, 64, 128, 512];
        for (h, c, k) in sizes().flat_map(|h| {
            channels.into_iter().flat_map(move |c| channels.into_iter().map(move |k| (h, c, k)))
        }) {
            let winograd = c >= 8 && k >= 16 && h > 4;
            for pass in PASSES {
                let name = chosen(task(pass, (h, h, c, k)), &facts);
                let wanted = match winograd {
                    true => pass.name().replace("conv", "winograd") + "_2x2_shuffle",
                    false => format!("{}_shuffle", pass.name()),
                };
                assert_eq!(name, wanted, "{h} px, {c} to {k} channels");
            }
        }
    }

    #[test]
    fn gpus_run_tiles_and_software_runs_shuffles() {
        for kind in [Discrete, Integrated, AdapterKind::Unknown, Software] {
            let facts = AdapterFacts::example(kind);
            let end = if kind == Software { "_shuffle" } else { "_tiled" };
            for op in REGISTRY.iter().flat_map(|entry| (entry.examples)()) {
                let both = ["_shuffle", "_tiled"].iter().all(|end| {
                    op.variants(&facts).iter().any(|v| v.name.ends_with(end) && v.supported.is_ok())
                });
                let variant = choose(&*op, &facts, &[]).unwrap();
                assert!(!both || variant.name.ends_with(end), "{} on {kind}", variant.name);
            }
        }
    }

    #[test]
    fn without_subgroups_something_runs_all_the_same() {
        let facts = AdapterFacts { subgroups: false, ..AdapterFacts::example(Software) };
        assert!(Lanes::of(&facts).is_err());
        for pass in PASSES {
            let name = chosen(task(pass, (28, 28, 64, 64)), &facts);
            assert_eq!(name, format!("{}_tiled", pass.name()));
        }
        let buffers = AdapterFacts { texels: false, ..AdapterFacts::example(Software) };
        let name = chosen(task(ConvPass::Forward, (28, 28, 64, 64)), &buffers);
        assert_eq!(name, "conv_forward_shuffle");
    }

    /// A variant without a share would never be chosen, a share without a variant chooses nothing.
    #[test]
    fn every_alternative_has_a_share_and_every_share_a_variant() {
        let facts = AdapterFacts::example(Discrete);
        let mut names = Vec::new();
        for op in REGISTRY.iter().flat_map(|entry| (entry.examples)()) {
            let variants = op.variants(&facts);
            if op.conv().is_some() || variants.len() > 1 {
                names.extend(variants.iter().map(|variant| variant.name));
            }
        }
        names.sort_unstable();
        names.dedup();
        let mut shares: Vec<_> = SHARES.iter().map(|(name, _)| *name).collect();
        shares.sort_unstable();
        assert_eq!(shares, names);
    }

    #[test]
    fn operations_and_bytes_take_their_time() {
        let facts = AdapterFacts::example(Discrete);
        let ways = task(ConvPass::BackwardData, (56, 56, 64, 32)).ways(32, &facts);
        let (flip, direct) = (&ways[0].ops[0], ways[0].main());
        let moved = |op: &dyn Op| op.bytes(32) as f64 / 360e9 + 5e-6;
        let wanted = direct.flop(32) as f64 / (0.53 * 12.7e12) + moved(direct);
        let found = seconds(direct, "conv_backward_data_tiled", &facts);
        assert!((found / wanted - 1.0).abs() < 1e-9, "{found} {wanted}");
        let found = seconds_of(&ways[0], "conv_backward_data_tiled", &facts);
        assert!((found / (wanted + moved(&**flip)) - 1.0).abs() < 1e-9, "{found} {wanted}");
        assert_eq!(seconds(direct, "no_such_variant", &facts), f64::INFINITY);
    }
}
