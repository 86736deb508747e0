// Random numbers to measure with: common/uniform.wgsl.
// x: panels of eight quads a row, rendered: a block has eight rows of a panel.
//@ include "common/uniform.wgsl"
//@ include "common/render.wgsl"

@fragment
fn main(@builtin(position) position: vec4<f32>) -> Groups {
    let d = dims;
    let seed = hash(d.seed);
    let place = place_in_group(position);
    let row = block_of(position) * 8u;
    let panel = row / d.panel;
    let panel_row = row - panel * d.panel;
    let column = panel * d.columns + place * 4u;
    //@ for g in range(8)
    let value_${g} = numbers((row + ${g}u) * 8u + place, column, seed)
        * select(0.0, 1.0, panel_row + ${g}u < d.period_used);
    //@ endfor
    return Groups(
        //@ for g in range(8)
        value_${g},
        //@ endfor
    );
}
