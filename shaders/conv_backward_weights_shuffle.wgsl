// Gradient of a 3x3 convolution's filters and bias, first pass, in registers:
//   partial[slot, r, s, c, k] = sum over the slot's n, y, x of x[n, y + r - 1, x + s - 1, c] * dy[n, y, x, k]
// and, in the last row of a slot, the sum of dy.
// x: (n, h + 2, w + 2, in_quads) vec4 with zero halo; dy: (n, h + 2 dy_halo, w + 2 dy_halo, out_quads);
// partial: (slots, 36 in_quads + 1, out_quads). `sum_partials` adds the slots in their order.
// One invocation takes ROWS rows of one column at a time for 4 input and 4 QUADS output channels; a
// workgroup walks over its share of all columns. The lanes' sums are then added by a butterfly over
// LANES lanes: right for every subgroup of LANES or more, which gives GROUP / LANES slots. Each lane
// stores other sums.
// Grid: in_quads * ceil(out_quads / QUADS) * splits workgroups of one subgroup.
//@ set last = 9 * CHANNELS * QUADS
@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let k_blocks = (d.out_quads + (QUADS - 1u)) / QUADS;
    let group = group_index(workgroup, workgroups);
    let split = group / (k_blocks * d.in_quads);
    if split < d.splits {
        let quad = group % d.in_quads;
        let first_quad = group / d.in_quads % k_blocks * QUADS;

        let positions = step.images * d.row_blocks * d.width;
        let blocks = (positions + (GROUP - 1u)) / GROUP;
        let begin = split * blocks / d.splits;
        let end = (split + 1u) * blocks / d.splits;
        let pitch = (d.width + 2u) * d.in_quads;
        let dy_columns = d.width + 2u * d.dy_halo;
        //@ for q in range(QUADS)
        let k_${q} = min(first_quad + ${q}u, d.out_quads - 1u);
        var bias_${q} = vec4<f32>();
        //@ for t in range(9)
        //@ for c in range(CHANNELS)
        var sum_${t}_${c}_${q} = vec4<f32>();
        //@ endfor
        //@ endfor
        //@ endfor
        var block = begin;
        loop {
            if block >= end {
                break;
            }
            let wanted = block * GROUP + invocation;
            let position = min(wanted, positions - 1u);
            let column = position % d.width;
            let top = (position / d.width) % d.row_blocks * ROWS;
            let image = position / (d.width * d.row_blocks);
            let corner = image * (d.height + 2u) * pitch + column * d.in_quads + quad;
            let dy_corner = (image * (d.height + 2u * d.dy_halo) + d.dy_halo) * dy_columns
                + column + d.dy_halo;
            //@ for j in range(ROWS + 2)
            let row_${j} = corner + min(top + ${j}u, d.height + 1u) * pitch;
            //@ for s in range(3)
            let in_${j}_${s} = load_x(row_${j} + ${s}u * d.in_quads);
            //@ endfor
            //@ endfor
            //@ for j in range(ROWS)
            let inside_${j} = select(0.0, 1.0, (wanted < positions) & (top + ${j}u < d.height));
            let dy_row_${j} = (dy_corner + min(top + ${j}u, d.height - 1u) * dy_columns) * d.out_quads;
            //@ for q in range(QUADS)
            let out_${j}_${q} = load_dy(dy_row_${j} + k_${q}) * inside_${j};
            //@ endfor
            //@ endfor
            //@ for t in range(9)
            //@ for c in range(CHANNELS)
            //@ for q in range(QUADS)
            //@ for j in range(ROWS)
            sum_${t}_${c}_${q} = fma(
                vec4<f32>(in_${j + t // 3}_${t % 3}[${c}]), out_${j}_${q}, sum_${t}_${c}_${q}
            );
            //@ endfor
            //@ endfor
            //@ endfor
            //@ endfor
            //@ for q in range(QUADS)
            //@ for j in range(ROWS)
            bias_${q} += out_${j}_${q};
            //@ endfor
            //@ endfor
            continuing {
                block++;
            }
        }
        //@ for i in range(36 * QUADS) if i // QUADS % 4 < CHANNELS
        var item_${i} = sum_${i // QUADS // 4}_${i // QUADS % 4}_${i % QUADS};
        //@ endfor
    //@ include "common/partial_sums.wgsl"
    }
}
