use std::io::{self, Read as _};
use std::path::PathBuf;

use anyhow::{Error, Result, ensure};
use clap::Args;
use rayon::prelude::*;
use serde::Serialize;
use vgg_wgpu::data::{self, Images, PictureForm, Split};
use vgg_wgpu::graph::ResizeFilter;
use vgg_wgpu::shape::FeatureMap;
use vgg_wgpu::train;
use vgg_wgpu::weights::{Description, ImportOptions};

use super::common::{AdapterArgs, MemoryArgs, positive, say, say_json};
use super::model;
use super::report::note;

/// Images decoded at a time.
const AT_ONCE: usize = 512;

/// Tell what image files show: the likeliest classes with their probabilities
///
/// In folders, files that are no pictures are passed over. Images are turned as their EXIF data say, made
/// grey where the network wants that, and resized as Pillow does: so that the shorter side has the pixels
/// that the model tells of, of which the middle is cut out, or else to the network's input, whatever
/// their shape.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu predict runs/vgg11-1 shirt.png boot.jpg\n\nFashion-MNIST's \
    images are light on black; --invert helps with pictures on a white background."
)]
pub struct PredictArgs {
    /// Run folder, model.safetensors, or any file that `import` reads
    #[arg(value_name = "RUN|FILE")]
    model: PathBuf,
    /// Image files (PNG, JPEG, WebP, GIF, BMP or TIFF), folders of them, or - for an image on the
    /// standard input
    #[arg(value_name = "IMAGE|DIR|-", required = true)]
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

/// An image to be told of.
#[derive(Debug)]
struct Named {
    path: PathBuf,
    /// True if it was named itself, and not a folder that it lies in: then it has to be one.
    itself: bool,
}

/// Predicts.
pub fn run(args: &PredictArgs) -> Result<()> {
    let model = model::read(&args.model, &ImportOptions::default())?.model;
    let description = &model.description;
    let input = train::architecture_of(description)?.input();
    let FeatureMap { height, width, channels, .. } = input;
    let form = PictureForm { height, width, channels, shorter: description.preprocessing.resize };
    let names = args.names(description)?;
    let files = args.files()?;
    // What cannot be read is told before the device is opened, if it is the only batch.
    let mut batches = files.chunks(AT_ONCE).map(|files| args.decode(form, files)).peekable();
    if let Some(Err(_)) = batches.peek() {
        return batches.next().map_or(Ok(()), |failed| failed.map(|_| ()));
    }
    let gpu = args.adapter.open()?;
    let network = model::network(&model, &gpu, &args.memory, files.len())?;
    let mut printed = Printer::new(args)?;
    for batch in batches {
        let (files, split) = batch?;
        if files.is_empty() {
            continue;
        }
        let rows = model::logits(&network, (&split).into(), ResizeFilter::Bilinear)?;
        for (file, row) in files.into_iter().zip(&rows) {
            printed.add(Prediction { file, classes: top(row, &names, args.top) })?;
        }
    }
    printed.finish()
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

    /// The images that were named, and those in folders.
    fn files(&self) -> Result<Vec<Named>> {
        let mut files = Vec::new();
        for path in &self.images {
            if !path.is_dir() {
                files.push(Named { path: path.clone(), itself: true });
                continue;
            }
            let (found, bad) = data::pictures_under(path);
            bad.iter().for_each(|bad| note(&format!("skipped   {bad}")));
            ensure!(!found.is_empty(), "{}: no pictures", path.display());
            files.extend(found.into_iter().map(|path| Named { path, itself: false }));
        }
        Ok(files)
    }

    /// Images at the size of the network's input, with their names. The labels stand for nothing.
    fn decode(&self, form: PictureForm, files: &[Named]) -> Result<(Vec<PathBuf>, Split)> {
        let read = |file: &Named| match file.path.as_os_str() == "-" {
            true => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes)?;
                form.read_bytes(&bytes)
            }
            false => form.read(&file.path),
        };
        let images: Vec<_> = files.par_iter().map(read).collect();
        let (mut names, mut pixels) = (Vec::new(), Vec::new());
        for (Named { path, itself }, image) in files.iter().zip(images) {
            match image {
                Ok(image) => {
                    names.push(path.clone());
                    pixels.extend(image);
                }
                Err(problem) if *itself => {
                    let what = format!("cannot read {} as an image", path.display());
                    return Err(Error::new(problem).context(what));
                }
                Err(problem) => note(&format!("skipped   {}: {problem}", path.display())),
            }
        }
        if self.invert {
            pixels.iter_mut().for_each(|value| *value = 255 - *value);
        }
        let PictureForm { height, width, channels, .. } = form;
        let (count, labels) = (names.len(), vec![0; names.len()]);
        Ok((names, Split { images: Images { count, height, width, channels, pixels }, labels }))
    }
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
