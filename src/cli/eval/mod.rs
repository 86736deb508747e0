//! `eval`: how good a network is, in numbers and pictures.

mod mistakes;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use vgg_wgpu::data::{BadPicture, Dataset, Found, Picture, Split};
use vgg_wgpu::shape::FeatureMap;
use vgg_wgpu::train::{self, Confusion, write_confusion};
use vgg_wgpu::weights::{Description, ImportOptions, Tensor, Values, write_safetensors};

use super::common::{AdapterArgs, MemoryArgs, ResizeArg, positive, say, say_json};
use super::model;
use super::recorded;
use super::report::note;
use super::sets::{Images, Opened, SetArgs, say_bad};
use report::{Measured, Report};

/// Measure a trained network: loss, accuracy, and scores by class
///
/// Writes confusion.svg, confusion.png and mistakes.png, the most confident mistakes with their names,
/// to the run folder, or to the folder of --out.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vgg-wgpu eval runs/vgg11-1")]
pub struct EvalArgs {
    /// Run folder, model.safetensors, or any file that `import` reads
    #[arg(value_name = "RUN|FILE")]
    model: PathBuf,
    #[command(flatten)]
    sets: SetArgs,
    /// Which images of the set
    #[arg(long, value_enum, default_value_t = SplitArg::Test, help_heading = "Data")]
    split: SplitArg,
    /// Seed of the training run, which decided over the pictures of --val [default: the run's, of other
    /// models 0]
    #[arg(long, value_name = "N", help_heading = "Data")]
    seed: Option<u64>,
    /// Take only the first N images
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Data")]
    limit: Option<usize>,
    /// How images are resized [default: as in the run, of other models bilinear]
    #[arg(long, value_enum, help_heading = "Data")]
    resize_filter: Option<ResizeArg>,
    /// Write the logits of all images in their order to a safetensors file: `logits`, (N, classes),
    /// and `labels`, (N)
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
    /// Folder for the pictures [default: the run folder; none of a model file]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    adapter: AdapterArgs,
    #[command(flatten)]
    memory: MemoryArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum SplitArg {
    /// The images to train with
    Train,
    /// The images to test with; of pictures those in a folder test or else val, or the share of --val
    Test,
    /// All images
    All,
}

/// Images to measure with.
struct Chosen {
    /// What they are, in words.
    data: String,
    images: Images,
    /// The names of the classes.
    classes: Vec<String>,
    /// The file of each image; of the IDX files' images none.
    files: Vec<PathBuf>,
}

/// Measures and reports.
pub fn run(args: &EvalArgs) -> Result<()> {
    let model = model::read(&args.model, &ImportOptions::default())?.model;
    let description = &model.description;
    let input = train::architecture_of(description)?.input();
    let Chosen { data, images, classes, files } = args.choose(description, input)?;
    ensure!(images.len() > 0, "no images are left to measure with");
    let filter = args.filter()?;
    let gpu = args.adapter.open()?;
    let labels = images.labels();
    let network = model::network(&model, &gpu, &args.memory, images.len())?;
    let rows = model::logits(&network, images.feed(), filter.into())?;
    if let Some(path) = &args.logits {
        write_logits(path, &rows, &labels)?;
    }
    let measured = Measured { rows: &rows, labels: &labels, classes: &classes };
    let confusion = measured.confusion();
    let mistakes = mistakes::of(&measured, &files);
    let drawn = match args.folder() {
        Some(folder) => args.draw(folder, &confusion, &mistakes, &images)?,
        None => Vec::new(),
    };
    let report = Report::new((args, filter), &gpu, data, &measured, (&confusion, mistakes));
    if args.json {
        return say_json(&report);
    }
    report.say(gpu.facts())?;
    for path in drawn {
        say(format!("drawn     {}", path.display()))?;
    }
    Ok(())
}

impl EvalArgs {
    /// How images are resized, by the flag or else as the run's were.
    fn filter(&self) -> Result<ResizeArg> {
        let of_run = || recorded::resize_filter(&self.model);
        let filter = self.resize_filter.map_or_else(of_run, |given| Ok(Some(given)))?;
        Ok(filter.unwrap_or(ResizeArg::Bilinear))
    }

    /// Where pictures go.
    fn folder(&self) -> Option<&Path> {
        self.out.as_deref().or_else(|| self.model.is_dir().then_some(self.model.as_path()))
    }

