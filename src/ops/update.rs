//! The step of an optimiser over a range of the parameters.

use super::optimizer::{Decayed, Form};
use super::{Data, Op, rounding};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Grid, Step, Variant, variant};
use crate::shape::Layout;

/// Names of the moments that rules keep, in order.
pub(super) const MOMENTS: [&str; 2] = ["m", "v"];

/// Takes parameters a step down their gradients, by one of the rules of
/// [`Optimizer`](super::Optimizer).
#[derive(Debug, Clone, Copy)]
pub struct Update {
    /// Elements, a multiple of four.
    pub len: usize,
    /// The rule.
    pub form: Form,
    /// What weight decay falls on.
    pub decayed: Decayed,
    /// True if gradients are multiplied by what [`ClipFactor`](super::ClipFactor) finds.
    pub clips: bool,
}

impl Op for Update {
    fn name(&self) -> &'static str {
        "update"
    }

    fn bindings(&self) -> Vec<Binding> {
        let layout = Layout::Flat(self.len);
        let quads = |name, access| Binding::quads(name, layout, access);
        let mut bindings = vec![quads("p", Access::Update), quads("g", Access::Read)];
        bindings.extend(MOMENTS[..self.form.moments()].iter().map(|m| quads(m, Access::Update)));
        if self.clips {
            bindings.push(Binding::quads("clip", Layout::Flat(4), Access::Read));
        }
        bindings
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let (clips, partly) = (u32::from(self.clips), u32::from(!self.decayed.is_all()));
        let constants = [("CLIPS", clips), ("PARTLY", partly)].into_iter();
        let quads = |elements: usize| Dim::U((elements / 4) as u32);
        vec![variant! {
            "update",
            constants: constants.chain(self.form.constants()).collect(),
            dims: vec![
                ("quads", quads(self.len)),
                ("period", quads(self.decayed.period)),
                ("decayed", quads(self.decayed.weights)),
            ],
            grid: Grid::fixed((self.len / 4).div_ceil(64) as u64),
            proven: true,
            supported: Ok(()),
        }]
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [p, g, rest @ ..] = buffers else { unreachable!("two bindings or more") };
        let (moments, clip) = rest.split_at_mut(self.form.moments());
        let factor = clip.first().map_or(1.0, |clip| clip[0]);
        for i in 0..self.len {
            let before = [0, 1].map(|number| moments.get(number).map_or(0.0, |m| m[i]));
            let value = (p[i], factor * g[i]);
            let (next, after) = self.form.advance(step, self.decayed.holds(i), value, before);
            p[i] = next;
            moments.iter_mut().zip(after).for_each(|(moment, after)| moment[i] = after);
        }
    }

    fn tolerance(&self, _images: u64) -> f64 {
        rounding(1)
    }

    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        let len = if name == "clip" { 4 } else { self.len };
        is_positive(name).then(|| Data::F((0..len).map(|_| random() as f32 as f64).collect()))
    }
}

/// True of means of squares, and of factors.
pub(super) fn is_positive(name: &str) -> bool {
    name == MOMENTS[1] || name == "clip"
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    // Smallest, about a workgroup of 64 quads, and a parameter tensor's.
    let lens = [4, 252, 256, 260, 147_712].into_iter();
    let of = |form, len, decayed, clips| Update { len, form, decayed, clips };
    let mut examples: Vec<_> = lens
        .flat_map(|len| Form::ALL.map(|form| of(form, len, Decayed::all(len), false)))
        .collect();
    // With layouts that have biases, and one that has nothing else.
    for layout in [
        Layout::Filter { c: 3, k: 5 },
        Layout::Panels { inputs: 12, outputs: 70 },
        Layout::Norm { c: 6 },
    ] {
        let (len, decayed) = (layout.len(1), Decayed::weights_of(layout));
        examples.extend(Form::ALL.map(|form| of(form, len, decayed, false)));
        examples.extend(Form::ALL.map(|form| of(form, len, decayed, true)));
    }
    examples.extend(Form::ALL.map(|form| of(form, 260, Decayed::all(260), true)));
    // One workgroup more than a dimension of a dispatch can have, and a part of it.
    let folded = 65_536 * 64 * 4 + 8;
    examples.push(of(Form::Sgd, folded, Decayed::all(folded), false));
    examples.into_iter().map(|op| Box::new(op) as _).collect()
}
