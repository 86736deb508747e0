// Zeroes the one-pixel border of a feature map whose memory held something else before.
// x: (n, h + 2, w + 2, quads) vec4. Grid: one invocation a quad of the border; the border's pixels
// are numbered top row, bottom row, then left and right of the rows between.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    let columns = d.width + 2u;
    let border = 2u * columns + 2u * d.height;
    if i >= step.images * border * d.quads {
        return;
    }
    let image = i / (border * d.quads);
    let cell = i / d.quads % border;
    var pixel = cell;
    if cell >= columns {
        pixel = (d.height + 1u) * columns + cell - columns;
    }
    if cell >= 2u * columns {
        let side = cell - 2u * columns;
        pixel = (1u + side / 2u) * columns + side % 2u * (columns - 1u);
    }
    store_x((image * (d.height + 2u) * columns + pixel) * d.quads + i % d.quads, vec4<f32>());
}
