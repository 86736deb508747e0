// The step of quad `i` of the parameters down its gradient, with weight decay by the factor `decay`. The
// rules are those of PyTorch (`ops::Optimizer` tells the papers):
//   SGD       g += decay p;  p -= learning_rate g
//   momentum  g += decay p;  m = momentum m + g;  p -= learning_rate m
//   Nesterov  the same, but  p -= learning_rate (g + momentum m)
//   AdamW     m += (1 - beta1)(g - m);  v += (1 - beta2)(g^2 - v)
//             p = p (1 - learning_rate decay) - rate m / (sqrt(v) + epsilon)
// where step.momentum is beta1, and rate and epsilon make up for moments that began at 0.
// Rules are constants, since drivers for processors run both sides of an `if`.
fn advance(i: u32, gradient: vec4<f32>, decay: f32) {
    let old = load_p(i);
    //@ if ADAM
    let m_before = load_m(i);
    let v_before = load_v(i);
    let m = fma(vec4<f32>(1.0 - step.momentum), gradient - m_before, m_before);
    let v = fma(vec4<f32>(1.0 - step.beta2), gradient * gradient - v_before, v_before);
    store_m(i, m);
    store_v(i, v);
    let kept = old * (1.0 - step.learning_rate * decay);
    store_p(i, kept - step.adam_rate * m / (sqrt(v) + step.adam_epsilon));
    //@ else
    let decayed = fma(old, vec4<f32>(decay), gradient);
    //@ if MOMENTS
    let m = step.momentum * load_m(i) + decayed;
    store_m(i, m);
    //@ if NESTEROV
    store_p(i, old - step.learning_rate * (decayed + step.momentum * m));
    //@ else
    store_p(i, old - step.learning_rate * m);
    //@ endif
    //@ else
    store_p(i, old - step.learning_rate * decayed);
    //@ endif
    //@ endif
}
