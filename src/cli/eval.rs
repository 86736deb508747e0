use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use vgg_wgpu::data::{BadPicture, Dataset, Found, Picture, Split};
use vgg_wgpu::train;
use vgg_wgpu::train::history::loss_text;
use vgg_wgpu::weights::{ImportOptions, Tensor, Values, write_safetensors};

use super::common::{
    AdapterArgs, AdapterReport, MemoryArgs, ResizeArg, columns, positive, say, say_json,
};
use super::model;
use super::report::note;
use super::sets::{Images, Opened, SetArgs, say_bad};

/// Measure a trained network: loss and accuracy, over all images and by class
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
    /// Seed of the training run, which decided over the pictures of --val
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Data")]
    seed: u64,
    /// Take only the first N images
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Data")]
    limit: Option<usize>,
    /// How images are resized: as in the network's training
    #[arg(long, value_enum, default_value_t = ResizeArg::Bilinear, help_heading = "Data")]
    resize_filter: ResizeArg,
    /// Write the logits of all images in their order to a safetensors file: `logits`, (N, classes),
    /// and `labels`, (N)
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
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

#[derive(Debug, Serialize)]
struct Report {
    adapter: AdapterReport,
    model: PathBuf,
    data: String,
    split: SplitArg,
    images: usize,
    /// Mean cross-entropy in nats.
    loss: f64,
    accuracy: f64,
    /// Fraction of the images whose class is among the five likeliest; null up to five classes.
    top5_accuracy: Option<f64>,
    classes: Vec<ClassReport>,
}

#[derive(Debug, Serialize)]
struct ClassReport {
    name: String,
    images: usize,
    /// Fraction of this class's images that are classified right; null without images.
    accuracy: Option<f64>,
    /// The other class that its images are most often taken for.
    confused_with: Option<String>,
}

/// Measures and reports.
pub fn run(args: &EvalArgs) -> Result<()> {
    let model = model::read(&args.model, &ImportOptions::default())?.model;
    let description = &model.description;
    let (input, classes) = (train::architecture_of(description)?.input(), &description.classes);
    let (data, images) = match args.sets.open()? {
        Opened::Idx(dataset) => {
            ensure!(
                classes.len() == dataset.classes.len(),
                "the model tells {} classes apart, {dataset} has {}",
                classes.len(),
                dataset.classes.len()
            );
            (dataset.to_string(), Images::Whole(args.of_idx(dataset)?))
        }
        Opened::Pictures(found) => {
            let data = format!("{} {}: {} pictures", found.name, args.sets.place(), found.len());
            let form = args.sets.form(input, description.preprocessing.resize);
            let (pictures, bad) = args.of_pictures(found, classes)?;
            let (mut images, bad) = args.sets.read(form, vec![pictures], bad)?;
            say_skipped(args.json, &bad)?;
            (data, images.remove(0))
        }
    };
    ensure!(images.len() > 0, "no images are left to measure with");
    let gpu = args.adapter.open()?;
    let labels = images.labels();
    let network = model::network(&model, &gpu, &args.memory, images.len())?;
    let rows = model::logits(&network, images.feed(), args.resize_filter.into())?;
    if let Some(path) = &args.logits {
        write_logits(path, &rows, &labels)?;
    }
    let share = |hits: usize| hits as f64 / labels.len() as f64;
    let report = Report {
        adapter: gpu.facts().into(),
        model: model::file(&args.model),
        data,
        split: args.split,
        images: labels.len(),
        loss: loss(&rows, &labels),
        accuracy: share(hits(&rows, &labels, 1)),
        top5_accuracy: (description.classes.len() > 5).then(|| share(hits(&rows, &labels, 5))),
        classes: by_class(&rows, &labels, classes),
    };
    if args.json {
        return say_json(&report);
    }
    say(format!("adapter   {}", gpu.facts()))?;
    say(format!("data      {}", report.data))?;
    say(format!("images    {}", report.images))?;
    say(format!("loss      {}", loss_text(report.loss)))?;
    say(format!("accuracy  {:.4}", report.accuracy))?;
    if let Some(accuracy) = report.top5_accuracy {
        say(format!("top-5     {accuracy:.4}"))?;
    }
    say("")?;
    Ok(say(table(&report.classes).trim_end())?)
}

impl EvalArgs {
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
            found.set_aside(self.sets.val, self.seed);
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
                format!(
                    "{}: the model knows no class {name}, but {}",
                    path.display(),
                    classes.join(", ")
                )
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

/// Mean cross-entropy: the negative log-probability of the right class.
fn loss(rows: &[Vec<f32>], labels: &[u32]) -> f64 {
    let of = |(row, &label): (&Vec<f32>, &u32)| -model::log_softmax(row)[label as usize];
    rows.iter().zip(labels).map(of).sum::<f64>() / rows.len() as f64
}

/// Images whose class is among the `most` likeliest.
fn hits(rows: &[Vec<f32>], labels: &[u32], most: usize) -> usize {
    let right = |(row, label): &(&Vec<f32>, &u32)| model::rank(row, **label as usize) < most;
    rows.iter().zip(labels).filter(right).count()
}

fn by_class(rows: &[Vec<f32>], labels: &[u32], classes: &[String]) -> Vec<ClassReport> {
    let mut confusion = vec![vec![0_usize; classes.len()]; classes.len()];
    for (row, &label) in rows.iter().zip(labels) {
        confusion[label as usize][model::ranked(row)[0]] += 1;
    }
    let report = |(class, (name, taken_for)): (usize, (&String, &Vec<usize>))| {
        let images: usize = taken_for.iter().sum();
        let others = taken_for.iter().enumerate().filter(|&(other, &n)| other != class && n > 0);
        ClassReport {
            name: name.clone(),
            images,
            accuracy: (images > 0).then(|| taken_for[class] as f64 / images as f64),
            confused_with: others.max_by_key(|&(_, &n)| n).map(|(other, _)| classes[other].clone()),
        }
    };
    classes.iter().zip(&confusion).enumerate().map(report).collect()
}

fn table(classes: &[ClassReport]) -> String {
    let row = |class: &ClassReport| {
        let accuracy = class.accuracy.map_or("-".to_owned(), |accuracy| format!("{accuracy:.4}"));
        let other = class.confused_with.clone().unwrap_or_default();
        vec![class.name.clone(), class.images.to_string(), accuracy, other]
    };
    let rows: Vec<_> = classes.iter().map(row).collect();
    columns(&["class", ">images", ">accuracy", "mostly taken for"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_counted_exactly() {
        // Seven classes; those of equal logits rank by index.
        let rows = [vec![0.0; 7], vec![6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0], vec![1e4; 7]];
        let counts = |labels: [u32; 3]| [1, 5].map(|most| hits(&rows, &labels, most));
        assert_eq!(counts([0, 0, 0]), [3, 3]);
        assert_eq!(counts([1, 4, 5]), [0, 2]);
        assert_eq!(counts([5, 5, 6]), [0, 0]);
    }
}
