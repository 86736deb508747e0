use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder as _, ImageReader};
use serde::Serialize;
use vgg_wgpu::data::{Images, Split};
use vgg_wgpu::weights::Model;

use super::common::{AdapterArgs, MemoryArgs, positive, say, say_json};
use super::model;

/// Tell what image files show: the likeliest classes with their probabilities
///
/// Images are turned as their EXIF data say, made grey where the network wants that, and resized to
/// its input, whatever their shape.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu predict runs/vgg11-1 shirt.png boot.jpg\n\nFashion-MNIST's \
    images are light on black; --invert helps with pictures on a white background."
)]
pub struct PredictArgs {
    /// Run folder, or a model.safetensors
    #[arg(value_name = "RUN|FILE")]
    model: PathBuf,
    /// Image files: PNG, JPEG, WebP, GIF, BMP or TIFF
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Number of classes to show of each image
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    top: usize,
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
    let description = Model::load(&model::file(&args.model))?.description;
    let split = decode(args, description.input)?;
    let gpu = args.adapter.open()?;
    let (network, _) = model::open(&args.model, &gpu, &args.memory, split.len())?;
    let rows = model::log_probabilities(&network, &split)?;
    let report = |(file, row): (&PathBuf, &Vec<f64>)| Prediction {
        file: file.clone(),
        classes: top(row, &description.classes, args.top),
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

fn top(row: &[f64], classes: &[String], count: usize) -> Vec<ClassReport> {
    let class = |i: usize| ClassReport { name: classes[i].clone(), probability: row[i].exp() };
    model::ranked(row).into_iter().take(count).map(class).collect()
}

/// All images at the size of the network's input, `[channels, height, width]`. The labels stand for
/// nothing.
fn decode(args: &PredictArgs, input: [usize; 3]) -> Result<Split> {
    let [channels, height, width] = input;
    let mut pixels = Vec::with_capacity(args.images.len() * channels * height * width);
    for path in &args.images {
        let image =
            read(path).with_context(|| format!("cannot read {} as an image", path.display()))?;
        // Half-pixel centres, as on the device in training; smoothed where it shrinks.
        let mut image = image.resize_exact(width as u32, height as u32, FilterType::Triangle);
        if args.invert {
            image.invert();
        }
        match channels {
            1 => pixels.extend(image.into_luma8().into_raw()),
            _ => pixels.extend(image.into_rgb8().into_raw()),
        }
    }
    let count = args.images.len();
    Ok(Split { images: Images { count, height, width, channels, pixels }, labels: vec![0; count] })
}

fn read(path: &Path) -> Result<DynamicImage> {
    let mut decoder = ImageReader::open(path)?.with_guessed_format()?.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    // Grey or colour before resizing, so that 16-bit and palette images are treated alike.
    Ok(DynamicImage::ImageRgb8(image.into_rgb8()))
}
