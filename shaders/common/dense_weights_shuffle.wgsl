// The gradient of a dense layer's weights and bias for the panels of outputs that are bound:
//   sum over n of x[n, c] * dy[n, k], and for the bias, the row after the last input, the sum of dy;
// in registers, for adapters that run a subgroup as one CPU vector.
// x: (n, in_quads) vec4; dy: (n, out_quads) vec4, of which quads from first_quad on belong to the
// bound panels. Panels are (panel_rows, 8) vec4.
// An invocation computes one quad of outputs for 4 QUADS inputs. The inputs of LANES images are loaded
// once a subgroup, each lane another image, and broadcast from a constant lane below LANES.
// Grid: ceil(in_quads / QUADS) * ceil(panels * 8 / GROUP) workgroups of one subgroup.
// The includer gives `finish`, which takes the place of a quad in the panels, its gradient, and whether it
// is of biases.
//@ include "common/panel_rows.wgsl"

@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let d = dims;
    let inputs = d.in_quads * 4u;
    let rows = (d.in_quads + QUADS - 1u) / QUADS;
    let group = group_index(workgroup, workgroups);
    let wanted = group / rows * GROUP + invocation;
    if group / rows * GROUP >= d.panels * 8u {
        return;
    }
    let quad = min(wanted, d.panels * 8u - 1u);
    let first = group % rows * QUADS;
    let out = d.first_quad + quad;
    let used = select(0.0, 1.0, out < d.out_quads);
    let column = min(out, d.out_quads - 1u);
    let lane = subgroup_lane % LANES;
    //@ for q in range(QUADS)
    let c_${q} = min(first + ${q}u, d.in_quads - 1u);
    //@ for e in range(4)
    var sum_${q}_${e} = vec4<f32>();
    //@ endfor
    //@ endfor
    var bias = vec4<f32>();
    // A condition at the end: where it is at the begin, drivers for processors run this once more, under an
    // empty mask.
    var n = 0u;
    loop {
        //@ for q in range(QUADS)
        let in_${q} = load_x(min(n + lane, step.images - 1u) * d.in_quads + c_${q});
        //@ endfor
        //@ for i in range(LANES)
        let gradient_${i} = load_dy(min(n + ${i}u, step.images - 1u) * d.out_quads + column)
            * select(0.0, used, n + ${i}u < step.images);
        bias += gradient_${i};
        //@ endfor
        // One input at a time keeps its sums in registers.
        //@ for q in range(QUADS)
        //@ for e in range(4)
        //@ for i in range(LANES)
        sum_${q}_${e} = fma(
            vec4<f32>(subgroupShuffle(in_${q}[${e}], ${i}u)), gradient_${i}, sum_${q}_${e}
        );
        //@ endfor
        //@ endfor
        //@ endfor
        continuing {
            n += LANES;
            break if n >= step.images;
        }
    }
    if wanted != quad {
        return;
    }
    let base = quad / 8u * panel_rows(d.in_quads) * 8u + quad % 8u;
    //@ for q in range(QUADS)
    if first + ${q}u < d.in_quads {
        //@ for e in range(4)
        finish(base + ((first + ${q}u) * 4u + ${e}u) * 8u, sum_${q}_${e}, false);
        //@ endfor
    }
    //@ endfor
    if first == 0u {
        finish(base + inputs * 8u, bias, true);
    }
}
