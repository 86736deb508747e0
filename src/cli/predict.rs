use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use vgg_wgpu::graph::ResizeFilter;

use super::common::{AdapterArgs, MemoryArgs, positive, say, say_json};
use super::model;
use super::pictures::PictureArgs;

/// Images decoded at a time.
const AT_ONCE: usize = 512;

/// Tell what image files show: the likeliest classes with their probabilities
///
/// In folders, files that are no pictures are passed over; one that is named and is none ends in an error,
/// after the others were predicted. Images are turned as their EXIF data say, made grey where the network
/// wants that, and resized as Pillow does: so that the shorter side has the pixels that the model tells of,
/// of which the middle is cut out, or else to the network's input, whatever their shape.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu predict runs/vgg11-1 shirt.png boot.jpg\n\nFashion-MNIST's \
    images are light on black; --invert helps with pictures on a white background."
)]
pub struct PredictArgs {
    #[command(flatten)]
    pictures: PictureArgs,
    /// Number of classes to show of each image
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    top: usize,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
    /// Print CSV instead of lines: file,rank,class,probability
    #[arg(long, conflicts_with = "json")]
    csv: bool,
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
    let asked = args.pictures.asked()?;
    args.pictures.decoded(&asked, AT_ONCE, |batches| {
        let gpu = args.adapter.open()?;
        let network = model::network(&asked.model, &gpu, &args.memory, asked.files.len())?;
        let mut printed = Printer::new(args)?;
        for (files, split) in batches {
            let rows = model::logits(&network, (&split).into(), ResizeFilter::Bilinear)?;
            for (file, row) in files.into_iter().zip(&rows) {
                printed.add(Prediction { file, classes: top(row, &asked.names, args.top) })?;
            }
        }
        printed.finish()
    })
}

/// Prints predictions as they come, but JSON at the end, as one document.
struct Printer {
    format: Format,
    all: Vec<Prediction>,
}

enum Format {
    Lines,
    Csv,
    Json,
}

impl Printer {
    fn new(args: &PredictArgs) -> Result<Self> {
        let format = match (args.json, args.csv) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            _ => Format::Lines,
        };
        if let Format::Csv = format {
            say("file,rank,class,probability")?;
        }
        Ok(Self { format, all: Vec::new() })
    }

    fn add(&mut self, prediction: Prediction) -> Result<()> {
        let Prediction { file, classes } = &prediction;
        match self.format {
            Format::Json => self.all.push(prediction),
            Format::Lines => {
                let class =
                    |class: &ClassReport| format!("{} {:.4}", class.name, class.probability);
                let classes: Vec<_> = classes.iter().map(class).collect();
                say(format!("{}: {}", file.display(), classes.join(", ")))?;
            }
            Format::Csv => {
                let mut lines = csv::Writer::from_writer(Vec::new());
                for (rank, class) in (1..).zip(classes) {
                    let (rank, chance) = (rank.to_string(), format!("{:.6}", class.probability));
                    let file = file.to_string_lossy();
                    lines.write_record([&*file, &rank, &class.name, &chance])?;
                }
                let lines = String::from_utf8(lines.into_inner()?)?;
                say(lines.trim_end())?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        match self.format {
            Format::Json => say_json(&self.all),
            Format::Lines | Format::Csv => Ok(()),
        }
    }
}

fn top(row: &[f32], classes: &[String], count: usize) -> Vec<ClassReport> {
    let chances = model::log_softmax(row);
    let class = |i: usize| ClassReport { name: classes[i].clone(), probability: chances[i].exp() };
    model::ranked(row).into_iter().take(count).map(class).collect()
}
