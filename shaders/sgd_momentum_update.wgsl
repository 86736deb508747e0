// Stochastic gradient descent with momentum, as PyTorch's SGD (no dampening):
//   v = momentum * v + g + weight_decay * p;  p -= learning_rate * v
// p, g, v: (quads) vec4 each. Grid: one invocation a quad.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= dims.quads {
        return;
    }
    let gradient = fma(load_p(i), vec4<f32>(step.weight_decay), load_g(i));
    let velocity = step.momentum * load_v(i) + gradient;
    store_v(i, velocity);
    store_p(i, load_p(i) - step.learning_rate * velocity);
}
