// Gradient of a dense layer's weights and bias, for the panels of outputs that are bound:
//   grad[c, k] = (accumulate ? grad[c, k] : 0) + sum over n of x[n, c] * dy[n, k]
// and for the bias, the row after the last input, the sum of dy.
// x: (n, in_quads) vec4; dy: (n, out_quads) vec4, of which quads from first_quad on belong to the
// bound panels; grad: (panels, inputs + 1, 8) vec4.
// Grid: (ceil(inputs / 32), and one more for the bias) * panels workgroups.
// Method: common/dense_tiled.wgsl, the bias as an input that is always 1.
//@ include "common/dense_tiled.wgsl"

fn x_quad(n: u32, quad: u32) -> vec4<f32> {
    if n < step.images {
        if quad < dims.in_quads {
            return load_x(n * dims.in_quads + quad);
        }
        if quad == dims.in_quads {
            return vec4<f32>(1.0, 0.0, 0.0, 0.0);
        }
    }
    return vec4<f32>();
}

fn dy_quad(n: u32, quad: u32) -> vec4<f32> {
    if n < step.images && dims.first_quad + quad < dims.out_quads {
        return load_dy(n * dims.out_quads + dims.first_quad + quad);
    }
    return vec4<f32>();
}

fn block_a(i: u32, t: u32) -> Block {
    return Block(array<vec4<f32>, 4>(
        x_quad(t * 4u, i), x_quad(t * 4u + 1u, i), x_quad(t * 4u + 2u, i), x_quad(t * 4u + 3u, i)
    ));
}

fn block_b(t: u32, j: u32) -> Block {
    return Block(array<vec4<f32>, 4>(
        dy_quad(t * 4u, j), dy_quad(t * 4u + 1u, j), dy_quad(t * 4u + 2u, j), dy_quad(t * 4u + 3u, j)
    ));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let inputs = d.in_quads * 4u;
    let rows = (inputs + 32u) / 32u;
    let group = group_index(workgroup, workgroups);
    let panel = group / rows;
    if panel >= d.panels {
        return;
    }
    let sums = product(group % rows * 8u, panel * 8u, (step.images + 3u) / 4u, invocation);
    for (var i = 0u; i < 4u; i++) {
        let c = (group % rows * 8u + invocation / 8u) * 4u + i;
        if c <= inputs {
            let at = (panel * (inputs + 1u) + c) * 8u + invocation % 8u;
            var value = sums.rows[i];
            if step.accumulate == 1u {
                value += load_grad(at);
            }
            store_grad(at, value);
        }
    }
}
