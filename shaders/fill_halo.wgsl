// Zeroes the one-pixel border of a feature map whose memory held something else before.
// x: (n, h + 2, w + 2, quads) vec4. Grid: one invocation a pixel of the border; these are numbered top row,
// bottom row, then left and right of the rows between.
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
    if i < step.images * border {
        let image = i / border;
        let cell = i % border;
        var pixel = cell;
        if cell >= columns {
            pixel = (d.height + 1u) * columns + cell - columns;
        }
        if cell >= 2u * columns {
            let side = cell - 2u * columns;
            pixel = (1u + side / 2u) * columns + side % 2u * (columns - 1u);
        }
        let first = (image * (d.height + 2u) * columns + pixel) * d.quads;
        // As far as drivers know the number differs by invocation, which keeps them from compiling the kernel
        // again for each map.
        let quads = select(d.quads, 1u, invocation >= 64u);
        var quad = 0u;
        loop {
            store_x(first + quad, vec4<f32>());
            continuing {
                quad += 1u;
                break if quad >= quads;
            }
        }
    }
}
