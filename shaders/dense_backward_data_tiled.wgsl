// Gradient of a dense layer's input: dx[n, c] = (x > 0) * (old + sum over the bound outputs k of
// dy[n, k] * w[c, k]), where old is 0 for the first slice of outputs, else dx.
// dy: (n, out_quads) vec4, of which quads from first_quad on belong to the bound panels;
// w: (panels, inputs + 1, 8) vec4; x, dx: (n, in_quads) vec4.
// Grid: ceil(n / 32) * ceil(in_quads / 8) workgroups. Method: common/dense_tiled.wgsl.
//@ include "common/dense_tiled.wgsl"

fn dy_quad(n: u32, quad: u32) -> vec4<f32> {
    if n < step.images && dims.first_quad + quad < dims.out_quads {
        return load_dy(n * dims.out_quads + dims.first_quad + quad);
    }
    return vec4<f32>();
}

fn w_quad(row: u32, quad: u32) -> vec4<f32> {
    if row < dims.in_quads * 4u && quad < dims.panels * 8u {
        return load_w((quad / 8u * (dims.in_quads * 4u + 1u) + row) * 8u + quad % 8u);
    }
    return vec4<f32>();
}

fn block_a(i: u32, t: u32) -> Block {
    return turned(
        dy_quad(i * 4u, t), dy_quad(i * 4u + 1u, t), dy_quad(i * 4u + 2u, t), dy_quad(i * 4u + 3u, t)
    );
}

fn block_b(t: u32, j: u32) -> Block {
    return turned(
        w_quad(j * 4u, t), w_quad(j * 4u + 1u, t), w_quad(j * 4u + 2u, t), w_quad(j * 4u + 3u, t)
    );
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let columns = (d.in_quads + 7u) / 8u;
    let group = group_index(workgroup, workgroups);
    let first = group / columns * 32u;
    if first >= step.images {
        return;
    }
    let sums = product(first / 4u, group % columns * 8u, d.panels * 8u, invocation);
    let quad = group % columns * 8u + invocation % 8u;
    if quad >= d.in_quads {
        return;
    }
    for (var i = 0u; i < 4u; i++) {
        let n = first + invocation / 8u * 4u + i;
        if n < step.images {
            let at = n * d.in_quads + quad;
            var value = sums.rows[i];
            if d.accumulate == 1u {
                value += load_dx(at);
            }
            store_dx(at, select(vec4<f32>(), value, load_x(at) > vec4<f32>()));
        }
    }
}
