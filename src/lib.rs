//! Trains and runs VGG networks on any GPU: forward and backward passes are WGSL compute shaders that
//! run through [wgpu](https://docs.rs/wgpu) on Vulkan, Metal, DX12 and OpenGL.
//!
//! A network is described by an [`Architecture`](graph::Architecture), checked before anything is
//! allocated:
//!
//! ```
//! use vgg_wgpu::graph::{Architecture, GraphError};
//!
//! let small = Architecture::builder().table("vgg11")?.ratio(4).input(1, 224, 224).build()?;
//! assert_eq!(small.parameters(), 43_093_322);
//! // Five blocks halve the image five times.
//! let error = Architecture::builder().table("vgg11")?.input(1, 16, 16).build().unwrap_err();
//! assert!(error.to_string().contains("block 5"));
//! # Ok::<(), GraphError>(())
//! ```
//!
//! Put on a device as a [`Network`](graph::Network) and given images, it is trained by a
//! [`Trainer`](train::Trainer):
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use vgg_wgpu::data;
//! use vgg_wgpu::gpu::{Gpu, GpuOptions};
//! use vgg_wgpu::graph::{Architecture, Network, NetworkOptions};
//! use vgg_wgpu::ops::Optimizer;
//! use vgg_wgpu::train::{self, Card, FitOptions, Init, RunFolder, Trainer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let images = data::embedded()?;
//! let architecture = Architecture::builder().table("1x16,1x32,2x64")?.input(1, 32, 32).build()?;
//! let gpu = Arc::new(Gpu::open(&GpuOptions::default())?);
//! let optimizer = Optimizer::sgd(0.9);
//! let options = NetworkOptions { batch: 64, optimizer, ..NetworkOptions::default() };
//! let network = Network::new(gpu, architecture, options)?;
//! train::initialise(&network, Init::Kaiming, 42)?;
//!
//! let mut trainer = Trainer::new(network, &images.train, &images.test)?;
//! let fit = FitOptions {
//!     epochs: 4, batch: 64, learning_rate: 0.02, seed: 42, ..Default::default()
//! };
//! // Anything that is an `Observer` may follow a run; this one keeps it on disk.
//! let mut folder = RunFolder::create("runs/mine".as_ref(), "", "mine", Card::of(&images.classes))?;
//! let history = trainer.fit(&fit, &mut folder)?;
//! println!("{:?}", history.epochs.last());
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! - [`data`]: sets of labelled images: found, downloaded, read and checked.
//! - [`graph`]: from an architecture to a network on a device: memory plan, programs that run batches.
//! - [`train`]: initial weights, the loop, and what a run leaves behind.
//! - [`weights`]: model files, in the names and layouts that PyTorch's users expect.
//! - [`ops`], [`kernel`], [`shape`]: the operations with their references, how their shaders become
//!   launches, and the layouts of tensors. For those who add a kernel.
//! - [`resample`]: how Pillow resizes 8-bit images.
//! - [`gpu`]: adapters and the device.
//!
//! Losses are in nats, times in seconds, memory in bytes, images are `[count, height, width,
//! channels]` of 8 bits. Every family of modules has an error enum of its own; none of them panics on
//! bad input or on a failing device.

pub mod data;
mod files;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod ops;
pub mod resample;
pub mod shape;
pub mod train;
pub mod weights;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
