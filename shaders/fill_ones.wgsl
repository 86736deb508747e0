// One in each place of a feature map that carries a value, zero in the padding of its channels. Kernels
// that go back through a ReLU read its output as a mask: of this they let everything through.
// x: (n, pixels, quads) vec4, without halo. Grid: one invocation a quad.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= step.images * d.pixels * d.quads {
        return;
    }
    let channels = 4u * (i % d.quads) + vec4<u32>(0u, 1u, 2u, 3u);
    store_x(i, select(vec4<f32>(), vec4<f32>(1.0), channels < vec4<u32>(d.channels)));
}
