use std::fmt;

use thiserror::Error;

use super::Naming;
use crate::shape::ShapeError;

/// Lines of a [`Mismatch`] that are shown.
const LINES: usize = 20;

/// Why a list of tensors is no VGG, or a VGG has no such list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NamesError {
    /// No name looks like a layer of a VGG.
    #[error(
        "no VGG: {}. Known are the names of torchvision (features.0.weight, classifier.0.weight), \
         of timm (features.0.weight, pre_logits.fc1.weight, head.fc.weight) and of the d2l \
         notebook (0.0.weight, 6.weight), with or without module., _orig_mod., model. or net. in \
         front", Few(found, *count)
    )]
    Unknown {
        /// The first few names.
        found: Vec<String>,
        /// How many tensors there are.
        count: usize,
    },
    /// The tensors are not those of the network.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// Two tensors have one name once prefixes such as `module.` are off.
    #[error("the tensors {first} and {second} are both {name}")]
    Twice {
        /// The name.
        name: String,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// The values of a tensor are not as many as its shape says, or none.
    #[error("tensor {tensor}: {values} values for the shape {}", Sizes(shape))]
    Values {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// How many values it has.
        values: usize,
    },
    /// A tensor has integers for floats, or the other way round.
    #[error("tensor {tensor} must hold {expected}")]
    Type {
        /// The tensor.
        tensor: String,
        /// What it must hold.
        expected: &'static str,
    },
    /// The places of the layers are those of no VGG.
    #[error(
        "{last} is followed by {next}: no VGG has its next convolution there (a convolution and \
         its ReLU take two places, with batch normalisation three, and a pooling one)"
    )]
    Places {
        /// A layer, or what the list starts with.
        last: String,
        /// The layer after it.
        next: String,
    },
    /// The convolutions of a block have different numbers of outputs.
    #[error(
        "block {block} has convolutions of {} outputs (the first is {layer}): those of one block \
         must have equally many",
        Sizes(channels)
    )]
    Unequal {
        /// The block, counted from 1.
        block: usize,
        /// Its first convolution.
        layer: String,
        /// Outputs of each of its convolutions.
        channels: Vec<usize>,
    },
    /// The first dense layer reads no square map.
    #[error(
        "{layer} has {inputs} inputs: of {channels} channels no square map makes as many, so the \
         resolution cannot be told"
    )]
    Inputs {
        /// The first dense layer.
        layer: String,
        /// Its inputs.
        inputs: usize,
        /// Channels of the last block.
        channels: usize,
    },
    /// The resolution asked for does not fit the first dense layer.
    #[error(
        "at {resize}x{resize} the blocks leave {0}x{0}, and the first dense layer reads \
         {side}x{side}: resolutions from {least} to {most} do",
        found
    )]
    Resize {
        /// The resolution asked for.
        resize: usize,
        /// Rows and columns that the blocks leave of it.
        found: usize,
        /// Rows and columns that the first dense layer reads.
        side: usize,
        /// The smallest resolution that fits.
        least: usize,
        /// The largest.
        most: usize,
    },
    /// Not as many class names as classes.
    #[error("{found} class names for {expected} classes")]
    ClassNames {
        /// Names given.
        found: usize,
        /// Outputs of the last layer.
        expected: usize,
    },
    /// More layers than the file could have.
    #[error("{layers} layers are told of, the file has {tensors} tensors")]
    Layers {
        /// Layers that the description or the names tell of.
        layers: usize,
        /// Tensors found.
        tensors: usize,
    },
    /// A size that cannot be.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The other program pools to 7x7 where this network does not.
    #[error(
        "{naming}'s network pools to 7x7 before its dense layers, this one does not and its blocks \
         leave {height}x{width}; use the names of d2l"
    )]
    Pools {
        /// The names asked for.
        naming: Naming,
        /// Rows left.
        height: usize,
        /// Columns left.
        width: usize,
    },
    /// This network pools to 7x7 where the notebook's does not.
    #[error(
        "this network pools to 7x7 before its dense layers, the notebook's does not, and the \
         blocks leave {height}x{width}; use the names of torchvision"
    )]
    NoPooling {
        /// Rows left.
        height: usize,
        /// Columns left.
        width: usize,
    },
    /// An ONNX file would be larger than protobuf allows.
    #[error("an ONNX file of {bytes} bytes is more than protobuf's readers take (2 GiB)")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The notebook's names have no place for batch normalisation.
    #[error("the d2l notebook has no batch normalisation; use torchvision's names")]
    BatchNorm,
    /// timm's names are those of three dense layers.
    #[error("timm's VGG has 3 dense layers, this network {dense}; use torchvision's names")]
    Timm {
        /// Dense layers of the network.
        dense: usize,
    },
}

/// The tensors of a file held against those of a network. Shown as one line for each, at most 20.
#[derive(Debug, Clone, Default, PartialEq, Eq, Error)]
pub struct Mismatch {
    /// Name and expected shape of each tensor that is not there.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Name and shape of each tensor that is in no layer of the network.
    pub unexpected: Vec<(String, Vec<usize>)>,
    /// Name, shape found and shape expected of each tensor of another shape.
    pub wrong: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    /// True if nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, unexpected, wrong } = self;
        write!(
            f,
            "the tensors are not those of the network: {} missing, {} unexpected, {} of another \
             shape",
            missing.len(),
            unexpected.len(),
            wrong.len()
        )?;
        let missing = missing
            .iter()
            .map(|(name, shape)| format!("missing {name}, expected {}", Sizes(shape)));
        let unexpected = unexpected
            .iter()
            .map(|(name, shape)| format!("unexpected {name}, found {}", Sizes(shape)));
        let wrong = wrong.iter().map(|(name, found, expected)| {
            format!("{name}: found {}, expected {}", Sizes(found), Sizes(expected))
        });
        let lines: Vec<String> = missing.chain(wrong).chain(unexpected).collect();
        for line in lines.iter().take(LINES) {
            write!(f, "\n  {line}")?;
        }
        match lines.len().checked_sub(LINES) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and {more} more"),
        }
    }
}

/// Sizes as PyTorch shows them.
struct Sizes<'a>(&'a [usize]);

impl fmt::Display for Sizes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.0.iter().map(usize::to_string).collect();
        write!(f, "({})", sizes.join(", "))
    }
}

/// The first few of many names.
struct Few<'a>(&'a [String], usize);

impl fmt::Display for Few<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names, count) = *self;
        match (names.is_empty(), count - names.len().min(count)) {
            (true, _) => f.write_str("there are no tensors"),
            (false, 0) => write!(f, "the tensors are {}", names.join(", ")),
            (false, more) => write!(f, "the tensors are {} and {more} more", names.join(", ")),
        }
    }
}
