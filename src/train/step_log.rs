//! The loss of each training step as a file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Progress, TrainError};

/// A CSV file `step,loss` with a row a training step: its number from 0, and the mean cross-entropy
/// of its batch in nats before the update, with all digits.
#[derive(Debug)]
pub struct StepLog {
    path: PathBuf,
    file: BufWriter<File>,
}

impl StepLog {
    /// Makes the file and writes its header.
    ///
    /// # Errors
    /// [`TrainError::Create`] if it cannot be made.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        let create = |source| TrainError::Create { path: path.to_owned(), source };
        let mut file = BufWriter::new(File::create(path).map_err(create)?);
        writeln!(file, "step,loss").map_err(create)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends the step that `progress` tells of.
    ///
    /// # Errors
    /// [`TrainError::Write`] if it cannot be written.
    pub fn record(&mut self, progress: &Progress) -> Result<(), TrainError> {
        let (step, loss) = (progress.step, progress.batch.loss());
        let written = writeln!(self.file, "{step},{loss}").and_then(|()| self.file.flush());
        written.map_err(|source| TrainError::Write { path: self.path.clone(), source })
    }
}
