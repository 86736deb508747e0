// Uniform random numbers in [-bound, bound) in the places of a tensor that carry values, 0 in its
// paddings. Number i is a hash of i and the seed (Jarzynski and Olano, "Hash Functions for GPU
// Rendering", JCGT 9(3), 2020: pcg), so it does not depend on the order of computation.
// x: (quads) vec4, rows of `columns` elements. Element (row, column) carries a value where
// row / panel * columns + column < columns_used and row % period < period_used.
// Grid: one invocation a quad.
fn hash(value: u32) -> u32 {
    let state = value * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let quad = group_index(workgroup, workgroups) * 64u + invocation;
    if quad >= d.quads {
        return;
    }
    // The four elements of a quad lie in one row; a software adapter divides lane by lane.
    let i = quad * 4u;
    let row = i / d.columns;
    let panel = row / d.panel;
    let first = panel * d.columns + i - row * d.columns;
    let seed = hash(d.seed);
    //@ for e in range(4)
    let unit_${e} = f32(hash((i + ${e}u) ^ seed) >> 8u) * 0x1p-24;
    let is_value_${e} = first + ${e}u < d.columns_used;
    let value_${e} = select(0.0, d.bound * (2.0 * unit_${e} - 1.0), is_value_${e});
    //@ endfor
    let value = vec4<f32>(value_0, value_1, value_2, value_3);
    let is_row_used = row % d.period < d.period_used;
    store_x(quad, select(vec4<f32>(), value, is_row_used));
}
