// Forward 3x3 convolution with bias by Winograd's F(4x4, 3x3): y = max(x * w + bias, floor), where a
// floor of 0 is a ReLU. source: x; u: the transformed filters and the bias; seen: not read; output: y.
// Method: common/winograd_shuffle.wgsl.
//@ include "common/winograd_store.wgsl"
//@ include "common/winograd_shuffle.wgsl"
