// Gradient of 2x2 max pooling: each gradient goes to the pixel its maximum came from, the other
// pixels get 0.
// dy: (n, h, w, quads) vec4; positions: (n, h, w, quads) u32, a byte a channel;
// dx: (n, in_height + 2 out_halo, in_width + 2 out_halo, quads), its halo left alone.
// Grid: one invocation a quad of a window, windows at an odd edge included.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    let window_columns = (d.in_width + 1u) / 2u;
    let window_rows = (d.in_height + 1u) / 2u;
    if i >= step.images * window_rows * window_columns * d.quads {
        return;
    }
    let quad = i % d.quads;
    let column = i / d.quads % window_columns;
    let row = i / (d.quads * window_columns) % window_rows;
    let image = i / (d.quads * window_columns * window_rows);
    var gradient = vec4<f32>();
    var position = vec4<u32>();
    if row < d.height && column < d.width {
        let at = ((image * d.height + row) * d.width + column) * d.quads + quad;
        gradient = load_dy(at);
        position = (vec4<u32>(positions[at]) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
    }
    let columns = d.in_width + 2u * d.out_halo;
    let rows = d.in_height + 2u * d.out_halo;
    for (var p = 0u; p < 4u; p++) {
        let y = row * 2u + p / 2u;
        let x = column * 2u + p % 2u;
        if y < d.in_height && x < d.in_width {
            let pixel = (image * rows + y + d.out_halo) * columns + x + d.out_halo;
            store_dx(pixel * d.quads + quad, select(vec4<f32>(), gradient, position == vec4<u32>(p)));
        }
    }
}
