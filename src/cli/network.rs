//! Flags that describe a network and what it is to do.

use std::fmt::{self, Display, Formatter};

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use vgg_wgpu::gpu::AdapterFacts;
use vgg_wgpu::graph::{Architecture, GraphError, NetworkOptions, Pass};
use vgg_wgpu::shape::Head;
use vgg_wgpu::train::Init;

use super::common::{AdapterArgs, MemoryArgs, positive};
use super::optimizer::OptimizerArgs;

// Plain comments on these groups: clap would take doc comments for the help of the subcommand.

// Which network.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// vgg11, vgg13, vgg16, vgg19, or blocks as CONVOLUTIONSxCHANNELS: 1x64,1x128,2x256; with _bn at
    /// the end for batch normalisation [default: vgg11]
    #[arg(long, value_name = "TABLE", value_parser = table)]
    pub arch: Option<String>,
    /// Divide the channels of every block by this [default: 1]
    #[arg(long, value_name = "N")]
    pub ratio: Option<usize>,
    /// Resolution that images are resized to, in pixels [default: 224]
    #[arg(long, value_name = "PIXELS")]
    pub resize: Option<usize>,
    /// What stands between the blocks and the dense layers [default: flatten]
    #[arg(long, value_enum)]
    pub head: Option<HeadArg>,
    /// Share of the hidden dense layers' outputs dropped in training, in [0, 1) [default: 0.5]
    #[arg(long, value_name = "SHARE")]
    pub dropout: Option<f32>,
    /// Batch normalisation takes its statistics over groups of N images of a batch, which so can be
    /// cut [default: over the whole batch]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub ghost_batch_norm: Option<usize>,
}

impl NetworkArgs {
    /// The table of blocks.
    pub fn arch(&self) -> &str {
        self.arch.as_deref().unwrap_or("vgg11")
    }

    /// What channels are divided by.
    pub fn ratio(&self) -> usize {
        self.ratio.unwrap_or(1)
    }

    /// The resolution in pixels.
    pub fn resize(&self) -> usize {
        self.resize.unwrap_or(224)
    }

    /// The network that the flags describe.
    pub fn architecture(
        &self,
        channels: usize,
        classes: usize,
    ) -> Result<Architecture, GraphError> {
        Architecture::builder()
            .table(self.arch())?
            .ratio(self.ratio())
            .head(self.head.map_or(Head::Flatten, Into::into))
            .input(channels, self.resize(), self.resize())
            .dropout(self.dropout.unwrap_or(0.5))
            .classes(classes)
            .build()
    }
}

/// What stands between the blocks and the dense layers, as flags name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadArg {
    /// Nothing: the last map is flattened, as in the book
    Flatten,
    /// Adaptive average pooling to 7x7, as in torchvision
    #[value(name = "avgpool7")]
    AvgPool7,
}

impl From<HeadArg> for Head {
    fn from(head: HeadArg) -> Self {
        match head {
            HeadArg::Flatten => Self::Flatten,
            HeadArg::AvgPool7 => Self::AvgPool7,
        }
    }
}

impl From<Head> for HeadArg {
    fn from(head: Head) -> Self {
        match head {
            Head::Flatten => Self::Flatten,
            Head::AvgPool7 => Self::AvgPool7,
        }
    }
}

impl Display for HeadArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flatten => "flatten",
            Self::AvgPool7 => "avgpool7",
        })
    }
}

/// Which layers are not trained, as flags name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FreezeArg {
    /// All but the dense layers: for imported weights with a new last layer
    Features,
}

/// How the learning rate goes through a run, as flags name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleArg {
    /// As it is
    Constant,
    /// Multiplied by --step-factor after each --step-epochs
    Step,
    /// Down to 0 in half a cosine
    Cosine,
    /// From a 25th up to it in 30 % of the steps, and down to nearly 0
    OneCycle,
}

/// How weights are drawn, as flags name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InitArg {
    /// Xavier uniform, as in the book
    Xavier,
    /// Kaiming uniform, for ReLU: deep or small networks leave the plateau sooner
    Kaiming,
}

impl From<InitArg> for Init {
    fn from(init: InitArg) -> Self {
        match init {
            InitArg::Xavier => Self::Xavier,
            InitArg::Kaiming => Self::Kaiming,
        }
    }
}

/// Checked by clap, so that a bad table is a usage error.
fn table(text: &str) -> Result<String, GraphError> {
    Architecture::builder().table(text).map(|_| text.to_owned())
}

/// A pass, as flags name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PassArg {
    /// Forward, backward and update
    Train,
    /// Forward only
    Infer,
}

impl From<PassArg> for Pass {
    fn from(pass: PassArg) -> Self {
        match pass {
            PassArg::Train => Self::Train,
            PassArg::Infer => Self::Infer,
        }
    }
}

// A network without data, and what it is to do.
#[derive(Debug, Clone, Args)]
pub struct WorkArgs {
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Channels of the input: 1 (grey) or 3 (RGB)
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub channels: usize,
    /// Number of classes
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub classes: usize,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = positive)]
    pub batch: usize,
    #[command(flatten)]
    pub optimizer: OptimizerArgs,
    /// Which layers are not trained
    #[arg(long, value_enum)]
    pub freeze: Option<FreezeArg>,
    /// What the network is to do
    #[arg(long, value_enum, default_value_t = PassArg::Train)]
    pub pass: PassArg,
    #[command(flatten)]
    pub adapter: AdapterArgs,
    #[command(flatten)]
    pub memory: MemoryArgs,
}

impl WorkArgs {
    /// The network that the flags describe.
    pub fn architecture(&self) -> Result<Architecture, GraphError> {
        self.network.architecture(self.channels, self.classes)
    }

    /// What is wanted of it, as `train` would want it with the same flags.
    pub fn options(&self, facts: &AdapterFacts) -> Result<NetworkOptions> {
        let options = NetworkOptions {
            batch: self.batch,
            train: self.pass == PassArg::Train,
            optimizer: self.optimizer.of()?,
            freeze_features: self.freeze.is_some(),
            ghost_batch: self.network.ghost_batch_norm,
            update_in_place: true,
            ..NetworkOptions::default()
        };
        self.memory.apply(options, facts)
    }
}
