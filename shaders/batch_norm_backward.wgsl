// Gradient of the input of batch normalisation:
//   dx = scale / deviation * (dy - (sum of dy + normal * sum of dy * normal) / pixels)
// where normal = (x - mean) / deviation.
// x, dy: (n, h, w, quads) vec4, dy masked by the ReLU after; norm: (2, quads): scale, shift;
// moments: (2, quads): mean, 1 / deviation; sums: (2, quads): of dy * normal, of dy;
// dx: (n, h + 2 out_halo, w + 2 out_halo, quads), its halo left alone. Grid: one invocation a quad.
// Source: Ioffe and Szegedy, arXiv:1502.03167, section 3.
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
    let inverse = load_moments(d.quads + quad);
    let normal = (load_x(i) - load_moments(quad)) * inverse;
    let pixels = f32(step.images * d.height * d.width);
    let mean = fma(normal, load_sums(quad), load_sums(d.quads + quad)) / pixels;
    let columns = d.width + 2u * d.out_halo;
    let rows = d.height + 2u * d.out_halo;
    let pixel = (image * rows + row + d.out_halo) * columns + column + d.out_halo;
    store_dx(pixel * d.quads + quad, load_norm(quad) * inverse * (load_dy(i) - mean));
}
