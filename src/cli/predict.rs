use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use vgg_wgpu::data::{Images, PictureForm, Split};
use vgg_wgpu::graph::ResizeFilter;
use vgg_wgpu::shape::FeatureMap;
use vgg_wgpu::train;
use vgg_wgpu::weights::{Description, ImportOptions};

use super::common::{AdapterArgs, MemoryArgs, positive, say, say_json};
use super::model;

/// Tell what image files show: the likeliest classes with their probabilities
///
/// Images are turned as their EXIF data say, made grey where the network wants that, and resized as
/// Pillow does: so that the shorter side has the pixels that the model tells of, of which the middle is
/// cut out, or else to the network's input, whatever their shape.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu predict runs/vgg11-1 shirt.png boot.jpg\n\nFashion-MNIST's \
    images are light on black; --invert helps with pictures on a white background."
)]
pub struct PredictArgs {
    /// Run folder, model.safetensors, or any file that `import` reads
    #[arg(value_name = "RUN|FILE")]
    model: PathBuf,
    /// Image files: PNG, JPEG, WebP, GIF, BMP or TIFF
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Number of classes to show of each image
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    top: usize,
    /// File with the names of the classes, one a line [default: those in the model]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Exchange light and dark
    #[arg(long)]
    invert: bool,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    adapter: AdapterArgs,
    #[command(flatten)]
    memory: MemoryArgs,
}

#[derive(Debug, Serialize)]
struct Prediction {
    file: PathBuf,
    classes: Vec<ClassReport>,
}

#[derive(Debug, Serialize)]
struct ClassReport {
    name: String,
    probability: f64,
}

/// Predicts.
pub fn run(args: &PredictArgs) -> Result<()> {
    let model = model::read(&args.model, &ImportOptions::default())?.model;
    let description = &model.description;
    let input = train::architecture_of(description)?.input();
    let names = args.names(description)?;
    let split = decode(args, input, description.preprocessing.resize)?;
    let gpu = args.adapter.open()?;
    let network = model::network(&model, &gpu, &args.memory, split.len())?;
    let rows = model::logits(&network, (&split).into(), ResizeFilter::Bilinear)?;
    let report = |(file, row): (&PathBuf, &Vec<f32>)| Prediction {
        file: file.clone(),
        classes: top(row, &names, args.top),
    };
    let predictions: Vec<_> = args.images.iter().zip(&rows).map(report).collect();
    if args.json {
        return say_json(&predictions);
    }
    for Prediction { file, classes } in predictions {
        let class = |class: &ClassReport| format!("{} {:.4}", class.name, class.probability);
        let classes: Vec<_> = classes.iter().map(class).collect();
        say(format!("{}: {}", file.display(), classes.join(", ")))?;
    }
    Ok(())
}

impl PredictArgs {
    /// The names of the model's classes.
    fn names(&self, description: &Description) -> Result<Vec<String>> {
        let classes = &description.classes;
        let Some(path) = &self.labels else { return Ok(classes.clone()) };
        let names = model::class_names(path)?;
        model::check_names(&names, classes.len(), Some(path))?;
        Ok(names)
    }
}

fn top(row: &[f32], classes: &[String], count: usize) -> Vec<ClassReport> {
    let chances = model::log_softmax(row);
    let class = |i: usize| ClassReport { name: classes[i].clone(), probability: chances[i].exp() };
    model::ranked(row).into_iter().take(count).map(class).collect()
}

/// All images at the size of the network's input. The labels stand for nothing.
fn decode(args: &PredictArgs, input: FeatureMap, shorter: Option<usize>) -> Result<Split> {
    let mut pixels = Vec::new();
    let FeatureMap { height, width, channels, .. } = input;
    let form = PictureForm { height, width, channels, shorter };
    for path in &args.images {
        let mut image = form
            .read(path)
            .with_context(|| format!("cannot read {} as an image", path.display()))?;
        if args.invert {
            image.iter_mut().for_each(|value| *value = 255 - *value);
        }
        pixels.extend(image);
    }
    let count = args.images.len();
    Ok(Split { images: Images { count, height, width, channels, pixels }, labels: vec![0; count] })
}
