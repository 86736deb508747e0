//! The folder of a run.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::history::{EpochRecord, History, HistoryWriter};
use super::{
    Card, FitOptions, Observer, Reached, RunState, TrainError, Trainer, model, plot,
    save_checkpoint,
};
use crate::files::write_beside;
use crate::graph::Network;
use crate::weights::CardMetrics;

/// The file that a run goes on from.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// A folder that gathers what a run leaves: `config.toml`, `history.csv`, `curves.svg`,
/// `curves.png`, `model.safetensors` with the weights after the last epoch, `best.safetensors` with
/// those after the epoch of the highest validation accuracy, and `checkpoint.safetensors`, from which
/// it can go on.
///
/// All but the first are brought up to date after each epoch, each as a whole, so a run that is
/// stopped keeps the epochs it finished. The checkpoint comes last, and what a run that goes on from
/// it does again replaces what it had done after it.
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
        let files = ["config.toml", "history.csv", "model.safetensors", CHECKPOINT];
        if files.iter().any(|file| path.join(file).exists()) {
            return Err(TrainError::FolderTaken { path: path.to_owned() });
        }
        fs::create_dir_all(path).map_err(create(path))?;
        write_config(path, config)?;
        let writer = HistoryWriter::create(&path.join("history.csv"))?;
        Ok(Self::of(path, title, card, (writer, History::default())))
    }

    /// Opens the folder of a run that goes on after the epochs of `history`; others are dropped from
    /// `history.csv`.
    ///
    /// # Errors
    /// [`TrainError`] if a file cannot be read or written.
    pub fn resume(
        path: &Path,
        config: &str,
        title: &str,
        card: Card,
        history: &History,
    ) -> Result<Self, TrainError> {
        let finished = history.epochs.len() as u32;
        let (writer, _) = HistoryWriter::resume(&path.join("history.csv"), finished)?;
        write_config(path, config)?;
        let mut folder = Self::of(path, title, card, (writer, history.clone()));
        if let Some(last) = history.epochs.last() {
            folder.describe(last);
        }
        Ok(folder)
    }

    fn of(
        path: &Path,
        title: &str,
        card: Card,
        (writer, history): (HistoryWriter, History),
    ) -> Self {
        Self { path: path.to_owned(), title: title.to_owned(), card, writer, history }
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
        let [weights, best, svg, png] =
            ["model.safetensors", "best.safetensors", "curves.svg", "curves.png"].map(file);
        self.describe(record);
        self.history.epochs.push(*record);
        let model = model::model_of(network, &self.card)?;
        if self.history.best() == Some(record) {
            model.save(&best)?;
        }
        model.save(&weights)?;
        self.writer.append(record)?;
        Ok(plot::write_curves(&self.history, &self.title, &svg, &png)?)
    }

    /// Puts what an epoch measured on the model's card.
    fn describe(&mut self, record: &EpochRecord) {
        let EpochRecord { epoch, train_loss, train_acc, val_loss, val_acc, .. } = *record;
        let metrics = CardMetrics { epoch, train_loss, train_acc, val_loss, val_acc };
        self.card.origin.get_or_insert_default().metrics = Some(metrics);
    }
}

fn create(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.to_owned();
    move |source| TrainError::Create { path, source }
}

fn write_config(path: &Path, config: &str) -> Result<(), TrainError> {
    let file = path.join("config.toml");
    write_beside(&file, config.as_bytes()).map_err(create(&file))
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

    fn save(
        &mut self,
        trainer: &Trainer,
        options: &FitOptions,
        reached: &Reached,
    ) -> Result<(), TrainError> {
        let run = RunState::of(trainer, options, reached);
        save_checkpoint(trainer, &self.card, &run, &self.path.join(CHECKPOINT))
    }
}
