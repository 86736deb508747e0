// A 3x3 convolution in registers, for adapters that run a subgroup as one CPU vector.
//
//   out[n, y, x, k] = sum over r, s, c of source[n, y + r - 1, x + s - 1, c] * weight[r, s, c, k]
//
// source: (n, h + 2, w + 2, in_quads) vec4, zero halo. weight: (9, 4 in_quads, out_quads) vec4.
// One invocation computes ROWS rows of one column for 4 QUADS output channels. Columns are numbered
// through all row blocks and images, so only the last subgroup has idle lanes; these repeat the
// last column and do not store. Weights are loaded once a subgroup, a different quad by each lane,
// and broadcast by `subgroupShuffle` from a constant lane below LANES: right for every subgroup of
// LANES or more. No barriers, no workgroup memory.
// Grid: ceil(n * row_blocks * w / GROUP) * ceil(out_quads / QUADS) workgroups of one subgroup.
// The includer gives `source`, `weight` and `store`.
//@ set items = CHANNELS * QUADS
//@ set loads = (items + LANES - 1) // LANES
@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let d = dims;
    let positions = step.images * d.row_blocks * d.width;
    let position_groups = (positions + GROUP - 1u) / GROUP;
    let group = group_index(workgroup, workgroups);
    let first_quad = (group / position_groups) * QUADS;
    if first_quad >= d.out_quads {
        return;
    }
    let wanted = (group % position_groups) * GROUP + invocation;
    let position = min(wanted, positions - 1u);
    let column = position % d.width;
    let top = (position / d.width) % d.row_blocks * ROWS;
    let image = position / (d.width * d.row_blocks);

    // Offsets of the window's rows; rows below the image feed only outputs that are not stored.
    let pitch = (d.width + 2u) * d.in_quads;
    let corner = image * (d.height + 2u) * pitch + column * d.in_quads;
    //@ for j in range(ROWS + 2)
    let row_${j} = corner + min(top + ${j}u, d.height + 1u) * pitch;
    //@ endfor

    // Which weight quad each lane loads: item = channel * QUADS + quad.
    let lane = subgroup_lane % LANES;
    //@ for i in range(loads)
    let item_${i} = min(${i}u * LANES + lane, ${items - 1}u);
    let weight_${i} = item_${i} / QUADS * d.out_quads
        + min(first_quad + item_${i} % QUADS, d.out_quads - 1u);
    //@ endfor
    let tap_pitch = d.in_quads * 4u * d.out_quads;

    //@ for k in range(QUADS * 4)
    //@ for j in range(ROWS)
    var sum_${k}_${j} = 0.0;
    //@ endfor
    //@ endfor
    for (var quad = 0u; quad < d.in_quads; quad++) {
        //@ for j in range(ROWS + 2)
        //@ for s in range(3)
        let in_${j}_${s} = source(row_${j} + ${s}u * d.in_quads + quad);
        //@ endfor
        //@ endfor
        let weights = quad * 4u * d.out_quads;
        //@ for t in range(9)
        //@ for i in range(loads)
        let w_${t}_${i} = weight(${t}u * tap_pitch + weights + weight_${i});
        //@ endfor
        //@ endfor
        //@ for j in range(ROWS + 2)
        //@ for s in range(3)
        //@ for c in range(CHANNELS)
        let in_${j}_${s}_${c} = in_${j}_${s}[${c}];
        //@ endfor
        //@ endfor
        //@ endfor
        // One output channel at a time keeps its ROWS sums in registers. Each sum is a chain of names and
        // not of assignments: naga takes time with the square of a function's expressions, and a
        // name has none but its value.
        //@ for k in range(QUADS * 4)
        //@ for j in range(ROWS)
        let sum_${k}_${j}_0 = sum_${k}_${j};
        //@ endfor
        //@ for t in range(9)
        //@ for c in range(CHANNELS)
        //@ set item = c * QUADS + k // 4
        //@ set term = t * CHANNELS + c
        let w_${k}_${t}_${c} = subgroupShuffle(w_${t}_${item // LANES}[${k % 4}], ${item % LANES}u);
        //@ for j in range(ROWS)
        let sum_${k}_${j}_${term + 1} =
            fma(in_${j + t // 3}_${t % 3}_${c}, w_${k}_${t}_${c}, sum_${k}_${j}_${term});
        //@ endfor
        //@ endfor
        //@ endfor
        //@ for j in range(ROWS)
        sum_${k}_${j} = sum_${k}_${j}_${9 * CHANNELS};
        //@ endfor
        //@ endfor
    }
    if wanted >= positions {
        return;
    }
    //@ for q in range(QUADS)
    if first_quad + ${q}u < d.out_quads {
        //@ for j in range(ROWS)
        if top + ${j}u < d.height {
            store(image, top + ${j}u, column, first_quad + ${q}u, vec4<f32>(
                sum_${4 * q}_${j}, sum_${4 * q + 1}_${j}, sum_${4 * q + 2}_${j}, sum_${4 * q + 3}_${j}
            ));
        }
        //@ endfor
    }
    //@ endfor
}
