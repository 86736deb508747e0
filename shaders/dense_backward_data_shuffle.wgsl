// Gradient of a dense layer's input, in registers, for adapters that run a subgroup as one CPU vector:
// dx[n, c] = (x > 0) * scale * (old + sum over the bound outputs k of dy[n, k] * w[c, k]), where old is
// 0 for the first slice of outputs, else dx. Where dropout made x, what it dropped is 0, so that the mask
// of ReLU is that of dropout, too, and scale is 1 / (1 - rate).
// dy: (n, out_quads) vec4, of which quads from first_quad on belong to the bound panels;
// w: (panels, panel_rows, 8) vec4; x, dx: (n, in_quads) vec4.
// An invocation computes one quad of inputs for IMAGES images. The images' gradients are loaded once
// a subgroup, two quads of each by two lanes, and broadcast from a constant lane below LANES.
// Grid: ceil(n / IMAGES) * ceil(in_quads / GROUP) workgroups of one subgroup.
//@ include "common/panel_rows.wgsl"
//@ set pairs = LANES // 2
//@ set loads = IMAGES // pairs
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
    if first_quad < d.in_quads {
        let wanted = first_quad + invocation;
        let quad = min(wanted, d.in_quads - 1u);
        let lane = subgroup_lane % LANES;
        //@ for i in range(loads)
        let out_row_${i} =
            min(first + (${i * pairs}u + (lane >> 1u)), images - 1u) * d.out_quads + d.first_quad;
        //@ endfor
        //@ for n in range(IMAGES)
        var sum_${n} = vec4<f32>();
        //@ endfor
        // The last panel may have more columns than there are outputs.
        // As far as drivers know the number differs by invocation, which keeps them from compiling the kernel
        // again for each layer.
        let bound = min(d.panels * 8u, d.out_quads - d.first_quad);
        let quads = select(bound, 0u, invocation >= GROUP);
        // The rows of these four inputs lie in one half of a block.
        let panel_blocks = panel_rows(d.in_quads) / 8u;
        let first_block = quad >> 1u;
        let half = (quad & 1u) * 4u;
        var k = 0u;
        //@ for steps in [2, 1]
        loop {
            if k + ${steps}u > quads {
                break;
            }
            let block = first_block + (k >> 3u) * panel_blocks;
            let row = (k >> 2u) & 1u;
            let column = k & 3u;
            //@ for t in range(steps)
            let w_${t} = transpose(
                mat4x4<f32>(
                    //@ for e in range(4)
                    load_w_in_block(block, half + ${e}u, row, column | ${t}u),
                    //@ endfor
                )
            );
            //@ endfor
            let mine = k + (lane & 1u) * ${steps - 1}u;
            //@ for i in range(loads)
            let out_${i} = load_dy(out_row_${i} + mine);
            //@ endfor
            // One image at a time keeps its sums in registers.
            //@ for n in range(IMAGES)
            //@ for t in range(steps)
            //@ for e in range(4)
            sum_${n} = fma(
                vec4<f32>(subgroupShuffle(out_${n // pairs}[${e}], ${n % pairs * 2 + t}u)),
                w_${t}[${e}],
                sum_${n}
            );
            //@ endfor
            //@ endfor
            //@ endfor
            continuing {
                k += ${steps}u;
            }
        }
        //@ endfor
        //@ for n in range(IMAGES)
        if (first + ${n}u < images) & (wanted == quad) {
            let at = (first + ${n}u) * d.in_quads + quad;
            let value = sum_${n} + select(vec4<f32>(), load_dx(at), d.accumulate == 1u);
            store_dx(at, select(vec4<f32>(), value * d.scale, load_x(at) > vec4<f32>()));
        }
        //@ endfor
    }
}
