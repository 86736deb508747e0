//! What each epoch of a run measured, and `history.csv`, the file that keeps it.
//!
//! The file grows by one row as an epoch ends; each row is written by one call and synced, so a
//! killed run loses no finished epoch. A row that a power cut left unfinished has no line end and
//! is dropped when the run is resumed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::files::write_beside;

/// The columns of `history.csv`, in order.
pub const COLUMNS: [&str; 7] =
    ["epoch", "train_loss", "train_acc", "val_loss", "val_acc", "seconds", "images_per_s"];

/// What one epoch measured. A value that was not measured is NaN.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Mean cross-entropy over the training images, in nats, while they were trained on.
    pub train_loss: f64,
    /// Fraction of the training images classified correctly, 0 to 1.
    pub train_acc: f64,
    /// Mean cross-entropy over the validation images after the epoch, in nats.
    pub val_loss: f64,
    /// Fraction of the validation images classified correctly, 0 to 1.
    pub val_acc: f64,
    /// Wall time of the epoch, validation included, in seconds.
    pub seconds: f64,
    /// Training images per second while training, validation left out.
    pub images_per_s: f64,
}

/// A loss for people: four decimals, or few digits and an exponent where a run diverged.
///
/// ```
/// use vgg_wgpu::train::history::loss_text;
/// assert_eq!(loss_text(2.30258), "2.3026");
/// assert_eq!(loss_text(7.7055e28), "7.71e28");
/// ```
pub fn loss_text(loss: f64) -> String {
    if loss.abs() < 1e4 { format!("{loss:.4}") } else { format!("{loss:.2e}") }
}

impl EpochRecord {
    /// The values of the row, in the order of [`COLUMNS`].
    fn fields(&self) -> [String; COLUMNS.len()] {
        [
            self.epoch.to_string(),
            number(self.train_loss),
            number(self.train_acc),
            number(self.val_loss),
            number(self.val_acc),
            number(self.seconds),
            number(self.images_per_s),
        ]
    }
}

/// The epochs of a run, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// One record an epoch, epochs rising.
    pub epochs: Vec<EpochRecord>,
}

impl History {
    /// The epoch that told the validation images apart best; of equal ones the one with the least loss,
    /// and of these the first.
    pub fn best(&self) -> Option<&EpochRecord> {
        let better = |best: &EpochRecord, other: &EpochRecord| {
            let by_accuracy = other.val_acc.total_cmp(&best.val_acc);
            by_accuracy.then(best.val_loss.total_cmp(&other.val_loss)).is_gt()
        };
        self.epochs.iter().reduce(|best, other| if better(best, other) { other } else { best })
    }

    /// Reads a `history.csv`. A file with a header and no rows is an empty history.
    ///
    /// # Errors
    /// [`HistoryError`] if the file cannot be read, has other columns than [`COLUMNS`], or holds
    /// a value that is no number or an epoch that does not rise; each names file, line and column.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        let file = File::open(path).map_err(|source| HistoryError::io("open", path, source))?;
        parse(path, file)
    }
}

/// Appends rows to a `history.csv`.
///
/// ```
/// use vgg_wgpu::train::history::{EpochRecord, History, HistoryWriter};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = &folder.path().join("history.csv");
/// let record = EpochRecord {
///     epoch: 1,
///     train_loss: 0.5,
///     train_acc: 0.75,
///     val_loss: f64::INFINITY,
///     val_acc: 0.25,
///     seconds: 60.0,
///     images_per_s: 1000.0,
/// };
/// HistoryWriter::create(path)?.append(&record)?;
/// assert_eq!(History::read(path)?.epochs, [record]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct HistoryWriter {
    path: PathBuf,
    file: File,
    /// The header is written with the first row, so a run that ends earlier leaves no header.
    header_due: bool,
}

impl HistoryWriter {
    /// Starts an empty history at `path`, replacing a file that is there.
    ///
    /// # Errors
    /// [`HistoryError::Io`] if the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, HistoryError> {
        let file = File::create(path).map_err(|source| HistoryError::io("create", path, source))?;
        Ok(Self { path: path.to_owned(), file, header_due: true })
    }

    /// Opens the history of a run that goes on after `finished` epochs, and returns its rows.
    ///
    /// Rows of later epochs are dropped, since the run trains these again, and so is a last row
    /// without a line end, which a crash cut short. A missing file is an empty history.
    ///
    /// # Errors
    /// [`HistoryError`] if the file cannot be read, is no history, or cannot be rewritten.
    pub fn resume(path: &Path, finished: u32) -> Result<(Self, History), HistoryError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(HistoryError::io("read", path, source)),
        };
        let whole_rows = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut history = match &bytes[..whole_rows] {
            [] => History::default(),
            rows => parse(path, rows)?,
        };
        history.epochs.retain(|record| record.epoch <= finished);

        let mut kept = Vec::new();
        for (index, record) in history.epochs.iter().enumerate() {
            kept.extend(encode(path, record, index == 0)?);
        }
        write_beside(path, &kept).map_err(|source| HistoryError::io("rewrite", path, source))?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(|source| HistoryError::io("open", path, source))?;
        let header_due = history.epochs.is_empty();
        Ok((Self { path: path.to_owned(), file, header_due }, history))
    }

    /// Appends one row, with the header before the first, and waits until it is on the disk.
    ///
    /// # Errors
    /// [`HistoryError::Io`] if writing or syncing fails, for example on a full disk.
    pub fn append(&mut self, record: &EpochRecord) -> Result<(), HistoryError> {
        // One call a row: a kill between two calls would leave half a row.
        let row = encode(&self.path, record, self.header_due)?;
        self.file
            .write_all(&row)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| HistoryError::io("write", &self.path, source))?;
        self.header_due = false;
        Ok(())
    }
}

