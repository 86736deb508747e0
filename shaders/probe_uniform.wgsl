// Random numbers to measure with, uniform in [-bound, bound) in the places of a tensor that carry
// values, 0 in its paddings. Quad i follows from a hash of i and the seed (Jarzynski and Olano, "Hash
// Functions for GPU Rendering", JCGT 9(3), 2020: pcg), so it does not depend on the order of computation;
// its numbers are that hash times four odd factors, each uniform as the hash is.
// Element (row, column), in rows of `columns` elements, carries a value where
// row / panel * columns + column < columns_used and row % period < period_used.
// x: (quads) vec4.
// Grid: one invocation RUN quads, one after the other.
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

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let first = (group_index(workgroup, workgroups) * 64u + invocation) * RUN;
    if first >= d.quads {
        return;
    }
    let seed = hash(d.seed);
    // Divided once a run and counted on from there: a software adapter divides lane by lane. The four
    // elements of a quad lie in one row.
    let row = first * 4u / d.columns;
    let panel = row / d.panel;
    var column = first * 4u - row * d.columns;
    var panel_row = row - panel * d.panel;
    var panel_column = panel * d.columns;
    var period_row = row % d.period;
    for (var quad = first; quad < min(first + RUN, d.quads); quad++) {
        let value = numbers(quad, panel_column + column, seed);
        store_x(quad, select(vec4<f32>(), value, period_row < d.period_used));
        column += 4u;
        if column == d.columns {
            column = 0u;
            panel_row++;
            period_row++;
        }
        if panel_row == d.panel {
            panel_row = 0u;
            panel_column += d.columns;
        }
        if period_row == d.period {
            period_row = 0u;
        }
    }
}
