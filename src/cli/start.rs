//! What a run starts from: weights drawn, or those of a file.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, ensure};
use clap::ValueEnum as _;
use serde::{Serialize, Serializer};
use vgg_wgpu::gpu::AdapterFacts;
use vgg_wgpu::graph::{Architecture, Network};
use vgg_wgpu::train::{self, Card};
use vgg_wgpu::weights::{ImportOptions, Model, Origin};

use super::common::say;
use super::model;
use super::network::InitArg;
use super::sets::Opened;
use super::train::TrainArgs;

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
        let file = || Path::new(text).exists().then(|| Self::File(PathBuf::from(text)));
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
}

impl Start {
    /// Reads what `args` name, and checks that it fits the images.
    pub fn new(args: &TrainArgs, opened: &Opened) -> Result<Self> {
        let classes = opened.classes().len();
        let path = match &args.learning.init {
            InitFrom::File(path) => path,
            InitFrom::Drawn(init) => {
                let channels = opened.channels(args.channels)?;
                let architecture = args.network.architecture(channels, classes)?;
                return Ok(Self { architecture, weights: Weights::Drawn(*init) });
            }
        };
        let (resize, head) = (args.network.resize, args.network.head.map(Into::into));
        let options = ImportOptions { resize, head, ..ImportOptions::default() };
        let recognised = model::read(path, &options)?;
        let mut weights = recognised.model;
        if let Some(dropout) = args.network.dropout {
            weights.description.dropout = dropout;
        }
        let architecture = train::architecture_of(&weights.description)?;
        let (found, inputs) = (architecture.classes(), architecture.input().channels);
        let file = path.display();
        // Pictures are given the channels that the weights were learnt with.
        let channels = opened.channels(args.channels.or(Some(inputs)))?;
        ensure!(inputs == channels, "{file} reads {inputs} channels, the images have {channels}");
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
        Ok(Self { architecture, weights: Weights::Read(Box::new(weights)) })
    }

    /// Sets the weights of the network.
    pub fn fill(&self, network: &Network, args: &TrainArgs) -> Result<()> {
        match &self.weights {
            Weights::Drawn(init) => {
                train::initialise(network, (*init).into(), args.learning.seed)?;
            }
            Weights::Read(model) => {
                train::load(network, model)?;
                say(format!("weights   {}", args.learning.init))?;
            }
        }
        Ok(())
    }

    /// The pixels that the shorter side of a picture is given before the middle is cut out, where
    /// weights were learnt so.
    pub fn shorter(&self) -> Option<usize> {
        match &self.weights {
            Weights::Drawn(_) => None,
            Weights::Read(model) => model.description.preprocessing.resize,
        }
    }

    /// What the model of the run tells of itself; `shorter`: how pictures are to be resized for it.
    pub fn card(&self, classes: &[String], shorter: Option<usize>, facts: &AdapterFacts) -> Card {
        let description = match &self.weights {
            Weights::Drawn(_) => None,
            Weights::Read(model) => Some(&model.description),
        };
        let before = description.and_then(|description| description.origin.clone());
        let imported_from = before.and_then(|origin| origin.imported_from);
        let adapter = Some(facts.name.clone());
        let origin = model::signed(Origin { adapter, imported_from, ..Origin::default() });
        Card { classes: classes.to_vec(), resize: shorter, origin: Some(origin) }
    }
}
