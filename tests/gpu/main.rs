//! Tests of the kernels: each against its f64 reference on this machine's adapter, and all of them
//! through the shader compiler's other back ends.
//!
//! `WGPU_BACKEND` and `WGPU_ADAPTER_NAME` choose the adapter. Without any, tests that need one say
//! so and pass, unless `VGG_REQUIRE_GPU=1`.

mod augment;
mod blocks;
mod device;
mod explain;
#[path = "../oracle/fixtures.rs"]
mod fixtures;
mod gradients;
mod inputs;
mod kernels;
mod networks;
mod optimizers;
mod oracle;
mod overfit;
mod shaders;
mod training;
mod tune;
mod verify;
mod winograd;
