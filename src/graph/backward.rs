//! The backward pass of a micro-batch: from the gradient of the logits to those of all parameters
//! that are trained.

use super::Layer;
use super::lower::{Home, Lowering, Saved};
use super::parameter::slices;
use crate::ops::{
    self, AvgPoolBackward, BatchNormBackward, BatchNormBackwardSums, BatchNormGradients,
    ConvBackwardData, ConvBackwardWeights, ConvFilterFlip, ConvPass, DenseBackwardData,
    DenseBackwardUpdate, DenseBackwardWeights, Dropout, MaxPoolBackward, SumPartials,
    WinogradBackwardData, WinogradBackwardWeights, WinogradFilter, WinogradFilterGradient,
};
use crate::shape::{FeatureMap, Layout, TAPS, padded};

impl Lowering<'_> {
    /// Appends the backward pass, from the last layer to the first that is trained.
    pub(super) fn backward(&mut self, mut gradient: usize) {
        let layers = self.layers;
        let frozen = self.setting.frozen;
        // Where the maxima were, if `gradient` is of a pooled map and a convolution reads it as that.
        let mut pooled = None;
        for (i, (name, layer)) in layers.iter().enumerate().rev() {
            let saved = self.saved[i];
            match *layer {
                // Done with the gradient of the data of the dense layer after it.
                Layer::Dropout { .. } => {}
                Layer::Dense { inputs, outputs, flattened, .. } => {
                    let dy = gradient;
                    let last = frozen && flattened.is_some();
                    if !last {
                        gradient = self.dense_data(i, (dy, saved.input), inputs, outputs);
                    }
                    // After the gradient of the data, which reads the weights as they were.
                    self.dense_weights(name, saved, dy, inputs, outputs);
                    if last {
                        return;
                    }
                }
                Layer::AvgPool { input, output } => {
                    gradient = self.average_data(name, (gradient, saved.input), input, output);
                }
                Layer::MaxPool { .. } if self.is_read_pooled(i) => pooled = Some(saved.extra),
                Layer::MaxPool { input, output } => {
                    let dx = input.with_halo(self.gradient_halo(i));
                    let tensor = self.map(name, "input gradient", dx);
                    let op = MaxPoolBackward { dy: output, dx };
                    self.node(name, op, &[gradient, saved.extra, tensor]);
                    gradient = tensor;
                }
                Layer::BatchNorm { map } => gradient = self.batch_norm_backward(i, gradient, map),
                Layer::Conv { input, output, .. } => {
                    gradient = self.conv_backward(i, (gradient, pooled.take()), input, output);
                }
            }
        }
    }

    /// True if the convolution before pooling `i` reads the gradient of the pooled map.
    fn is_read_pooled(&self, i: usize) -> bool {
        let before = i.checked_sub(1).map(|before| self.layers[before].1);
        match before {
            Some(Layer::Conv { input, output, .. }) => {
                self.setting.reads_pooled(input, output, i == 1)
            }
            _ => false,
        }
    }

    /// The halo of the gradient of layer `i`'s input: a convolution reads it with one, unless it is
    /// the first, whose own input needs no gradient.
    fn gradient_halo(&self, i: usize) -> usize {
        let reader = i.checked_sub(1).map(|before| (before, self.layers[before].1));
        usize::from(matches!(reader, Some((1.., Layer::Conv { .. }))))
    }

    fn gradient_of(&mut self, layer: &str, parameter: usize, layout: Layout) -> usize {
        self.tensor(format!("{layer} weight gradient"), layout, Home::Gradient(parameter))
    }

    fn dense_weights(
        &mut self,
        name: &str,
        saved: Saved,
        dy: usize,
        inputs: usize,
        outputs: usize,
    ) {
        let slices = slices(inputs, outputs, self.setting.facts.max_binding);
        for (i, slice) in slices.into_iter().enumerate() {
            let parameter = saved.parameter + i;
            if self.setting.in_place {
                let home = Home::Parameter(parameter);
                let w = self.tensor(String::new(), slice.weights(), home);
                let mut tensors = vec![saved.input, dy, w];
                let form = self.setting.optimizer.form();
                for moment in 0..form.moments() {
                    let home = Home::Moment(parameter, moment);
                    tensors.push(self.tensor(format!("{name} moment"), slice.weights(), home));
                }
                let decay = self.setting.optimizer.decay();
                self.node(name, DenseBackwardUpdate { slice, form, decay }, &tensors);
            } else {
                let grad = self.gradient_of(name, parameter, slice.weights());
                self.node(name, DenseBackwardWeights { slice }, &[saved.input, dy, grad]);
            }
        }
    }

    /// The gradient of the input of an average pooling, where `x` is positive.
    pub(super) fn average_data(
        &mut self,
        name: &str,
        (dy, x): (usize, usize),
        input: FeatureMap,
        output: FeatureMap,
    ) -> usize {
        let dx = self.map(name, "input gradient", input);
        self.node(name, AvgPoolBackward { x: input, y: output }, &[dy, x, dx]);
        dx
    }

    /// The gradient of the input of dense layer `i`, where `x` is positive.
    pub(super) fn dense_data(
        &mut self,
        i: usize,
        (dy, x): (usize, usize),
        inputs: usize,
        outputs: usize,
    ) -> usize {
        let (name, saved) = (&self.layers[i].0, self.saved[i]);
        let scale = i.checked_sub(1).map_or(Dropout::NONE, |before| self.dropout(before)).scale();
        let dx = self.arena(name, "input gradient", Layout::Rows(inputs));
        let slices = slices(inputs, outputs, self.setting.facts.max_binding);
        let last = slices.len() - 1;
        for (i, slice) in slices.into_iter().enumerate() {
            let home = Home::Parameter(saved.parameter + i);
            let w = self.tensor(String::new(), slice.weights(), home);
            let images = self.setting.images;
            let scale = if i == last { scale } else { 1.0 };
            let op = DenseBackwardData { slice, accumulate: i > 0, scale, images };
            self.node(name, op, &[dy, w, x, dx]);
        }
        dx
    }

    fn batch_norm_backward(&mut self, i: usize, dy: usize, map: FeatureMap) -> usize {
        let name = &self.layers[i].0;
        let Saved { input, extra: moments, parameter } = self.saved[i];
        let (layout, slots) = (ops::moments(map), ops::slots(map, self.setting.facts));
        let partial = self.arena(name, "partial sums", Layout::Flat(slots * layout.len(1)));
        let op = BatchNormBackwardSums { x: map, slots };
        self.node(name, op, &[input, dy, moments, partial]);
        let sums = self.arena(name, "sums", layout);
        let scale = Layout::Norm { c: map.channels };
        let grad = self.gradient_of(name, parameter, scale);
        self.node(name, BatchNormGradients { x: map, slots }, &[partial, sums, grad]);
        let norm = self.tensor(String::new(), scale, Home::Parameter(parameter));
        let dx = map.with_halo(self.gradient_halo(i));
        let tensor = self.map(name, "input gradient", dx);
        let op = BatchNormBackward { x: map, dx };
        self.node(name, op, &[input, dy, norm, moments, sums, tensor]);
        tensor
    }

    /// The gradients of convolution `i`, from that of its output or, with the positions of the maxima,
    /// of the pooled map.
    fn conv_backward(
        &mut self,
        i: usize,
        (dy, positions): (usize, Option<usize>),
        input: FeatureMap,
        output: FeatureMap,
    ) -> usize {
        let name = &self.layers[i].0;
        let (c, k) = (input.channels, output.channels);
        let saved = self.saved[i];
        let first = i == 0;
        let dy_map = output.with_halo(usize::from(!first));
        let layout = Layout::Filter { c, k };
        let grad = self.gradient_of(name, saved.parameter, layout);
        let (x_map, facts) = (input.with_halo(1), self.setting.facts);
        if let Some(tile) = self.setting.tile(ConvPass::BackwardWeights, x_map, dy_map) {
            let images = self.setting.images;
            let weights = WinogradBackwardWeights::new(x_map, dy_map, images, tile, facts);
            let weights = WinogradBackwardWeights { pool: positions.is_some(), ..weights };
            let slots = weights.slots;
            let partial = self.arena(name, "partial sums", weights.partial());
            let tensors: Vec<_> = [saved.input, dy, partial].into_iter().chain(positions).collect();
            self.node(name, weights, &tensors);
            self.node(name, WinogradFilterGradient { c, k, slots, tile }, &[partial, grad]);
        } else {
            let weights = ConvBackwardWeights::new(x_map, dy_map, facts);
            let slots = weights.slots;
            let partial = self.arena(name, "partial sums", Layout::Flat(slots * layout.len(1)));
            self.node(name, weights, &[saved.input, dy, partial]);
            self.node(name, SumPartials { grad: layout, slots }, &[partial, grad]);
        }
        if first {
            return dy;
        }
        let w = self.tensor(String::new(), layout, Home::Parameter(saved.parameter));
        let dx_map = input.with_halo(self.gradient_halo(i));
        let dx = self.map(name, "input gradient", dx_map);
        match self.setting.tile(ConvPass::BackwardData, dy_map, dx_map) {
            Some(tile) => {
                let u = self.arena(name, "transformed filters", tile.filters(k, c));
                self.node(name, WinogradFilter { c, k, tile, flip: true }, &[w, u]);
                let op = WinogradBackwardData {
                    dy: dy_map,
                    dx: dx_map,
                    tile,
                    pool: positions.is_some(),
                };
                let positions =
                    positions.unwrap_or_else(|| self.arena(name, "positions", op.positions()));
                self.node(name, op, &[dy, u, saved.input, dx, positions]);
            }
            None => {
                let flipped = Layout::Flat(TAPS * padded(c) * padded(k));
                let flipped = self.arena(name, "flipped filters", flipped);
                self.node(name, ConvFilterFlip { c, k }, &[w, flipped]);
                let op = ConvBackwardData { dy: dy_map, dx: dx_map };
                self.node(name, op, &[dy, flipped, saved.input, dx]);
            }
        }
        dx
    }
}
