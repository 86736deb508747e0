// 2x2 max pooling with stride 2: y = the largest of four, position = which of them (the first of
// equals; 0 1 over 2 3).
// x: (n, 2 h.., 2 w.., quads) vec4 without halo (an odd last row or column is not read);
// y: (n, h + 2 out_halo, w + 2 out_halo, quads), its halo left alone;
// positions: (n, h, w, quads) u32, a byte a channel. Grid: one invocation a quad of positions.
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
    let at = ((image * d.in_height + row * 2u) * d.in_width + column * 2u) * d.quads + quad;
    var best = load_x(at);
    var position = vec4<u32>();
    let right = load_x(at + d.quads);
    position = select(position, vec4<u32>(1u), right > best);
    best = select(best, right, right > best);
    let below = load_x(at + d.in_width * d.quads);
    position = select(position, vec4<u32>(2u), below > best);
    best = select(best, below, below > best);
    let corner = load_x(at + (d.in_width + 1u) * d.quads);
    position = select(position, vec4<u32>(3u), corner > best);
    best = select(best, corner, corner > best);

    let columns = d.width + 2u * d.out_halo;
    let rows = d.height + 2u * d.out_halo;
    let pixel = (image * rows + row + d.out_halo) * columns + column + d.out_halo;
    store_y(pixel * d.quads + quad, best);
    positions[i] = position.x | (position.y << 8u) | (position.z << 16u) | (position.w << 24u);
}
