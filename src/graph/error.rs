use thiserror::Error;

use crate::gpu::GpuError;
use crate::kernel::KernelError;
use crate::shape::ShapeError;

/// What can go wrong between an architecture and a network on a device.
#[derive(Debug, Error)]
pub enum GraphError {
    /// The architecture's text is no table of blocks.
    #[error(
        "'{part}' in the architecture '{text}' is no block; name vgg11, vgg13, vgg16 or vgg19, or \
         give blocks as CONVOLUTIONSxCHANNELS, such as 1x64,1x128,2x256"
    )]
    Table {
        /// The whole text.
        text: String,
        /// The part that cannot be read.
        part: String,
    },
    /// A dropout share outside [0, 1).
    #[error("a dropout of {rate} is not in [0, 1)")]
    Dropout {
        /// The share asked for.
        rate: f32,
    },
    /// A mean that is no number, or a deviation that cannot be divided by.
    #[error("a mean of {mean:?} and a deviation of {deviation:?} do not normalise an image")]
    Normalisation {
        /// The mean of each channel.
        mean: [f32; 3],
        /// The deviation of each channel.
        deviation: [f32; 3],
    },
    /// Shapes that do not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A tensor that no binding of the adapter can hold, even for one image.
    #[error(
        "{tensor} needs {bytes} bytes for one image, but {adapter} binds at most {limit} at once; \
         take a smaller --resize or fewer channels"
    )]
    Binding {
        /// The tensor.
        tensor: String,
        /// Its bytes for one image.
        bytes: u64,
        /// The adapter's limit in bytes.
        limit: u64,
        /// The adapter's name.
        adapter: String,
    },
    /// A batch that a batch normalisation takes statistics of does not fit as a whole.
    #[error(
        "batch normalisation takes the statistics of {whole} images together, but {limit} holds \
         {largest} at most; take --batch {largest}, or --ghost-batch-norm {largest} for statistics \
         over groups of that many"
    )]
    WholeBatch {
        /// The images that have to be worked on together.
        whole: usize,
        /// The most that fit.
        largest: usize,
        /// What they have to fit.
        limit: String,
    },
    /// A micro-batch was asked for that would cut what batch normalisation takes statistics of.
    #[error(
        "a micro-batch of {wanted} would cut the {whole} images that batch normalisation takes the \
         statistics of; --ghost-batch-norm {wanted} asks for statistics over groups of that many"
    )]
    CutStatistics {
        /// The micro-batch asked for.
        wanted: usize,
        /// The images of one statistic.
        whole: usize,
    },
    /// Even a micro-batch of one image does not fit the memory allowed.
    #[error(
        "one image at a time needs {needed} bytes ({fixed} of them for weights and their \
         gradients), but {allowed} are allowed; raise --memory or take a smaller network"
    )]
    Memory {
        /// Bytes needed for a micro-batch of 1.
        needed: u64,
        /// Bytes of parameters, gradients and moments.
        fixed: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// A micro-batch that does not fit.
    #[error("a micro-batch of {wanted} does not fit {limit}; the largest that does is {largest}")]
    MicroBatch {
        /// The micro-batch asked for.
        wanted: usize,
        /// The largest possible.
        largest: usize,
        /// What limits it.
        limit: String,
    },
    /// An image set whose shape does not fit the network or its own length.
    #[error("the images are {found}, the network expects {expected}")]
    Images {
        /// The images' shape.
        found: String,
        /// What is expected.
        expected: String,
    },
    /// A random change of images that an input of this size does not allow.
    #[error("the augmentation's {what} is {found}, but has to be {expected}")]
    Augmentation {
        /// Which number.
        what: &'static str,
        /// What was asked for.
        found: f32,
        /// What is allowed.
        expected: String,
    },
    /// Images that cannot be changed at random: raw tensors, or resized by Pillow's filter.
    #[error(
        "augmentation samples 8-bit images bilinearly, which {images} are not; it goes with \
         --resize-filter bilinear"
    )]
    AugmentedFormat {
        /// What they are.
        images: &'static str,
    },
    /// A label that is no class of the network.
    #[error("image {image} has the label {label}, the network tells {classes} classes apart")]
    Label {
        /// The image with the largest label, from 0.
        image: usize,
        /// Its label.
        label: u32,
        /// Classes of the network.
        classes: usize,
    },
    /// A network that has no memory for gradients.
    #[error("the network was made for inference: it has no gradients to train with")]
    NotForTraining,
    /// A network that has no memory for the way back from a logit, or a pass that does not go it.
    #[error("the network was not made to be explained: nothing goes back from its logits")]
    NotForExplaining,
    /// A parameter's value has the wrong length.
    #[error("parameter {name} has {expected} elements, {found} were given")]
    Length {
        /// The layer's name.
        name: String,
        /// Elements of the parameter.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// A kernel could not be built.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The device failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}
