// Gradient of a 3x3 convolution's input, masked by the ReLU that made this input:
// dx = (x > 0) * (dy * flipped w).
// dy: (n, h + 2, w + 2, k) with zero halo; flipped: (9, k, c), the filters turned by 180 degrees with
// channels exchanged; x: (n, h + 2, w + 2, c); dx: (n, h + 2 out_halo, w + 2 out_halo, c), its halo
// left alone.
// Method: common/conv_tiled.wgsl.
fn source(i: u32) -> vec4<f32> {
    return load_dy(i);
}

fn weight(i: u32) -> vec4<f32> {
    return load_flipped(i);
}

//@ include "common/conv_backward_data_store.wgsl"
//@ include "common/conv_tiled.wgsl"
