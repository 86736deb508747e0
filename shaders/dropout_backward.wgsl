// Gradient of dropout: the mask of the forward pass, computed again; see common/dropout.wgsl.
//@ include "common/dropout.wgsl"
