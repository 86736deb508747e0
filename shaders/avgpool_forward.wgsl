// Adaptive average pooling: y[i, j] = mean of x over the window of (i, j), which spans rows
// floor(i h / out_h) up to ceil((i + 1) h / out_h), columns alike (PyTorch's adaptive_avg_pool2d).
// x: (n, in_height, in_width, quads) vec4; y: (n, height, width, quads). No halos.
// Grid: one invocation a quad of y.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= step.images * d.height * d.width * d.quads {
        return;
    }
    let quad = i % d.quads;
    let column = i / d.quads % d.width;
    let row = i / (d.quads * d.width) % d.height;
    let image = i / (d.quads * d.width * d.height);
    let top = row * d.in_height / d.height;
    let bottom = ((row + 1u) * d.in_height + d.height - 1u) / d.height;
    let left = column * d.in_width / d.width;
    let right = ((column + 1u) * d.in_width + d.width - 1u) / d.width;
    var sum = vec4<f32>();
    for (var v = top; v < bottom; v++) {
        for (var u = left; u < right; u++) {
            sum += load_x(((image * d.in_height + v) * d.in_width + u) * d.quads + quad);
        }
    }
    store_y(i, sum / f32((bottom - top) * (right - left)));
}
