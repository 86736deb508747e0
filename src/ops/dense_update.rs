//! The gradient of a dense layer's weights and their update in one operation.

use super::dense::{WeightsShuffle, slices};
use super::update::{self, MOMENTS};
use super::{Data, Decay, DenseBackwardWeights, Form, Op, Slice, Update, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Lanes, Step, Variant, rendered, variant};
use crate::shape::Layout;

/// An optimiser's step of a slice of the outputs down the gradient `x^T * dy`: what
/// [`DenseBackwardWeights`] and then [`Update`] do, without a gradient in memory.
///
/// A dense layer's weights are many and used once, so that memory bounds both: here a gradient is
/// neither written nor read again, and the weights are read once.
#[derive(Debug, Clone, Copy)]
pub struct DenseBackwardUpdate {
    /// The outputs whose weights are updated.
    pub slice: Slice,
    /// The rule.
    pub form: Form,
    /// What weight decay falls on.
    pub decay: Decay,
}

impl DenseBackwardUpdate {
    /// True on adapters that it is made for.
    pub fn suits(facts: &AdapterFacts) -> bool {
        facts.is_software() && Lanes::of(facts).is_ok()
    }
}

impl Op for DenseBackwardUpdate {
    fn name(&self) -> &'static str {
        "dense_backward_update"
    }

    fn bindings(&self) -> Vec<Binding> {
        let mut bindings = vec![
            Binding::quads("x", Layout::Rows(self.slice.inputs), Access::Read),
            Binding::quads("dy", Layout::Rows(self.slice.outputs), Access::Read),
            Binding::quads("p", self.slice.weights(), Access::Update),
        ];
        let moment =
            |name: &&'static str| Binding::quads(name, self.slice.weights(), Access::Update);
        bindings.extend(MOMENTS[..self.form.moments()].iter().map(moment));
        bindings
    }

    fn variants(&self, facts: &AdapterFacts) -> Vec<Variant> {
        let WeightsShuffle { mut constants, grid, supported } =
            WeightsShuffle::of(self.slice, facts);
        constants.extend(self.form.constants());
        constants.push(("DECAYS_WEIGHTS", u32::from(self.decay != Decay::None)));
        constants.push(("DECAYS_BIASES", u32::from(self.decay == Decay::All)));
        let mut variants = vec![variant! {
            "dense_backward_update_shuffle",
            constants,
            dims: self.slice.dims(None),
            grid,
            proven: true,
            supported,
        }];
        // A render pass adds to what there is, and cannot see it.
        if self.form == Form::Sgd && self.decay == Decay::None {
            let (lanes, supported) = Lanes::or_least(facts);
            let lacking = || "no weights lie in blocks on the adapter".to_owned();
            variants.push(rendered! {
                "dense_backward_update_rendered",
                constants: vec![("LANES", lanes.shared)],
                dims: self.slice.dims(None),
                target: Some("p"),
                supported: supported.and(facts.blocks.then_some(()).ok_or_else(lacking)),
            });
        }
        variants
    }

    fn flop(&self, images: u64) -> u64 {
        images * self.slice.flop()
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [x, dy, p, moments @ ..] = buffers else { unreachable!("three bindings or more") };
        let len = self.slice.weights().len(1);
        let mut gradient = [x.clone(), dy.clone(), Data::F(vec![0.0; len])];
        let whole = Step { accumulate: 0, ..*step };
        DenseBackwardWeights { slice: self.slice }.reference(&whole, &mut gradient);
        let [.., gradient] = gradient;
        let layout = self.slice.weights();
        let decayed = self.decay.of(layout);
        let mut buffers = vec![p.clone(), gradient];
        buffers.extend(moments.iter().cloned());
        Update { len, form: self.form, decayed, clips: false }.reference(step, &mut buffers);
        let mut updated = buffers.into_iter();
        *p = updated.next().expect("the parameters");
        moments.iter_mut().zip(updated.skip(1)).for_each(|(moment, updated)| *moment = updated);
    }

    fn tolerance(&self, images: u64) -> f64 {
        rounding(images)
    }

    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let layout = self.slice.weights();
        let mut value = |i| if layout.is_padding(i) { 0.0 } else { random() as f32 as f64 };
        update::is_positive(name).then(|| Data::F((0..layout.len(1)).map(&mut value).collect()))
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    let of = |slice, form, decay| DenseBackwardUpdate { slice, form, decay };
    // Each is a kernel of its own: not all of them for each slice, but those of usual runs.
    let usual = |slice| [Form::Sgd, Form::Momentum].map(|form| of(slice, form, Decay::None));
    let mut examples: Vec<_> = slices().into_iter().flat_map(usual).collect();
    let small = Slice { inputs: 12, outputs: 70, first: 32, count: 38 };
    let decaying = |form| [Decay::Weights, Decay::All].map(|decay| of(small, form, decay));
    examples.extend(Form::ALL.into_iter().flat_map(decaying));
    examples.into_iter().map(|op| Box::new(op) as _).collect()
}
