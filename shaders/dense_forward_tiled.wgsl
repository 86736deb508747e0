// Dense layer: y[n, k] = x[n, :] * w[:, k] + bias[k], then ReLU where dims.relu is 1, for the panels
// of outputs that are bound.
// x: (n, in_quads) vec4; w: (panels, inputs + 1, 8) vec4, the bias the last row of a panel;
// y: (n, out_quads) vec4, of which quads from first_quad on are written.
// Grid: ceil(n / 32) * panels workgroups. Method: common/dense_tiled.wgsl.
//@ include "common/dense_tiled.wgsl"

fn x_quad(n: u32, quad: u32) -> vec4<f32> {
    if n < step.images && quad < dims.in_quads {
        return load_x(n * dims.in_quads + quad);
    }
    return vec4<f32>();
}

fn w_quad(row: u32, quad: u32) -> vec4<f32> {
    if row < dims.in_quads * 4u {
        return load_w((quad / 8u * (dims.in_quads * 4u + 1u) + row) * 8u + quad % 8u);
    }
    return vec4<f32>();
}

fn block_a(i: u32, t: u32) -> Block {
    return turned(
        x_quad(i * 4u, t), x_quad(i * 4u + 1u, t), x_quad(i * 4u + 2u, t), x_quad(i * 4u + 3u, t)
    );
}

fn block_b(t: u32, j: u32) -> Block {
    return Block(array<vec4<f32>, 4>(
        w_quad(t * 4u, j), w_quad(t * 4u + 1u, j), w_quad(t * 4u + 2u, j), w_quad(t * 4u + 3u, j)
    ));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let group = group_index(workgroup, workgroups);
    let panel = group % d.panels;
    let first = group / d.panels * 32u;
    if first >= step.images {
        return;
    }
    let sums = product(first / 4u, panel * 8u, d.in_quads, invocation);
    let quad = panel * 8u + invocation % 8u;
    let out = d.first_quad + quad;
    if out >= d.out_quads {
        return;
    }
    let bias = load_w((panel * (d.in_quads * 4u + 1u) + d.in_quads * 4u) * 8u + quad % 8u);
    for (var i = 0u; i < 4u; i++) {
        let n = first + invocation / 8u * 4u + i;
        if n < step.images {
            let value = sums.rows[i] + bias;
            store_y(n * d.out_quads + out, select(value, max(value, vec4<f32>()), d.relu == 1u));
        }
    }
}
