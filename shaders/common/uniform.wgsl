// Uniform random numbers in [-bound, bound) in the places of a tensor that carry values, 0 in its
// paddings. Quad i follows from a hash of i and the seed (Jarzynski and Olano, "Hash Functions for GPU
// Rendering", JCGT 9(3), 2020: pcg), so it does not depend on the order of computation; its numbers are
// that hash times four odd factors, each uniform as the hash is.
// Element (row, column), in rows of `columns` elements, carries a value where
// row / panel * columns + column < columns_used and row % period < period_used.
fn hash(value: u32) -> u32 {
    let state = value * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// The numbers of `quad`, whose first is output `column` of all panels, by the hash of the seed.
fn numbers(quad: u32, column: u32, seed: u32) -> vec4<f32> {
    let drawn = hash(quad ^ seed);
    //@ for e in range(4)
    let unit_${e} = f32((drawn * ${[1, 747796405, 277803737, 2891336453][e]}u) >> 8u) * 0x1p-24;
    let value_${e} = select(
        0.0, dims.bound * (2.0 * unit_${e} - 1.0), column + ${e}u < dims.columns_used
    );
    //@ endfor
    return vec4<f32>(value_0, value_1, value_2, value_3);
}
