// Adds the lanes' sums of a workgroup and stores them: a butterfly over LANES lanes, right for every
// subgroup of LANES or more, gives GROUP / LANES slots, and each lane stores other sums. They go through
// an array, so that the driver compiles one store and not dozens.
// partial: (slots, 4 POINTS in_quads + 1, out_quads) vec4, the last row of a slot for the bias.
// The includer gives split, quad, first_quad and `item_I` for I = (point * 4 + c) * QUADS + q, the sum
// of input channel c and output quad q, and `bias_Q`; it stands at the end of `main`.
    let lane = invocation % LANES;
    let slot = split * (GROUP / LANES) + invocation / LANES;
    let base = slot * (4u * POINTS * d.in_quads + 1u) * d.out_quads;
    //@ for distance in [1, 2, 4] if distance < LANES
    //@ for q in range(QUADS)
    bias_${q} += subgroupShuffleXor(bias_${q}, ${distance}u);
    //@ endfor
    //@ for i in range(4 * POINTS * QUADS)
    item_${i} += subgroupShuffleXor(item_${i}, ${distance}u);
    //@ endfor
    //@ endfor
    //@ set chunks = (4 * POINTS * QUADS + LANES - 1) // LANES
    var own: array<vec4<f32>, ${chunks}>;
    //@ for chunk in range(chunks)
    var own_${chunk} = item_${chunk * LANES};
    //@ for l in range(1, LANES) if chunk * LANES + l < 4 * POINTS * QUADS
    own_${chunk} = select(own_${chunk}, item_${chunk * LANES + l}, lane == ${l}u);
    //@ endfor
    own[${chunk}] = own_${chunk};
    //@ endfor
    for (var chunk = 0u; chunk < ${chunks}u; chunk++) {
        let item = chunk * LANES + lane;
        let out = first_quad + item % QUADS;
        let row = (item / (4u * QUADS) * d.in_quads + quad) * 4u + item / QUADS % 4u;
        if item < 4u * POINTS * QUADS && out < d.out_quads {
            store_partial(base + row * d.out_quads + out, own[chunk]);
        }
    }
    if quad == 0u && lane == 0u {
        //@ for q in range(QUADS)
        if first_quad + ${q}u < d.out_quads {
            store_partial(base + 4u * POINTS * d.in_quads * d.out_quads + k_${q}, bias_${q});
        }
        //@ endfor
    }
