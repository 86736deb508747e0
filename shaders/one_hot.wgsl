// The gradient of one logit of each image by all of its logits:
//   y[n, k] = 1 where k is the label of image order[sample_base + n], else 0
// order: (samples) u32; labels: (set, 2) u32, of which the first is the label; y: (n, quads) vec4, its
// padding set to 0. Grid: one invocation a quad.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= step.images * d.quads {
        return;
    }
    let label = labels[2u * order[step.sample_base + i / d.quads]];
    let classes = 4u * (i % d.quads) + vec4<u32>(0u, 1u, 2u, 3u);
    store_y(i, select(vec4<f32>(), vec4<f32>(1.0), classes == vec4<u32>(label)));
}
