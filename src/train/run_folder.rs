//! The folder of a run.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::history::{EpochRecord, History, HistoryWriter};
use super::{Card, Observer, TrainError, Trainer, model, plot};
use crate::files::write_beside;
use crate::graph::Network;
use crate::weights::CardMetrics;

/// A folder that gathers what a run leaves: `config.toml`, `history.csv`, `curves.svg`,
/// `curves.png` and `model.safetensors`.
///
/// All but the first are brought up to date after each epoch, each as a whole, so a run that is
/// stopped keeps the epochs it finished.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    title: String,
    card: Card,
    writer: HistoryWriter,
    history: History,
}

impl RunFolder {
    /// Makes the folder with its parents and writes `config` to `config.toml`. `title` stands above
    /// the curves; `card` goes into the model, with what each epoch measured.
    ///
    /// # Errors
    /// [`TrainError::FolderTaken`] if there is a run in it, [`TrainError::Create`] if the folder or
    /// a file cannot be made.
    pub fn create(path: &Path, config: &str, title: &str, card: Card) -> Result<Self, TrainError> {
        let files = ["config.toml", "history.csv", "model.safetensors"];
        if files.iter().any(|file| path.join(file).exists()) {
            return Err(TrainError::FolderTaken { path: path.to_owned() });
        }
        let create = |path: &Path| {
            let path = path.to_owned();
            move |source| TrainError::Create { path, source }
        };
        fs::create_dir_all(path).map_err(create(path))?;
        let file = path.join("config.toml");
        write_beside(&file, config.as_bytes()).map_err(create(&file))?;
        Ok(Self {
            path: path.to_owned(),
            title: title.to_owned(),
            card,
            writer: HistoryWriter::create(&path.join("history.csv"))?,
            history: History::default(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps an epoch: model first, so that the history never tells of weights that are not there.
    ///
    /// # Errors
    /// [`TrainError`] if the device fails or a file cannot be written.
    pub fn record(&mut self, network: &Network, record: &EpochRecord) -> Result<(), TrainError> {
        let file = |name| self.path.join(name);
        let EpochRecord { epoch, train_loss, train_acc, val_loss, val_acc, .. } = *record;
        let metrics = CardMetrics { epoch, train_loss, train_acc, val_loss, val_acc };
        self.card.origin.get_or_insert_default().metrics = Some(metrics);
        model::save(network, &self.card, &file("model.safetensors"))?;
        self.writer.append(record)?;
        self.history.epochs.push(*record);
        let (svg, png) = (file("curves.svg"), file("curves.png"));
        Ok(plot::write_curves(&self.history, &self.title, &svg, &png)?)
    }
}

impl Observer for RunFolder {
    fn epoch(
        &mut self,
        trainer: &Trainer,
        record: &EpochRecord,
    ) -> Result<ControlFlow<()>, TrainError> {
        self.record(trainer.network(), record)?;
        Ok(ControlFlow::Continue(()))
    }
}
