// Gradient of a 3x3 convolution's filters and bias by the adjoint of Winograd's F(4x4, 3x3), first
// pass: partial = (B^T x B) * (A dy A^T), summed over the tiles of a slot.
// Method: common/winograd_weights_tiled.wgsl.
//@ include "common/slots.wgsl"
//@ include "common/winograd_weights_tiled.wgsl"
