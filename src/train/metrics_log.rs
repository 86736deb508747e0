//! `metrics.jsonl`: what each training step and each epoch measured, a JSON object a line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::history::EpochRecord;
use super::{Observer, Phase, Progress, TrainError, Trainer};
use crate::files::write_beside;

/// Appends a line a training step and one an epoch.
///
/// A line is written by one call, so that a run that is killed leaves at most a last line without an
/// end. A value that is no number is `null`.
///
/// ```text
/// {"type":"step","step":0,"epoch":1,"loss":2.31,"accuracy":0.125,"learning_rate":0.05,"images":64,
///  "seconds":0.4,"images_per_s":160.0}
/// {"type":"epoch","step":140,"epoch":1,"train_loss":1.19,"train_accuracy":0.55,"val_loss":0.73,
///  "val_accuracy":0.71,"seconds":39.8,"images_per_s":238.6}
/// ```
///
/// `step` counts the training steps of the run from 0; that of an epoch is its last one. `seconds` of a
/// step are those from the result of the step before, of an epoch all with validation; losses are means
/// in nats.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    /// The last step, and the seconds of its epoch's training at its end.
    last: (u32, f64),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Step {
        step: u32,
        epoch: u32,
        loss: f64,
        accuracy: f64,
        learning_rate: f32,
        images: u64,
        seconds: f64,
        images_per_s: f64,
    },
    Epoch {
        step: u32,
        epoch: u32,
        train_loss: f64,
        train_accuracy: f64,
        val_loss: f64,
        val_accuracy: f64,
        seconds: f64,
        images_per_s: f64,
    },
}

impl MetricsLog {
    /// Starts an empty file, replacing one that is there.
    ///
    /// # Errors
    /// [`TrainError::Create`] if it cannot be made.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        let create = |source| TrainError::Create { path: path.to_owned(), source };
        let file = File::create(path).map_err(create)?;
        Ok(Self { path: path.to_owned(), file, last: (0, 0.0) })
    }

    /// Opens the file of a run that goes on with the training step of this number, after this many
    /// seconds of training in its epoch.
    ///
    /// Lines of this and later steps are dropped, since the run takes these again, and so is what is
    /// no line of such a file, as one that was cut short. A missing file is an empty one.
    ///
    /// # Errors
    /// [`TrainError::Write`] if it cannot be read or rewritten.
    pub fn resume(path: &Path, (step, seconds): (u32, f64)) -> Result<Self, TrainError> {
        let open = || {
            let bytes = match fs::read(path) {
                Err(source) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
                read => read?,
            };
            let whole = bytes.split_inclusive(|&byte| byte == b'\n');
            let whole = whole.filter(|line| line.ends_with(b"\n"));
            let kept: Vec<_> = whole.filter(|line| is_before(line, step)).collect();
            write_beside(path, &kept.concat())?;
            OpenOptions::new().append(true).open(path)
        };
        match open() {
            Ok(file) => Ok(Self { path: path.to_owned(), file, last: (step, seconds) }),
            Err(source) => Err(TrainError::Write { path: path.to_owned(), source }),
        }
    }

    fn append(&mut self, line: &Line) -> Result<(), TrainError> {
        let written = serde_json::to_string(line).map_err(io::Error::from).and_then(|mut line| {
            line.push('\n');
            self.file.write_all(line.as_bytes())
        });
        written.map_err(|source| TrainError::Write { path: self.path.clone(), source })
    }
}

/// True of a line of a step before this one.
fn is_before(line: &[u8], step: u32) -> bool {
    let line: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
    line["step"].as_u64().is_some_and(|of_line| of_line < u64::from(step))
}

impl Observer for MetricsLog {
    fn batch(&mut self, progress: &Progress) -> Result<(), TrainError> {
        let Progress { epoch, phase, batch, step, learning_rate, .. } = *progress;
        if phase != Phase::Train {
            return Ok(());
        }
        let seconds = progress.seconds - self.last.1;
        self.last = (step, progress.seconds);
        self.append(&Line::Step {
            step,
            epoch,
            loss: batch.loss(),
            accuracy: batch.accuracy(),
            learning_rate,
            images: batch.images,
            seconds,
            images_per_s: batch.images as f64 / seconds,
        })
    }

    fn epoch(&mut self, _: &Trainer, record: &EpochRecord) -> Result<ControlFlow<()>, TrainError> {
        self.last.1 = 0.0;
        self.append(&Line::Epoch {
            step: self.last.0,
            epoch: record.epoch,
            train_loss: record.train_loss,
            train_accuracy: record.train_acc,
            val_loss: record.val_loss,
            val_accuracy: record.val_acc,
            seconds: record.seconds,
            images_per_s: record.images_per_s,
        })?;
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Metrics;

    fn progress(step: u32, epoch: u32, seconds: f64) -> Progress {
        let batch = Metrics { loss_sum: 5.0, hits: 1, images: 4 };
        Progress {
            epoch,
            phase: Phase::Train,
            so_far: batch,
            batch,
            step,
            learning_rate: 0.1,
            images: 8,
            seconds,
            waited: 0.0,
        }
    }

    #[test]
    fn a_line_tells_of_its_step_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::create(&path).unwrap();
        log.batch(&progress(0, 1, 2.0)).unwrap();
        log.batch(&progress(1, 1, 2.5)).unwrap();
        log.batch(&Progress { phase: Phase::Validate, ..progress(0, 1, 1.0) }).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let expected = r#"{"type":"step","step":1,"epoch":1,"loss":1.25,"accuracy":0.25,"learning_rate":0.1,"images":4,"seconds":0.5,"images_per_s":8.0}"#;
        assert_eq!(text.lines().nth(1), Some(expected));
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn a_run_that_goes_on_drops_what_it_does_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let line = |kind: &str, step: u32| format!("{{\"type\":\"{kind}\",\"step\":{step}}}\n");
        let kept = [line("step", 0), line("step", 1), line("epoch", 1), line("step", 2)].concat();
        let later = [line("step", 3), line("epoch", 3), "no line\n".to_owned()].concat();
        fs::write(&path, format!("{kept}{later}{{\"type\":\"step\",\"step\":1")).unwrap();
        let mut log = MetricsLog::resume(&path, (3, 0.0)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), kept);
        log.batch(&progress(3, 2, 0.5)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&kept) && text.lines().count() == 5, "{text}");
        // Nothing is there yet, or nothing is to be kept.
        MetricsLog::resume(&folder.path().join("new.jsonl"), (3, 0.0)).unwrap();
        MetricsLog::resume(&path, (0, 0.0)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}
