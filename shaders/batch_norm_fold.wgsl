// A convolution with the batch normalisation after it as one convolution, for inference:
//   factor = scale / sqrt(running variance + epsilon)
//   folded filters = w * factor;  folded bias = (bias - running mean) * factor + shift
// w, folded: (9 c + 1, quads) vec4 along the outputs, the bias in the last row; norm: (2, quads):
// scale, shift; statistics: (3, quads): mean, variance, count. Grid: one invocation a quad.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= d.rows * d.quads {
        return;
    }
    let quad = i % d.quads;
    let factor = load_norm(quad) / sqrt(load_statistics(d.quads + quad) + d.epsilon);
    var value = load_w(i);
    if i / d.quads == d.rows - 1u {
        value = fma(value - load_statistics(quad), factor, load_norm(d.quads + quad));
    } else {
        value *= factor;
    }
    store_folded(i, value);
}
