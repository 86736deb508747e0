// Stochastic gradient descent over a range of the parameter arena: p -= learning_rate * (g + weight_decay * p)
// (PyTorch's SGD).
// p, g: (quads) vec4. Grid: one invocation a quad.
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
    store_p(i, load_p(i) - step.learning_rate * gradient);
}
