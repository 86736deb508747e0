// Gradient of a 3x3 convolution's input by Winograd's F(4x4, 3x3), masked by the ReLU that made this
// input: dx = (x > 0) * (dy * flipped w). source: dy; u: the flipped filters, transformed; seen: x;
// output: dx. Method: common/winograd_shuffle.wgsl.
//@ include "common/winograd_store.wgsl"
//@ include "common/winograd_shuffle.wgsl"