    /// Draws the pictures into a folder, and returns their files.
    fn draw(
        &self,
        folder: &Path,
        confusion: &Confusion,
        mistakes: &[mistakes::Mistake],
        images: &Images,
    ) -> Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let [svg, png, sheet] =
            ["confusion.svg", "confusion.png", "mistakes.png"].map(|name| folder.join(name));
        let run = self.model.file_name().unwrap_or(self.model.as_os_str()).to_string_lossy();
        write_confusion(confusion, &format!("{run}: what images are taken for"), &svg, &png)?;
        let mut drawn = vec![svg, png];
        if !mistakes.is_empty() {
            mistakes::draw(mistakes, images, &format!("{run}: most confident mistakes"), &sheet)?;
            drawn.push(sheet);
        }
        Ok(drawn)
    }

    fn choose(&self, description: &Description, input: FeatureMap) -> Result<Chosen> {
        let known = &description.classes;
        let found = match self.sets.open()? {
            Opened::Idx(dataset) => {
                ensure!(
                    known.len() == dataset.classes.len(),
                    "the model tells {} classes apart, {dataset} has {}",
                    known.len(),
                    dataset.classes.len()
                );
                let (data, classes) = (dataset.to_string(), dataset.classes.clone());
                let images = Images::Whole(self.of_idx(dataset)?);
                return Ok(Chosen { data, images, classes, files: Vec::new() });
            }
            Opened::Pictures(found) => found,
        };
        let data = format!("{} {}: {} pictures", found.name, self.sets.place(), found.len());
        let form = self.sets.form(input, description.preprocessing.resize);
        let (pictures, bad) = self.of_pictures(found, known)?;
        let mut files: Vec<PathBuf> = pictures.iter().map(|picture| picture.path.clone()).collect();
        let (mut images, bad) = self.sets.read(form, vec![pictures], bad)?;
        files.retain(|file| bad.iter().all(|bad| bad.path != *file));
        say_skipped(self.json, &bad)?;
        Ok(Chosen { data, images: images.remove(0), classes: known.clone(), files })
    }

    fn of_idx(&self, dataset: Dataset) -> Result<Split> {
        let split = match self.split {
            SplitArg::Train => dataset.train,
            SplitArg::Test => dataset.test,
            SplitArg::All => bail!("--split all is for pictures; the IDX files hold two sets"),
        };
        Ok(split.take(self.limit.unwrap_or(usize::MAX)))
    }

    /// The pictures of the split, with the labels that the model has for their classes.
    fn of_pictures(
        &self,
        mut found: Found,
        classes: &[String],
    ) -> Result<(Vec<Picture>, Vec<BadPicture>)> {
        if found.validation.is_none() && found.test.is_none() && self.split != SplitArg::All {
            let (seed, val) = recorded::set_aside(&self.model)?;
            found.set_aside(self.sets.val(val), self.seed.or(seed).unwrap_or(0));
        }
        let Found { train, validation, test, bad, .. } = found;
        let mut pictures = match self.split {
            SplitArg::Train => train,
            SplitArg::Test => test.or(validation).unwrap_or_default(),
            SplitArg::All => {
                [train, validation.unwrap_or_default(), test.unwrap_or_default()].concat()
            }
        };
        pictures.truncate(self.limit.unwrap_or(usize::MAX));
        for Picture { path, label } in &mut pictures {
            let name = &found.classes[*label as usize];
            let known = classes.iter().position(|class| class == name);
            *label = known.with_context(|| {
                let (file, classes) = (path.display(), classes.join(", "));
                format!("{file}: the model knows no class {name}, but {classes}")
            })? as u32;
        }
        Ok((pictures, bad))
    }
}

/// On the standard error where the standard output is for JSON.
fn say_skipped(json: bool, bad: &[BadPicture]) -> Result<()> {
    match json {
        true => bad.iter().for_each(|bad| note(&format!("skipped   {bad}"))),
        false => say_bad(bad)?,
    }
    Ok(())
}

fn write_logits(path: &Path, rows: &[Vec<f32>], labels: &[u32]) -> Result<()> {
    let classes = rows.first().map_or(0, Vec::len);
    let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
    let logits = rows.concat();
    let tensors = [
        Tensor::floats("logits", &[rows.len(), classes], &logits),
        Tensor {
            name: "labels".to_owned(),
            shape: vec![labels.len()],
            values: Values::I64(labels.into()),
        },
    ];
    Ok(write_safetensors(path, &tensors, None)?)
}
