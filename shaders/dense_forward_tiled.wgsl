// Dense layer: y[n, k] = x[n, :] * w[:, k] + bias[k], then ReLU where dims.relu is 1, then dropout, for
// the panels of outputs that are bound.
// x: (n, in_quads) vec4; w: (panels, panel_rows, 8) vec4, the bias in row `inputs` of a panel;
// y: (n, out_quads) vec4, of which quads from first_quad on are written.
// Grid: ceil(n / TILE) * panels workgroups. Method: common/dense_tiled.wgsl, i images and j outputs.
// Dropout: common/dropout.wgsl.
//@ set turn_a = true
//@ set turn_b = false
//@ include "common/dense_tiled.wgsl"
//@ include "common/dropout.wgsl"

fn a_from(i: u32, t: u32) -> vec4<u32> {
    let n = vec4<u32>(i * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    return min(n, vec4<u32>(step.images - 1u)) * dims.in_quads + t;
}

fn a_stride() -> u32 {
    return ${DEPTH // 4}u;
}

fn a_last() -> u32 {
    return step.images * dims.in_quads - 1u;
}

fn a_quad(at: u32, i: u32) -> vec4<f32> {
    return load_x(at);
}

fn b_from(t: u32, j: u32) -> vec4<u32> {
    let row = vec4<u32>(j / 8u * panel_rows(dims.in_quads) + t * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    return row * 8u + j % 8u;
}

fn b_stride() -> u32 {
    return ${DEPTH * 8}u;
}

fn b_last() -> u32 {
    return dims.panels * panel_rows(dims.in_quads) * 8u - 1u;
}

fn b_quad(at: u32) -> vec4<f32> {
    return load_w(at);
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let group = group_index(workgroup, workgroups);
    let panel = group % d.panels;
    let first = group / d.panels * TILE;
    if first >= step.images {
        return;
    }
    let sums = product(first / 4u, panel * 8u, d.in_quads * 4u, invocation);
    let quad = panel * 8u + invocation % 8u;
    let out = d.first_quad + quad;
    if invocation >= TILE || out >= d.out_quads {
        return;
    }
    let bias = load_w((panel * panel_rows(d.in_quads) + d.in_quads * 4u) * 8u + quad % 8u);
    var dropped_of = 0u;
    let masks = masks_of(8u, invocation);
    for (var m = 0u; m < masks; m++) {
        let n = first + row_of(invocation, m);
        dropped_of |= dropped(n * d.out_quads + out, d.out_quads, rounds_of(invocation)) << (m * 4u);
    }
    //@ for m in range(8)
    {
        let n = first + row_of(invocation, ${m}u);
        if n < step.images {
            let value = sums.rows[${m}] + bias;
            let positive = select(value, max(value, vec4<f32>()), d.relu == 1u);
            store_y(n * d.out_quads + out, with_dropout(positive, dropped_of, ${m}u));
        }
    }
    //@ endfor
}
