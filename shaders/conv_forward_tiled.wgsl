// Forward 3x3 convolution with bias: y = max(x * w + bias, floor), where a floor of 0 is a ReLU.
// x: (n, h + 2, w + 2, c) with zero halo; w: (9 c + 1, k), the bias its last row;
// y: (n, h + 2 out_halo, w + 2 out_halo, k), its halo left alone.
// Method: common/conv_tiled.wgsl.
fn source(i: u32) -> vec4<f32> {
    return load_x(i);
}

fn weight(i: u32) -> vec4<f32> {
    return load_w(i);
}

fn store(n: u32, row: u32, column: u32, quad: u32, value: vec4<f32>) {
    let d = dims;
    let bias = load_w(36u * d.in_quads * d.out_quads + quad);
    let rows = d.height + 2u * d.out_halo;
    let columns = d.width + 2u * d.out_halo;
    let pixel = (n * rows + row + d.out_halo) * columns + column + d.out_halo;
    store_y(pixel * d.out_quads + quad, max(value + bias, vec4<f32>(d.floor)));
}

//@ include "common/conv_tiled.wgsl"
