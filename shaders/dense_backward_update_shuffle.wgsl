// Gradient of a dense layer's weights and bias and their update by stochastic gradient descent, for the
// panels of outputs that are bound; the gradient is not stored:
//   g = sum over n of x[n, c] * dy[n, k] + weight_decay * w[c, k]
// without momentum w[c, k] -= learning_rate * g, with it
//   v[c, k] = momentum * v[c, k] + g;  w[c, k] -= learning_rate * v[c, k]
// with the operations of `sgd_update` and `sgd_momentum_update` in their order, so that both ways give
// the same bits. MOMENTUM is a constant since drivers for processors run both sides of an `if`.
// w, v: (panels, inputs + 1, 8) vec4. Method: common/dense_weights_shuffle.wgsl.
fn finish(at: u32, gradient: vec4<f32>) {
    let old = load_w(at);
    let decayed = fma(old, vec4<f32>(step.weight_decay), gradient);
    //@ if MOMENTUM == 1
    let velocity = step.momentum * load_v(at) + decayed;
    store_v(at, velocity);
    store_w(at, old - step.learning_rate * velocity);
    //@ else
    store_w(at, old - step.learning_rate * decayed);
    //@ endif
}

//@ include "common/dense_weights_shuffle.wgsl"
