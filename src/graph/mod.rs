//! From an architecture table to a network on a device: layers, operations, memory plan, recorded
//! passes.

mod architecture;
mod augmented;
mod backward;
mod check;
mod chosen;
mod error;
mod explain;
mod fill;
mod input;
mod layer;
mod lower;
mod memory;
mod network;
mod operations;
mod parameter;
mod plan;
mod program;
mod scratch;
mod setting;
mod source;
mod tune;
mod tuner;
mod update;

pub use architecture::{Architecture, Block, Builder};
pub use check::Checked;
pub use chosen::Chosen;
pub use error::GraphError;
pub use explain::Explained;
pub use fill::Fill;
pub use layer::Layer;
pub use lower::{METRIC_SLOTS, Pass, SourceShape};
pub use memory::plan;
pub use network::{Network, NetworkOptions};
pub use operations::{Operation, operations};
pub use parameter::Parameter;
pub use plan::MemoryPlan;
pub use program::{Batch, HostTimes, LaunchInfo, LaunchTime, Program, TimedLaunch, TimedRun};
pub use source::{ImageSource, Pixels, ResizeFilter};
pub use tune::{Candidate, Dropped, TuneTask, Tuned, choices_of, tune_tasks};
pub use tuner::tune;
