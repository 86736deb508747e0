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

//@ include "common/conv_forward_store.wgsl"
//@ include "common/conv_tiled.wgsl"
