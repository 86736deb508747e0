//! The loss of each training step as a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Progress, TrainError};
use crate::files::write_beside;

const HEADER: &str = "step,loss";

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
        writeln!(file, "{HEADER}").map_err(create)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Opens the log of a run that goes on with step `next`: rows of it and of later ones are dropped,
    /// since the run takes these steps again, and so is a last row without a line end. A file that is
    /// not there is made.
    ///
    /// # Errors
    /// [`TrainError::Write`] if it cannot be read or written.
    pub fn resume(path: &Path, next: u32) -> Result<Self, TrainError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Self::create(path),
            Err(source) => return Err(TrainError::Write { path: path.to_owned(), source }),
        };
        let is_before = |line: &&str| {
            let step = line.split(',').next().and_then(|step| step.parse::<u32>().ok());
            line.ends_with('\n') && step.is_some_and(|step| step < next)
        };
        let kept: String = text.split_inclusive('\n').filter(is_before).collect();
        let rewritten = write_beside(path, format!("{HEADER}\n{kept}").as_bytes());
        let file = rewritten.and_then(|()| OpenOptions::new().append(true).open(path));
        let file = file.map_err(|source| TrainError::Write { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
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
