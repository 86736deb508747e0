// Gradient of adaptive average pooling, masked by the ReLU that made its input:
//   dx[v, u] = (x > 0) * sum over the windows (i, j) that hold (v, u) of dy[i, j] / window's pixels
// The windows that hold row v are floor(v out_h / h) up to ceil((v + 1) out_h / h).
// dy: (n, height, width, quads) vec4; x, dx: (n, in_height, in_width, quads). No halos.
// Grid: one invocation a quad of dx.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let d = dims;
    let i = group_index(workgroup, workgroups) * 64u + invocation;
    if i >= step.images * d.in_height * d.in_width * d.quads {
        return;
    }
    let quad = i % d.quads;
    let u = i / d.quads % d.in_width;
    let v = i / (d.quads * d.in_width) % d.in_height;
    let image = i / (d.quads * d.in_width * d.in_height);
    let bottom = ((v + 1u) * d.height + d.in_height - 1u) / d.in_height;
    let right = ((u + 1u) * d.width + d.in_width - 1u) / d.in_width;
    var sum = vec4<f32>();
    for (var row = v * d.height / d.in_height; row < bottom; row++) {
        let rows = ((row + 1u) * d.in_height + d.height - 1u) / d.height
            - row * d.in_height / d.height;
        for (var column = u * d.width / d.in_width; column < right; column++) {
            let columns = ((column + 1u) * d.in_width + d.width - 1u) / d.width
                - column * d.in_width / d.width;
            let at = ((image * d.height + row) * d.width + column) * d.quads + quad;
            sum += load_dy(at) / f32(rows * columns);
        }
    }
    store_dx(i, select(vec4<f32>(), sum, load_x(i) > vec4<f32>()));
}
