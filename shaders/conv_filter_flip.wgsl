// Filters as backward_data reads them: flipped[8 - t, k, c] = w[t, c, k].
// w: (9 c + 1, k) f32, the bias row unused; flipped: (9, k, c) vec4 along c.
// Grid: one invocation a quad of `flipped`.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    let outputs = d.out_quads * 4u;
    if i >= 9u * outputs * d.in_quads {
        return;
    }
    let quad = i % d.in_quads;
    let k = i / d.in_quads % outputs;
    let tap = 8u - i / (d.in_quads * outputs);
    let row = (tap * d.in_quads + quad) * 4u;
    flipped[i] = vec4<f32>(
        w[row * outputs + k],
        w[(row + 1u) * outputs + k],
        w[(row + 2u) * outputs + k],
        w[(row + 3u) * outputs + k],
    );
}
