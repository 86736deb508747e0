//! The parameters of a network, in the order of its layers.

use super::{Architecture, Layer};
use crate::ops::{self, Slice};
use crate::shape::{Layout, PANEL, panel_rows};

/// A layer's trained values, or a slice of them that fits a binding.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The layer's name.
    pub layer: String,
    /// Filters, panels, or scale and shift.
    pub layout: Layout,
    /// The first output held, where a dense layer is cut.
    pub first: usize,
    /// False if it is frozen.
    pub trained: bool,
    /// True if its gradient is stored: of what is trained, but for what is updated in place.
    pub gradient: bool,
}

/// The parameters of a network in order, dense layers cut so that each fits a binding of
/// `max_binding` bytes. With `frozen` only those of dense layers are trained; with `in_place` these
/// have no gradients.
pub fn parameters(
    network: &Architecture,
    max_binding: u64,
    frozen: bool,
    in_place: bool,
) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for (name, layer) in network.layers() {
        let one = |layout, first, trained| {
            let layer = name.clone();
            let gradient = trained && !(in_place && matches!(layout, Layout::Panels { .. }));
            Parameter { layer, layout, first, trained, gradient }
        };
        match layer {
            Layer::Conv { input, output, .. } => {
                let layout = Layout::Filter { c: input.channels, k: output.channels };
                parameters.push(one(layout, 0, !frozen));
            }
            Layer::BatchNorm { map } => {
                parameters.push(one(Layout::Norm { c: map.channels }, 0, !frozen));
            }
            Layer::Dense { inputs, outputs, .. } => {
                let slices = slices(inputs, outputs, max_binding).into_iter();
                parameters.extend(slices.map(|slice| one(slice.weights(), slice.first, true)));
            }
            Layer::MaxPool { .. } | Layer::AvgPool { .. } | Layer::Dropout { .. } => {}
        }
    }
    parameters
}

/// The running statistics of a network's batch normalisations, in order.
pub fn statistics(network: &Architecture) -> Vec<Parameter> {
    let of = |(layer, kind)| match kind {
        Layer::BatchNorm { map } => {
            let layout = ops::statistics(map.channels);
            Some(Parameter { layer, layout, first: 0, trained: false, gradient: false })
        }
        _ => None,
    };
    network.layers().into_iter().filter_map(of).collect()
}

/// Cuts a dense layer into slices of whole panels, as even as possible.
pub(super) fn slices(inputs: usize, outputs: usize, max_binding: u64) -> Vec<Slice> {
    let panels = outputs.div_ceil(PANEL);
    let panel_bytes = (panel_rows(inputs) * PANEL * 4) as u64;
    let at_most = ((max_binding / panel_bytes) as usize).clamp(1, panels);
    let each = panels.div_ceil(panels.div_ceil(at_most)) * PANEL;
    let firsts = (0..outputs).step_by(each);
    firsts.map(|first| Slice { inputs, outputs, first, count: each.min(outputs - first) }).collect()
}
