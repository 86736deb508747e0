// Random numbers to measure with: common/uniform.wgsl.
// x: (quads) vec4.
// Grid: one invocation RUN quads, one after the other.
//@ include "common/uniform.wgsl"

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
