// Dropout of a dense layer's outputs; see common/dropout.wgsl.
//@ include "common/dropout.wgsl"
