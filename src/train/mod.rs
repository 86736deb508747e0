//! Training: initial weights, the loop, and what a run leaves behind (its history, the curves drawn
//! from it, the model, and a sentence on what went wrong, if something did).

mod axis;
mod board;
mod checkpoint;
mod compared;
mod confusion;
pub mod diagnosis;
mod error;
mod feed;
mod fit;
pub mod growth;
pub mod history;
mod init;
mod metrics_log;
mod model;
mod observers;
pub mod plot;
mod prefetch;
mod run_folder;
mod schedule;
mod sheet;
mod step_log;
mod trainer;
mod tuned;

pub use crate::ops::Augmentation;
pub use board::{Sample, TensorBoard};
pub use checkpoint::{Checkpoint, RunState, save_checkpoint};
pub use compared::{NamedHistory, write_comparison};
pub use confusion::{ClassScores, Confusion, write_confusion};
pub use error::TrainError;
pub use feed::Feed;
pub use fit::{FitOptions, Next, Observer, Phase, Progress, Reached};
pub use init::Init;
pub use metrics_log::MetricsLog;
pub use model::{Card, architecture_of, gradients_of, initialise, load, model_of, save};
pub use run_folder::{CHECKPOINT, RunFolder};
pub use schedule::{Course, Curve, Schedule};
pub use sheet::{Tile, write_grid, write_sheet};
pub use step_log::StepLog;
pub use trainer::{Metrics, Trainer, TrainerOptions, gradients, logits, logits_of};
pub use tuned::{TunedCache, TunedError, recorded_choices};
