// Filters as backward_data reads them: flipped[8 - t, k, c] = w[t, c, k].
// w: (9 c + 1, k) vec4 along k, the bias row unused; flipped: (9, k, c) vec4 along c.
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
    let at = (tap * d.in_quads + quad) * 4u * d.out_quads + k / 4u;
    let rows = mat4x4<f32>(
        load_w(at),
        load_w(at + d.out_quads),
        load_w(at + 2u * d.out_quads),
        load_w(at + 3u * d.out_quads),
    );
    store_flipped(i, transpose(rows)[k % 4u]);
}
