// Gradient of a 3x3 convolution's input, masked by the ReLU that made this input:
// dx = (x > 0) * (dy * flipped w).
// dy: (n, h + 2, w + 2, k) with zero halo; flipped: (9, k, c), the filters turned by 180 degrees with
// channels exchanged; x: (n, h + 2, w + 2, c); dx: (n, h + 2 out_halo, w + 2 out_halo, c), its halo
// left alone.
// Method: common/conv_shuffle.wgsl.
fn source(i: u32) -> vec4<f32> {
    return load_dy(i);
}

fn weight(i: u32) -> vec4<f32> {
    return load_flipped(i);
}

fn store(n: u32, row: u32, column: u32, quad: u32, value: vec4<f32>) {
    let d = dims;
    let here = (n * (d.height + 2u) + row + 1u) * (d.width + 2u) + column + 1u;
    let seen = load_x(here * d.out_quads + quad);
    let rows = d.height + 2u * d.out_halo;
    let columns = d.width + 2u * d.out_halo;
    let pixel = (n * rows + row + d.out_halo) * columns + column + d.out_halo;
    store_dx(pixel * d.out_quads + quad, select(vec4<f32>(), value, seen > vec4<f32>()));
}

//@ include "common/conv_shuffle.wgsl"
