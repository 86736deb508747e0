// Second pass of a Winograd gradient of filters: adds the slots in their order and multiplies by G,
//   grad = (accumulate ? grad : 0) + G^T (sum over slots of m) G;  the bias is only summed.
// where m has SIDE^2 points for tiles of TILE x TILE outputs, SIDE = TILE + 2.
// partial: (slots, SIDE^2 rows + 1, quads) vec4, m for each point, then the bias; grad: (9 rows + 1,
// quads), where rows are the input channels. Grid: one invocation a row and quad, and one a quad of the
// bias.
//@ from "common/winograd_matrices.wgsl" import G
//@ set SIDE = TILE + 2
//@ set POINTS = SIDE * SIDE
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    let size = d.rows * d.quads;
    let slot_size = ${POINTS}u * size + d.quads;
    if i >= size + d.quads {
        return;
    }
    if i >= size {
        var bias = vec4<f32>();
        for (var slot = 0u; slot < d.slots; slot++) {
            bias += load_partial(slot * slot_size + ${POINTS - 1}u * size + i);
        }
        let at = 8u * size + i;
        if step.accumulate == 1u {
            bias += load_grad(at);
        }
        store_grad(at, bias);
        return;
    }
    // A column of points at a time: all of a tile of 4x4 outputs would not fit into registers.
    //@ for b in range(SIDE)
    //@ for a in range(SIDE)
    var m_${a}_${b} = vec4<f32>();
    //@ endfor
    for (var slot = 0u; slot < d.slots; slot++) {
        //@ for a in range(SIDE)
        m_${a}_${b} += load_partial(slot * slot_size + ${a * SIDE + b}u * size + i);
        //@ endfor
    }
    //@ for r in range(3)
    let half_${r}_${b} =
        //@ for a in range(SIDE) if G[TILE][a][r] != 0.0
        ${"" if loop.first else "+"} ${G[TILE][a][r]} * m_${a}_${b}
        //@ endfor
        ;
    //@ endfor
    //@ endfor
    //@ for r in range(3)
    //@ for s in range(3)
    {
        var value =
            //@ for b in range(SIDE) if G[TILE][b][s] != 0.0
            ${"" if loop.first else "+"} ${G[TILE][b][s]} * half_${r}_${b}
            //@ endfor
            ;
        let at = ${3 * r + s}u * size + i;
        if step.accumulate == 1u {
            value += load_grad(at);
        }
        store_grad(at, value);
    }
    //@ endfor
    //@ endfor
}
