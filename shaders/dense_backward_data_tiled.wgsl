// Gradient of a dense layer's input: dx[n, c] = (x > 0) * scale * (old + sum over the bound outputs k
// of dy[n, k] * w[c, k]), where old is 0 for the first slice of outputs, else dx. Where dropout made x,
// what it dropped is 0, so that the mask of ReLU is that of dropout, too, and scale is 1 / (1 - rate).
// dy: (n, out_quads) vec4, of which quads from first_quad on belong to the bound panels;
// w: (panels, panel_rows, 8) vec4; x, dx: (n, in_quads) vec4.
// Grid: ceil(n / TILE) * ceil(in_quads / 8) workgroups. Method: common/dense_tiled.wgsl, i images and
// j inputs. A stage is a whole number of panels.
//@ set turn_a = true
//@ set turn_b = true
//@ include "common/dense_tiled.wgsl"

fn a_from(i: u32, t: u32) -> vec4<u32> {
    let n = vec4<u32>(i * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    return min(n, vec4<u32>(step.images - 1u)) * dims.out_quads + dims.first_quad + t;
}

fn a_stride() -> u32 {
    return ${DEPTH // 4}u;
}

fn a_last() -> u32 {
    return step.images * dims.out_quads - 1u;
}

fn a_quad(at: u32, i: u32) -> vec4<f32> {
    return load_dy(at);
}

fn b_from(t: u32, j: u32) -> vec4<u32> {
    let c = vec4<u32>(j * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    return (min(c, vec4<u32>(dims.in_quads * 4u)) + t / 8u * panel_rows(dims.in_quads)) * 8u + t % 8u;
}

fn b_stride() -> u32 {
    return ${DEPTH // 32}u * panel_rows(dims.in_quads) * 8u;
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
    let columns = (d.in_quads + 7u) / 8u;
    let group = group_index(workgroup, workgroups);
    let first = group / columns * TILE;
    if first >= step.images {
        return;
    }
    let outputs = min(d.panels * 8u, d.out_quads - d.first_quad) * 4u;
    let sums = product(first / 4u, group % columns * 8u, outputs, invocation);
    let quad = group % columns * 8u + invocation % 8u;
    if invocation >= TILE || quad >= d.in_quads {
        return;
    }
    //@ for m in range(8)
    {
        let n = first + row_of(invocation, ${m}u);
        if n < step.images {
            let at = n * d.in_quads + quad;
            var value = sums.rows[${m}];
            if d.accumulate == 1u {
                value += load_dx(at);
            }
            store_dx(at, select(vec4<f32>(), value * d.scale, load_x(at) > vec4<f32>()));
        }
    }
    //@ endfor
}
