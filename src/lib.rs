//! Train and run VGG networks.
pub mod data;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod ops;
pub mod shape;
pub mod train;
pub mod weights;
