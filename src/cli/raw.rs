//! Raw tensors as input of a network, for `infer` and `gradients`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use vgg_wgpu::gpu::Gpu;
use vgg_wgpu::graph::{ImageSource, Pixels, SourceShape};
use vgg_wgpu::weights::{ImportOptions, Recognised, Tensor, Values, read_tensors};

use super::model;

// A network and tensors for it.
#[derive(Debug, Clone, Args)]
pub struct RawArgs {
    /// Run folder, model.safetensors, or any file that `import` reads
    #[arg(long, value_name = "RUN|FILE")]
    weights: PathBuf,
    /// safetensors file with the tensors
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
}

/// The tensor `input`, `(N, C, H, W)`.
pub struct Input {
    shape: [usize; 4],
    values: Vec<f32>,
}

impl RawArgs {
    /// Reads `input`.
    pub fn input(&self) -> Result<Input> {
        let tensor = self.tensor("input")?;
        let file = self.input.display();
        let found = format!("{file}: `input` has the shape {:?}", tensor.shape);
        let Ok(shape) = <[usize; 4]>::try_from(tensor.shape) else {
            bail!("{found}, expected (N, C, H, W)");
        };
        let [_, _, height, width] = shape;
        ensure!(height == width, "{found}; inputs are square");
        ensure!(!shape.contains(&0), "{found}, which holds nothing");
        let Values::F32(values) = tensor.values else {
            bail!("{file}: `input` holds integers, expected floats");
        };
        Ok(Input { shape, values: values.into_owned() })
    }

    /// Reads `target`, a class for each of `images` images.
    pub fn targets(&self, images: usize) -> Result<Vec<u32>> {
        let tensor = self.tensor("target")?;
        let file = self.input.display();
        let Values::I64(targets) = tensor.values else {
            bail!("{file}: `target` holds floats, expected integers");
        };
        let found = targets.len();
        ensure!(found == images, "{file}: {found} targets for {images} images");
        let class = |&target: &i64| {
            u32::try_from(target).with_context(|| format!("{file}: {target} is no class"))
        };
        targets.iter().map(class).collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor<'static>> {
        let mut tensors = read_tensors(&self.input)?.tensors.into_iter();
        let tensor = tensors.find(|tensor| tensor.name == name);
        tensor.with_context(|| format!("{} has no tensor `{name}`", self.input.display()))
    }

    /// Reads the network, for the resolution of `input`.
    pub fn model(&self, input: &Input) -> Result<Recognised> {
        let [_, channels, side, _] = input.shape;
        let options = ImportOptions { resize: Some(side), ..ImportOptions::default() };
        let recognised = model::read(&self.weights, &options)?;
        let expected = recognised.model.description.input[0];
        ensure!(
            channels == expected,
            "{}: `input` has {channels} channels, the network expects {expected}",
            self.input.display()
        );
        Ok(recognised)
    }
}

impl Input {
    /// Number of images.
    pub fn images(&self) -> usize {
        self.shape[0]
    }

    /// Puts it on a device, with a class for each image where they are known.
    pub fn upload(&self, gpu: &Gpu, targets: Option<&[u32]>) -> Result<Arc<ImageSource>> {
        let [count, channels, height, width] = self.shape;
        let shape = SourceShape { count, height, width, channels };
        let unknown = vec![0; count];
        let targets = targets.unwrap_or(&unknown);
        Ok(Arc::new(ImageSource::upload(gpu, shape, Pixels::Raw(&self.values), targets)?))
    }
}
