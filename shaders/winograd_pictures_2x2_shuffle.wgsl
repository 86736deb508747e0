// A network's first layer from its 8-bit images: resized bilinearly and normalised as
// `resize_bilinear` does, forward 3x3 convolution with bias by Winograd's F(2x2, 3x3), and
// y = max(x * w + bias, floor), where a floor of 0 is a ReLU. The resized images are stored nowhere;
// POOLED: nor are the positions of maxima, which only training reads.
// order: (samples) u32; pixels: bytes of `count` images (count, source_height, source_width,
// channels) packed in u32, the whole set; u: the transformed filters and the bias; output: y.
// Method: common/winograd_shuffle.wgsl, common/pictures_window.wgsl.
//@ include "common/source_place.wgsl"
//@ include "common/winograd_store.wgsl"
//@ include "common/winograd_shuffle.wgsl"
