// Forward 3x3 convolution with bias by Winograd's F(4x4, 3x3), filters transformed before:
// y = max(x * w + bias, floor), where a floor of 0 is a ReLU. source: x; seen: not read; output: y.
// Method: common/winograd_tiled.wgsl.
//@ include "common/winograd_store.wgsl"
//@ include "common/winograd_tiled.wgsl"
