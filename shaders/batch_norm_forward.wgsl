// Batch normalisation with ReLU: y = max((x - mean) * deviation^-1 * scale + shift, 0).
// x: (n, h, w, quads) vec4; norm: (2, quads): scale, shift; moments: (2, quads): mean, 1 / deviation;
// y: (n, h + 2 out_halo, w + 2 out_halo, quads), its halo left alone. Grid: one invocation a quad.
// Source: Ioffe and Szegedy, arXiv:1502.03167, algorithm 1.
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
    let normal = (load_x(i) - load_moments(quad)) * load_moments(d.quads + quad);
    let columns = d.width + 2u * d.out_halo;
    let rows = d.height + 2u * d.out_halo;
    let pixel = (image * rows + row + d.out_halo) * columns + column + d.out_halo;
    let value = fma(normal, load_norm(quad), load_norm(d.quads + quad));
    store_y(pixel * d.quads + quad, max(value, vec4<f32>()));
}
