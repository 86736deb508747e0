//! What a run shows in TensorBoard.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, ensure};
use clap::Args;
use vgg_wgpu::data::permutation;
use vgg_wgpu::graph::ResizeFilter;
use vgg_wgpu::shape::FeatureMap;
use vgg_wgpu::train::{Sample, TensorBoard};

use super::sets::Images;

/// Images that are shown.
const SHOWN: usize = 8;

// Whether events are written, and where.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Results")]
pub struct BoardArgs {
    /// Write events for TensorBoard to this folder [default: the run folder]: loss, accuracy and learning
    /// rate, histograms of weights and gradients after each epoch, and some images as the network sees
    /// them
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    tensorboard: Option<Option<PathBuf>>,
}

impl BoardArgs {
    /// True if gradients are to be read.
    pub fn is_wanted(&self) -> bool {
        self.tensorboard.is_some()
    }

    /// Fails if the folder holds events of another run, which TensorBoard would show as one.
    pub fn check(&self, run: &Path) -> Result<()> {
        let taken = self.folder(run).filter(|folder| TensorBoard::is_in(folder));
        ensure!(
            taken.is_none(),
            "{} holds events of another run; --tensorboard DIR names another folder",
            taken.unwrap_or(run).display()
        );
        Ok(())
    }

    /// Starts the events with the images that the first epoch begins with; `order` tells the seed of its
    /// order, if there is one.
    pub fn open(
        &self,
        run: &Path,
        images: &Images,
        classes: &[String],
        (input, filter): (FeatureMap, ResizeFilter),
        order: Option<u64>,
    ) -> Result<Option<TensorBoard>> {
        let Some(folder) = self.folder(run) else { return Ok(None) };
        let places = match order {
            Some(seed) => permutation(images.len(), seed, 1),
            None => (0..images.len() as u32).collect(),
        };
        let sample = |&place: &u32| {
            Sample::of(images.set(), place as usize, input, filter).map_err(Error::from_boxed)
        };
        let samples = places.iter().take(SHOWN).map(sample).collect::<Result<Vec<_>>>()?;
        let mut board = TensorBoard::create(folder)?;
        board.images(&samples, classes)?;
        Ok(Some(board))
    }

    /// Goes on with the events of a run at a training step, in an epoch.
    pub fn go_on(&self, run: &Path, (step, epoch): (u32, u32)) -> Result<Option<TensorBoard>> {
        let folder = self.folder(run);
        Ok(folder.map(|folder| TensorBoard::resume(folder, step, epoch)).transpose()?)
    }

    fn folder<'a>(&'a self, run: &'a Path) -> Option<&'a Path> {
        self.tensorboard.as_ref().map(|folder| folder.as_deref().unwrap_or(run))
    }
}
