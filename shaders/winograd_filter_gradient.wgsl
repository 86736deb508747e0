// Second pass of a Winograd gradient of filters: adds the slots in their order and multiplies by G,
//   grad = (accumulate ? grad : 0) + G^T (sum over slots of m) G;  the bias is only summed.
// partial: (slots, 16 rows + 1, quads) vec4, m for each point, then the bias; grad: (9 rows + 1, quads),
// where rows are the input channels. Grid: one invocation a row and quad, and one a quad of the bias.
//@ set G = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    let size = d.rows * d.quads;
    let slot_size = 16u * size + d.quads;
    if i >= size + d.quads {
        return;
    }
    if i >= size {
        var bias = vec4<f32>();
        for (var slot = 0u; slot < d.slots; slot++) {
            bias += load_partial(slot * slot_size + 15u * size + i);
        }
        let at = 8u * size + i;
        if step.accumulate == 1u {
            bias += load_grad(at);
        }
        store_grad(at, bias);
        return;
    }
    //@ for point in range(16)
    var m_${point} = vec4<f32>();
    //@ endfor
    for (var slot = 0u; slot < d.slots; slot++) {
        //@ for point in range(16)
        m_${point} += load_partial(slot * slot_size + ${point}u * size + i);
        //@ endfor
    }
    //@ for r in range(3)
    //@ for b in range(4)
    let half_${r}_${b} = ${G[0][r]} * m_${b} + ${G[1][r]} * m_${4 + b}
        + ${G[2][r]} * m_${8 + b} + ${G[3][r]} * m_${12 + b};
    //@ endfor
    //@ for s in range(3)
    {
        var value = ${G[0][s]} * half_${r}_0 + ${G[1][s]} * half_${r}_1
            + ${G[2][s]} * half_${r}_2 + ${G[3][s]} * half_${r}_3;
        let at = ${3 * r + s}u * size + i;
        if step.accumulate == 1u {
            value += load_grad(at);
        }
        store_grad(at, value);
    }
    //@ endfor
    //@ endfor
}
