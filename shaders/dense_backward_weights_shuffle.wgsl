// Gradient of a dense layer's weights and bias, for the panels of outputs that are bound:
//   grad[c, k] = (accumulate ? grad[c, k] : 0) + sum over n of x[n, c] * dy[n, k]
// grad: (panels, panel_rows, 8) vec4. Method: common/dense_weights_shuffle.wgsl.
fn finish(at: u32, gradient: vec4<f32>, is_bias: bool) {
    var value = gradient;
    if step.accumulate == 1u {
        value += load_grad(at);
    }
    store_grad(at, value);
}

//@ include "common/dense_weights_shuffle.wgsl"
