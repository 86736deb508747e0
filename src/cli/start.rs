//! What a run starts from: weights drawn, or those of a file.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, ensure};
use clap::ValueEnum as _;
use serde::{Serialize, Serializer};
use vgg_wgpu::gpu::AdapterFacts;
use vgg_wgpu::graph::{Architecture, Network};
use vgg_wgpu::train::{self, CHECKPOINT, Card, Checkpoint, RunState};
use vgg_wgpu::weights::{Description, ImportOptions, Model, Origin};

use super::common::say;
use super::model;
use super::network::InitArg;
use super::sets::Opened;
use super::training::{LearningArgs, TrainingArgs};

/// What `--init` names.
#[derive(Debug, Clone)]
pub enum InitFrom {
    Drawn(InitArg),
    File(PathBuf),
}

impl FromStr for InitFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let drawn = InitArg::from_str(text, true).map(Self::Drawn);
        // A file that is not there is told of when it is read; a run that goes on does not read it.
        let is_path = text.contains(['/', '\\', '.']) || Path::new(text).exists();
        let file = || is_path.then(|| Self::File(PathBuf::from(text)));
        drawn.ok().or_else(file).ok_or_else(|| "neither xavier nor kaiming nor a file".to_owned())
    }
}

impl Display for InitFrom {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drawn(InitArg::Xavier) => f.write_str("xavier"),
            Self::Drawn(InitArg::Kaiming) => f.write_str("kaiming"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Serialize for InitFrom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The network of a run, and its weights where they are read.
pub struct Start {
    pub architecture: Architecture,
    weights: Weights,
}

enum Weights {
    Drawn(InitArg),
    Read(Box<Model>),
    Kept(Box<Checkpoint>),
}

impl Start {
    /// Reads what `args` name, or the run to go on with, and checks that it fits the images.
    pub fn new(args: &TrainingArgs, resume: Option<&Path>, opened: &Opened) -> Result<Self> {
        let network = &args.network;
        // A run that was stopped before it was kept begins again.
        let checkpoint = resume.map(|run| run.join(CHECKPOINT));
        let checkpoint = checkpoint.filter(|file| file.exists());
        let weights = match (checkpoint, &args.learning.init) {
            (Some(file), _) => Weights::Kept(Box::new(Checkpoint::read(&file)?)),
            (None, InitFrom::Drawn(init)) => Weights::Drawn(*init),
            (None, InitFrom::File(path)) => {
                let (resize, head) = (network.resize, network.head.map(Into::into));
                let options = ImportOptions { resize, head, ..ImportOptions::default() };
                Weights::Read(Box::new(model::read(path, &options)?.model))
            }
        };
        let (description, file) = match &weights {
            Weights::Drawn(_) => {
                let channels = opened.channels(args.channels)?;
                let architecture = network.architecture(channels, opened.classes().len())?;
                return Ok(Self { architecture, weights });
            }
            Weights::Read(model) => (&model.description, args.learning.init.to_string()),
            Weights::Kept(kept) => (&kept.model.description, "the run".to_owned()),
        };
        let dropout = network.dropout.unwrap_or(description.dropout);
        let architecture = train::architecture_of(&Description { dropout, ..description.clone() })?;
        check(&architecture, &file, args, opened)?;
        Ok(Self { architecture, weights })
    }

    /// Sets the weights of the network.
    pub fn fill(&self, network: &Network, learning: &LearningArgs) -> Result<()> {
        match &self.weights {
            Weights::Drawn(init) => {
                train::initialise(network, (*init).into(), learning.seed)?;
            }
            Weights::Read(model) => {
                train::load(network, model)?;
                say(format!("weights   {}", learning.init))?;
            }
            Weights::Kept(kept) => kept.restore(network)?,
        }
        Ok(())
    }

    /// What the run that goes on was doing; of one that begins nothing.
    pub fn kept(&self) -> Option<&RunState> {
        match &self.weights {
            Weights::Kept(kept) => Some(&kept.run),
            Weights::Drawn(_) | Weights::Read(_) => None,
        }
    }

    /// The pixels that the shorter side of a picture is given before the middle is cut out, where
    /// weights were learnt so.
    pub fn shorter(&self) -> Option<usize> {
        self.description().and_then(|description| description.preprocessing.resize)
    }

    /// What the model of the run tells of itself; `shorter`: how pictures are to be resized for it.
    pub fn card(&self, classes: &[String], shorter: Option<usize>, facts: &AdapterFacts) -> Card {
        let before = self.description().and_then(|description| description.origin.clone());
        let imported_from = before.and_then(|origin| origin.imported_from);
        let adapter = Some(facts.name.clone());
        let origin = model::signed(Origin { adapter, imported_from, ..Origin::default() });
        Card { classes: classes.to_vec(), resize: shorter, origin: Some(origin) }
    }

    fn description(&self) -> Option<&Description> {
        match &self.weights {
            Weights::Drawn(_) => None,
            Weights::Read(model) => Some(&model.description),
            Weights::Kept(kept) => Some(&kept.model.description),
        }
    }
}

/// Fails unless the network of `file` fits the images, and is the one that flags ask for.
fn check(
    architecture: &Architecture,
    file: &str,
    args: &TrainingArgs,
    opened: &Opened,
) -> Result<()> {
    let (found, input) = (architecture.classes(), architecture.input());
    let classes = opened.classes().len();
    // Pictures are given the channels that the weights were learnt with.
    let channels = opened.channels(args.channels.or(Some(input.channels)))?;
    ensure!(
        input.channels == channels,
        "{file} reads {} channels, the images have {channels}",
        input.channels
    );
    ensure!(
        found == classes,
        "{file} tells {found} classes apart, the images {classes}; `vgg-wgpu import {file} \
         --classes {classes}` gives it a new last layer"
    );
    if args.network.arch.is_some() || args.network.ratio.is_some() {
        let asked = args.network.architecture(channels, classes)?;
        let (asked, found) = (asked.to_string(), architecture.to_string());
        ensure!(asked == found, "{file} is a network of {found}, not {asked}");
    }
    let (resize, height) = (args.network.resize.unwrap_or(input.height), input.height);
    ensure!(resize == height, "{file} reads images of {height} px, not {resize}");
    Ok(())
}
