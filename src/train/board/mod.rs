//! What TensorBoard shows of a run.

mod events;
mod histogram;
mod samples;

use std::ops::ControlFlow;
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use self::events::{Event, EventFile, Image, Summary, Value};
use self::histogram::histogram;
use super::history::EpochRecord;
use super::plot::PlotError;
use super::{Card, Observer, Phase, Progress, TrainError, Trainer, gradients_of, model_of};
use crate::weights::Values;

pub use samples::Sample;

/// Tags of what is measured by step; all others count epochs.
const BY_STEP: &str = "step/";

/// Writes events for [TensorBoard](https://github.com/tensorflow/tensorboard): loss, accuracy and learning
/// rate by step (`step/…`), what an [`EpochRecord`] holds by epoch (`epoch/…`), and after each epoch
/// histograms of all parameters (`weights/…`) and of their gradients in the last step (`gradients/…`),
/// under PyTorch's names.
///
/// Gradients that are not stored have no histogram: those of frozen parameters, and those of layers that
/// are updated in place, see [`crate::graph::NetworkOptions::update_in_place`].
#[derive(Debug)]
pub struct TensorBoard {
    file: EventFile,
}

impl TensorBoard {
    /// Starts a file of events in a folder, which is made where it is missing.
    ///
    /// # Errors
    /// [`TrainError::Create`] if it cannot be made.
    pub fn create(folder: &Path) -> Result<Self, TrainError> {
        let create = |(path, source)| TrainError::Create { path, source };
        Ok(Self { file: EventFile::create(folder).map_err(create)? })
    }

    /// Starts a file of events for a run that goes on with the training step of this number, in this
    /// epoch. From the files in the folder what the run does again is dropped: events of these and later
    /// steps and epochs.
    ///
    /// # Errors
    /// [`TrainError::Create`] or [`TrainError::Write`] if a file cannot be made or rewritten.
    pub fn resume(folder: &Path, step: u32, epoch: u32) -> Result<Self, TrainError> {
        let is_before = |event: &Event| {
            let values = event.summary.iter().flat_map(|summary| &summary.value);
            let mut limits = values.map(|value| match value.tag.starts_with(BY_STEP) {
                true => step,
                false => epoch,
            });
            limits.all(|limit| event.step < i64::from(limit))
        };
        for path in events::files_in(folder) {
            events::retain(&path, is_before)
                .map_err(|source| TrainError::Write { path: path.clone(), source })?;
        }
        Self::create(folder)
    }

    /// True if there are files of events in a folder.
    pub fn is_in(folder: &Path) -> bool {
        !events::files_in(folder).is_empty()
    }

    /// Shows images under the names of their classes.
    ///
    /// # Errors
    /// [`TrainError::Plot`] if one cannot be encoded, [`TrainError::Write`] if the file cannot be written.
    pub fn images(&mut self, samples: &[Sample], classes: &[String]) -> Result<(), TrainError> {
        let mut values = Vec::with_capacity(samples.len());
        for (number, sample) in samples.iter().enumerate() {
            let class = classes.get(sample.label as usize).map_or("", |class| class);
            let image = Some(encoded(sample)?);
            values.push(Value { image, ..value(format!("images/{number} {class}")) });
        }
        self.append(0, values)
    }

    fn append(&mut self, step: u32, value: Vec<Value>) -> Result<(), TrainError> {
        let summary = Some(Summary { value });
        let event = Event { step: step.into(), summary, ..Event::default() };
        let written = self.file.append(event);
        written.map_err(|source| TrainError::Write { path: self.file.path().to_owned(), source })
    }
}

impl Observer for TensorBoard {
    fn batch(&mut self, progress: &Progress) -> Result<(), TrainError> {
        let Progress { phase, batch, step, learning_rate, .. } = *progress;
        if phase != Phase::Train {
            return Ok(());
        }
        let measured = [
            ("loss", batch.loss()),
            ("accuracy", batch.accuracy()),
            ("learning_rate", learning_rate.into()),
        ];
        self.append(step, measured.map(|(name, number)| scalar(BY_STEP, name, number)).into())
    }

    fn epoch(
        &mut self,
        trainer: &Trainer,
        record: &EpochRecord,
    ) -> Result<ControlFlow<()>, TrainError> {
        let measured = [
            ("train_loss", record.train_loss),
            ("train_accuracy", record.train_acc),
            ("val_loss", record.val_loss),
            ("val_accuracy", record.val_acc),
            ("seconds", record.seconds),
            ("images_per_s", record.images_per_s),
        ];
        let epoch = record.epoch;
        self.append(epoch, measured.map(|(name, number)| scalar("epoch/", name, number)).into())?;
        let network = trainer.network();
        let model = model_of(network, &Card::default())?;
        for (group, tensors) in
            [("weights", model.tensors()), ("gradients", gradients_of(network)?)]
        {
            // A value an event: together they could be larger than a message of protobuf may be.
            for tensor in tensors {
                let trained = tensor.name.ends_with(".weight") || tensor.name.ends_with(".bias");
                if let (true, Values::F32(values)) = (trained, &tensor.values) {
                    let histo = Some(histogram(values));
                    let tag = format!("{group}/{}", tensor.name);
                    self.append(epoch, vec![Value { histo, ..value(tag) }])?;
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn value(tag: String) -> Value {
    Value { tag, ..Value::default() }
}

fn scalar(group: &str, name: &str, number: f64) -> Value {
    Value { simple_value: Some(number as f32), ..value(format!("{group}{name}")) }
}

/// An image as PNG.
fn encoded(sample: &Sample) -> Result<Image, PlotError> {
    let (height, width) = (sample.height as u32, sample.width as u32);
    let color = match sample.channels {
        1 => ExtendedColorType::L8,
        _ => ExtendedColorType::Rgb8,
    };
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&sample.pixels, width, height, color)?;
    Ok(Image {
        height: height as i32,
        width: width as i32,
        colorspace: sample.channels as i32,
        encoded_image_string: png,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tags and steps of all events of a folder, sorted.
    fn told(folder: &Path) -> Vec<(String, i64)> {
        let mut told = Vec::new();
        for path in events::files_in(folder) {
            events::retain(&path, |event| {
                let values = event.summary.iter().flat_map(|summary| &summary.value);
                told.extend(values.map(|value| (value.tag.clone(), event.step)));
                true
            })
            .unwrap();
        }
        told.sort();
        told
    }

    #[test]
    fn a_run_that_goes_on_drops_what_it_does_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(!TensorBoard::is_in(folder));
        let mut board = TensorBoard::create(folder).unwrap();
        board.append(0, vec![value("images/0".to_owned())]).unwrap();
        for step in 0..6 {
            board.append(step, vec![scalar(BY_STEP, "loss", 1.0)]).unwrap();
        }
        for epoch in 1..=2 {
            board.append(epoch, vec![scalar("epoch/", "val_loss", 1.0)]).unwrap();
        }
        // It stopped in the second epoch, at step 4.
        let mut board = TensorBoard::resume(folder, 4, 2).unwrap();
        board.append(4, vec![scalar(BY_STEP, "loss", 2.0)]).unwrap();
        assert_eq!(events::files_in(folder).len(), 2);
        let told = told(folder);
        let steps = |tag: &str| {
            let same = told.iter().filter(|(found, _)| found == tag);
            same.map(|&(_, step)| step).collect::<Vec<_>>()
        };
        assert_eq!(steps("step/loss"), [0, 1, 2, 3, 4]);
        assert_eq!(steps("epoch/val_loss"), [1]);
        assert_eq!(steps("images/0"), [0]);
    }
}
