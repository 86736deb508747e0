// Gradient of a dense layer's weights and bias and their update, for the panels of outputs that are bound;
// the gradient is not stored:
//   g = sum over n of x[n, c] * dy[n, k], then the optimiser's step of p[c, k]
// with the operations of `update` in their order, so that both ways give the same bits.
// p, and m and v where the rule keeps them: (panels, panel_rows, 8) vec4.
// Method: common/dense_weights_shuffle.wgsl.
//@ include "common/optimizer.wgsl"

fn finish(at: u32, gradient: vec4<f32>, is_bias: bool) {
    //@ if DECAYS_BIASES
    advance(at, gradient, step.weight_decay);
    //@ elif DECAYS_WEIGHTS
    advance(at, gradient, select(step.weight_decay, 0.0, is_bias));
    //@ else
    advance(at, gradient, 0.0);
    //@ endif
}

//@ include "common/dense_weights_shuffle.wgsl"
