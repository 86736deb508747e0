// Adds the lanes' sums of a workgroup and stores them: a butterfly over LANES lanes, right for every
// subgroup of LANES or more, gives GROUP / LANES slots, and each lane stores other sums.
// partial: (slots, 4 POINTS in_quads + 1, out_quads) vec4, the last row of a slot for the bias.
// The includer gives split, quad, first_quad and `item_I` for I = (point * 4 + c) * QUADS + q, the sum
// of input channel c and output quad q, and `bias_Q`; it stands at the end of `main`. Where CHANNELS is less
// than 4 there are no items of other channels, and zeros are stored.
    let lane = invocation % LANES;
    let slot = split * (GROUP / LANES) + invocation / LANES;
    let base = slot * (4u * POINTS * d.in_quads + 1u) * d.out_quads;
    //@ for distance in [1, 2, 4] if distance < LANES
    //@ for q in range(QUADS)
    bias_${q} += subgroupShuffleXor(bias_${q}, ${distance}u);
    //@ endfor
    //@ for i in range(4 * POINTS * QUADS) if i // QUADS % 4 < CHANNELS
    item_${i} += subgroupShuffleXor(item_${i}, ${distance}u);
    //@ endfor
    //@ endfor
    //@ set chunks = (4 * POINTS * QUADS + LANES - 1) // LANES
    //@ for chunk in range(chunks)
    //@ set first = chunk * LANES
    var own_${chunk} = ${"item_" ~ first if CHANNELS == 4 else "vec4<f32>()"};
    //@ for i in range(first, [first + LANES, 4 * POINTS * QUADS] | min)
    //@ if (i > first or CHANNELS < 4) and i // QUADS % 4 < CHANNELS
    own_${chunk} = select(own_${chunk}, item_${i}, lane == ${i - first}u);
    //@ endif
    //@ endfor
    {
        let item = ${first}u + lane;
        let out = first_quad + item % QUADS;
        let row = (item / (4u * QUADS) * d.in_quads + quad) * 4u + item / QUADS % 4u;
        if (item < 4u * POINTS * QUADS) & (out < d.out_quads) {
            store_partial(base + row * d.out_quads + out, own_${chunk});
        }
    }
    //@ endfor
    if (quad | lane) == 0u {
        //@ for q in range(QUADS)
        if first_quad + ${q}u < d.out_quads {
            store_partial(base + 4u * POINTS * d.in_quads * d.out_quads + k_${q}, bias_${q});
        }
        //@ endfor
    }