/// Why a history could not be read or written.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The operating system refused an operation on the file.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: open, create, read, write or rewrite.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is not CSV in UTF-8.
    #[error("{} is not readable as CSV", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The reader's error, with the line.
        source: csv::Error,
    },
    /// The first line is not the header of a history.
    #[error(
        "{} is no history: its columns are `{found}`, expected `{}`",
        path.display(), COLUMNS.join(",")
    )]
    Header {
        /// The file.
        path: PathBuf,
        /// The first line's columns, joined by commas and cut to a readable length.
        found: String,
    },
    /// A row has too few or too many values.
    #[error("{}:{line}: {found} values, expected {}", path.display(), COLUMNS.len())]
    Width {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Number of values in the row.
        found: usize,
    },
    /// A value is no number of its column's kind.
    #[error("{}:{line}: column `{column}` holds `{found}`, expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// The value, cut to a readable length.
        found: String,
        /// What the column holds.
        expected: &'static str,
    },
    /// An epoch does not come after the one of the row before.
    #[error("{}:{line}: column `epoch` holds {epoch} after {previous}", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// The epoch of this row.
        epoch: u32,
        /// The epoch of the row before.
        previous: u32,
    },
}

impl HistoryError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

/// Six decimals, or seven significant digits where six decimals would lose the value or run long;
/// NaN and infinity as `NaN`, `inf` and `-inf`, which parse back.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    let fixed = magnitude == 0.0 || !magnitude.is_finite() || (1e-3..1e9).contains(&magnitude);
    if fixed { format!("{value:.6}") } else { format!("{value:.6e}") }
}

/// One row as bytes, with the header before it where `header` says so.
fn encode(path: &Path, record: &EpochRecord, header: bool) -> Result<Vec<u8>, HistoryError> {
    let fail = |source| HistoryError::Csv { path: path.to_owned(), source };
    let mut writer = csv::Writer::from_writer(Vec::new());
    if header {
        writer.write_record(COLUMNS).map_err(fail)?;
    }
    writer.write_record(record.fields()).map_err(fail)?;
    writer.into_inner().map_err(|error| HistoryError::io("write", path, error.into_error()))
}

/// Reads a history from `input`; `path` is for the errors only.
fn parse(path: &Path, input: impl io::Read) -> Result<History, HistoryError> {
    // Flexible, since the check of the width below says more than the crate's own.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
    let fail = |source| HistoryError::Csv { path: path.to_owned(), source };
    let header = reader.headers().map_err(fail)?;
    if header != COLUMNS[..] {
        let found = shorten(&header.iter().collect::<Vec<_>>().join(","));
        return Err(HistoryError::Header { path: path.to_owned(), found });
    }
    let mut history = History::default();
    for row in reader.records() {
        let row = row.map_err(fail)?;
        let line = row.position().map_or(0, csv::Position::line);
        let record = Row { path, line, values: &row }.record()?;
        if let Some(previous) = history.epochs.last()
            && record.epoch <= previous.epoch
        {
            let (path, epoch, previous) = (path.to_owned(), record.epoch, previous.epoch);
            return Err(HistoryError::Order { path, line, epoch, previous });
        }
        history.epochs.push(record);
    }
    Ok(history)
}

/// A row with the place it came from.
struct Row<'a> {
    path: &'a Path,
    line: u64,
    values: &'a StringRecord,
}

impl Row<'_> {
    fn record(&self) -> Result<EpochRecord, HistoryError> {
        if self.values.len() != COLUMNS.len() {
            let (path, line, found) = (self.path.to_owned(), self.line, self.values.len());
            return Err(HistoryError::Width { path, line, found });
        }
        Ok(EpochRecord {
            epoch: self.epoch()?,
            train_loss: self.float(1)?,
            train_acc: self.float(2)?,
            val_loss: self.float(3)?,
            val_acc: self.float(4)?,
            seconds: self.float(5)?,
            images_per_s: self.float(6)?,
        })
    }

    fn epoch(&self) -> Result<u32, HistoryError> {
        let epoch = self.text(0).parse().ok().filter(|&epoch| epoch >= 1);
        epoch.ok_or_else(|| self.wrong(0, "a whole number from 1"))
    }

    fn float(&self, column: usize) -> Result<f64, HistoryError> {
        self.text(column).parse().map_err(|_| self.wrong(column, "a number, NaN or inf"))
    }

    fn text(&self, column: usize) -> &str {
        self.values.get(column).unwrap_or_default().trim()
    }

    fn wrong(&self, column: usize, expected: &'static str) -> HistoryError {
        let (path, line) = (self.path.to_owned(), self.line);
        let found = shorten(self.text(column));
        HistoryError::Value { path, line, column: COLUMNS[column], found, expected }
    }
}

/// The start of a text from a file, short enough for a message.
fn shorten(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
