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

fn value(i: u32) -> f32 {
    let row = i / dims.columns;
    let column = row / dims.panel * dims.columns + i % dims.columns;
    let is_value = column < dims.columns_used && row % dims.period < dims.period_used;
    let unit = f32(hash(i ^ hash(dims.seed)) >> 8u) * 0x1p-24;
    return select(0.0, dims.bound * (2.0 * unit - 1.0), is_value);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let quad = group_index(workgroup, workgroups) * 64u + invocation;
    if quad >= dims.quads {
        return;
    }
    let i = quad * 4u;
    store_x(quad, vec4<f32>(value(i), value(i + 1u), value(i + 2u), value(i + 3u)));
}
