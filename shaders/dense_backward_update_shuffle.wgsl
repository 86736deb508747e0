// Gradient of a dense layer's weights and bias and their update by stochastic gradient descent, for the
// panels of outputs that are bound; the gradient is not stored:
//   w[c, k] -= learning_rate * (sum over n of x[n, c] * dy[n, k] + weight_decay * w[c, k])
// with the operations of `sgd_update` in their order, so that both ways give the same bits.
// w: (panels, inputs + 1, 8) vec4. Method: common/dense_weights_shuffle.wgsl.
fn finish(at: u32, gradient: vec4<f32>) {
    let old = load_w(at);
    let decayed = fma(old, vec4<f32>(step.weight_decay), gradient);
    store_w(at, old - step.learning_rate * decayed);
}

//@ include "common/dense_weights_shuffle.wgsl"
