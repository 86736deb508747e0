// Filters transformed for Winograd's F(TILE x TILE, 3x3): u[a, b] = G w G^T for each pair of channels
// (Lavin and Gray, arXiv:1509.09308, sections 4.1 and 4.3).
// Forward (FLIP 0): w[r, s, c, k] gives u[a, b, c, k]. Backward to data (FLIP 1): the filters are
// turned by 180 degrees and channels exchanged, w[2 - r, 2 - s, c, k] gives u[a, b, k, c].
// w: (9 c + 1, k) vec4 along k, the bias its last row; u: (SIDE^2 rows + 1, quads) vec4, where rows are
// the channels summed over, and quads those of the output; its last row is the bias, or 0 if flipped.
// Grid: one invocation a row of G, a row and a quad, and one a quad of the bias.
//@ from "common/winograd_matrices.wgsl" import G
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let place = group_index(workgroup, workgroups) * 64u + invocation;
    let size = d.rows * d.quads;
    if place >= SIDE * size + d.quads {
        return;
    }
    if place >= SIDE * size {
        // The bias.
        let quad = place - SIDE * size;
        //@ if FLIP == 0
        store_u(SIDE * SIDE * size + quad, load_w(9u * size + quad));
        //@ else
        store_u(SIDE * SIDE * size + quad, vec4<f32>());
        //@ endif
        return;
    }
    let a = place / size;
    let i = place % size;
    // Row a of G.
    var g = vec3<f32>(${G[TILE][0] | join(", ")});
    //@ for a in range(1, SIDE)
    g = select(g, vec3<f32>(${G[TILE][a] | join(", ")}), a == ${a}u);
    //@ endfor
    //@ for s in range(3)
    var half_${s} = vec4<f32>();
    //@ endfor
    // A bound that differs by invocation, as far as drivers know, keeps them from unrolling this, or
    // compiling it again for each number of rows: half a second each.
    let rows = select(3u, 0u, place >= SIDE * size + d.quads);
    // Such a loop runs its body once more, under an empty mask, where its condition is at the begin.
    var r = 0u;
    loop {
        //@ for s in range(3)
        //@ if FLIP == 0
        let w_${s} = load_w((r * 3u + ${s}u) * size + i);
        //@ else
        let at_${s} = ((2u - r) * 3u + ${2 - s}u) * size + i % d.quads * d.rows + i / d.quads / 4u;
        let w_${s} = transpose(mat4x4<f32>(
            load_w(at_${s}),
            load_w(at_${s} + d.rows / 4u),
            load_w(at_${s} + d.rows / 2u),
            load_w(at_${s} + d.rows / 4u * 3u),
        ))[i / d.quads % 4u];
        //@ endif
        half_${s} += g.x * w_${s};
        //@ endfor
        g = g.yzx;
        continuing {
            r++;
            break if r >= rows;
        }
    }
    //@ for b in range(SIDE)
    store_u(
        (a * SIDE + ${b}u) * size + i,
        ${G[TILE][b][0]} * half_0 + ${G[TILE][b][1]} * half_1 + ${G[TILE][b][2]} * half_2
    );
    //@ endfor
}
