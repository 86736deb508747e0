// Dense layer: y[n, k] = x[n, :] * w[:, k] + bias[k], then ReLU where dims.relu is 1, then dropout, for
// the panels of outputs that are bound; in registers, for adapters that run a subgroup as one CPU
// vector.
// x: (n, in_quads) vec4; w: (panels, panel_rows, 8) vec4, the bias in row `inputs` of a panel;
// y: (n, out_quads) vec4, of which quads from first_quad on are written.
// An invocation computes one quad of outputs for IMAGES images. The images' inputs are loaded once a
// subgroup, two quads of each by two lanes, and broadcast from a constant lane below LANES.
// Grid: ceil(n / IMAGES) * ceil(panels * 8 / GROUP) workgroups of one subgroup.
// Dropout: common/dropout.wgsl.
//@ set pairs = LANES // 2
//@ set loads = IMAGES // pairs
//@ include "common/dropout.wgsl"

//@ include "common/panel_rows.wgsl"
@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let d = dims;
    let images = step.images;
    // Image blocks one after another read the same weights while these are in the cache.
    let image_blocks = (images + (IMAGES - 1u)) / IMAGES;
    let group = group_index(workgroup, workgroups);
    let first = group % image_blocks * IMAGES;
    let first_quad = group / image_blocks * GROUP;
    if first_quad < d.panels * 8u {
        let wanted = first_quad + invocation;
        let quad = min(wanted, d.panels * 8u - 1u);
        // Of eight rows of a panel, a block, the places differ by a constant.
        let block = quad / 8u * (panel_rows(d.in_quads) / 8u);
        let row = (quad >> 2u) & 1u;
        let column = quad & 3u;
        let lane = subgroup_lane % LANES;
        //@ for i in range(loads)
        let in_row_${i} = min(first + (${i * pairs}u + (lane >> 1u)), images - 1u) * d.in_quads;
        //@ endfor
        //@ for n in range(IMAGES)
        var sum_${n} = vec4<f32>();
        //@ endfor
        var c = 0u;
        //@ for steps in [2, 1]
        loop {
            if c + ${steps}u > d.in_quads {
                break;
            }
            let mine = c + (lane & 1u) * ${steps - 1}u;
            //@ for i in range(loads)
            let in_${i} = load_x(in_row_${i} + mine);
            //@ endfor
            //@ for t in range(steps)
            //@ for e in range(4)
            let w_${t}_${e} = load_w_in_block(block + (c >> 1u), ${t * 4 + e}u, row, column);
            //@ endfor
            //@ endfor
            // One image at a time keeps its sums in registers.
            //@ for n in range(IMAGES)
            //@ for t in range(steps)
            //@ for e in range(4)
            sum_${n} = fma(
                vec4<f32>(subgroupShuffle(in_${n // pairs}[${e}], ${n % pairs * 2 + t}u)),
                w_${t}_${e},
                sum_${n}
            );
            //@ endfor
            //@ endfor
            //@ endfor
            continuing {
                c += ${steps}u;
            }
        }
        //@ endfor
        let out = d.first_quad + quad;
        let used = (wanted == quad) & (out < d.out_quads);
        let bias = load_w_in_block(block + (d.in_quads >> 1u), (d.in_quads & 1u) * 4u, row, column);
        var dropped_of = vec2<u32>(); // eight images each
        let masks = masks_of(IMAGES, invocation);
        let rounds = rounds_of(invocation);
        for (var n = 0u; n < masks; n++) {
            let bits = dropped((first + n) * d.out_quads + out, d.out_quads, rounds) << (n % 8u * 4u);
            dropped_of |= select(vec2<u32>(0u, bits), vec2<u32>(bits, 0u), n < 8u);
        }
        //@ for n in range(IMAGES)
        if used & (first + ${n}u < images) {
            let value = sum_${n} + bias;
            let positive = select(value, max(value, vec4<f32>()), d.relu == 1u);
            let kept = with_dropout(positive, dropped_of[${n // 8}], ${n % 8}u);
            store_y((first + ${n}u) * d.out_quads + out, kept);
        }
        //@ endfor
    }
}
