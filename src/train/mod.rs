//! What a training run leaves behind: its history, the curves drawn from it, and a sentence on
//! what went wrong, if something did.

mod axis;
pub mod diagnosis;
pub mod history;
pub mod plot;
