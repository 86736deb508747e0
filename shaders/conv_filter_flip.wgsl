// Filters as backward_data reads them: flipped[8 - t, k, c] = w[t, c, k].
// w: (9 c + 1, k) vec4 along k, the bias row unused; flipped: (9, k, c) vec4 along c.
// Grid: one invocation four rows of `flipped` by one quad: 4x4 numbers turned about their diagonal.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    let squares = d.out_quads * d.in_quads;
    if i < 9u * squares {
        let tap = i / squares;
        let out_quad = i % squares / d.in_quads;
        let quad = i % d.in_quads;
        let w_at = (tap * d.in_quads + quad) * 4u * d.out_quads + out_quad;
        let flipped_at = ((8u - tap) * d.out_quads + out_quad) * 4u * d.in_quads + quad;
        let turned = transpose(
            mat4x4<f32>(
                //@ for e in range(4)
                load_w(w_at + ${e}u * d.out_quads),
                //@ endfor
            )
        );
        //@ for e in range(4)
        store_flipped(flipped_at + ${e}u * d.in_quads, turned[${e}]);
        //@ endfor
    }
}
