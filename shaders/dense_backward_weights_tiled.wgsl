// Gradient of a dense layer's weights and bias, for the panels of outputs that are bound:
//   grad[c, k] = (accumulate ? grad[c, k] : 0) + sum over n of x[n, c] * dy[n, k]
// and for the bias, the row after the last input, the sum of dy.
// x: (n, in_quads) vec4; dy: (n, out_quads) vec4, of which quads from first_quad on belong to the
// bound panels; grad: (panels, panel_rows, 8) vec4, zero in columns past the last output.
// Grid: ceil((inputs + 1) / TILE) * panels workgroups.
// Method: common/dense_tiled.wgsl, i inputs and j outputs, the bias as an input that is always 1.
//@ set turn_a = false
//@ set turn_b = false
//@ include "common/dense_tiled.wgsl"

fn a_from(i: u32, t: u32) -> vec4<u32> {
    let n = vec4<u32>(t * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    return n * dims.in_quads + min(i, dims.in_quads - 1u);
}

fn a_stride() -> u32 {
    return DEPTH * dims.in_quads;
}

fn a_last() -> u32 {
    return step.images * dims.in_quads - 1u;
}

fn a_quad(at: u32, i: u32) -> vec4<f32> {
    return select(load_x(at), vec4<f32>(1.0, 0.0, 0.0, 0.0), i == dims.in_quads);
}

fn b_from(t: u32, j: u32) -> vec4<u32> {
    let n = vec4<u32>(t * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    return n * dims.out_quads + min(dims.first_quad + j, dims.out_quads - 1u);
}

fn b_stride() -> u32 {
    return DEPTH * dims.out_quads;
}

fn b_last() -> u32 {
    return step.images * dims.out_quads - 1u;
}

fn b_quad(at: u32) -> vec4<f32> {
    return load_dy(at);
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let inputs = d.in_quads * 4u;
    let rows = (inputs + TILE) / TILE;
    let group = group_index(workgroup, workgroups);
    let panel = group / rows;
    if panel >= d.panels {
        return;
    }
    let first = group % rows * TILE;
    let sums = product(first / 4u, panel * 8u, step.images, invocation);
    if invocation >= TILE {
        return;
    }
    let quad = panel * 8u + invocation % 8u;
    let inside = d.first_quad + quad < d.out_quads;
    //@ for m in range(8)
    {
        let c = first + row_of(invocation, ${m}u);
        if c <= inputs {
            let at = (panel * panel_rows(d.in_quads) + c) * 8u + quad % 8u;
            var value = select(vec4<f32>(), sums.rows[${m}], inside);
            if step.accumulate == 1u {
                value += load_grad(at);
            }
            store_grad(at, value);
        }
    }
    //@ endfor
}
