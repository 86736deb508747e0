// Forward 3x3 convolution with bias by Winograd's F(2 x 2, 3x3): y = max(x * w + bias, floor), where a
// floor of 0 is a ReLU.
// x: (n, h + 2, w + 2, c) with zero halo; u: the transformed filters; w: (9 c + 1, k), of which the
// last row, the bias, is read; y: (n, h + 2 out_halo, w + 2 out_halo, k), its halo left alone.
// Method: common/winograd_shuffle.wgsl.
fn source(i: u32) -> vec4<f32> {
    return load_x(i);
}

fn weight(i: u32) -> vec4<f32> {
    return load_u(i);
}

//@ include "common/conv_forward_store.wgsl"
//@ include "common/winograd_shuffle.wgsl"
