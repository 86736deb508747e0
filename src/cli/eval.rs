use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use vgg_wgpu::data::Split;
use vgg_wgpu::train::history::loss_text;
use vgg_wgpu::weights::{ImportOptions, Tensor, Values, write_safetensors};

use super::common::{
    AdapterArgs, AdapterReport, DataArgs, MemoryArgs, ResizeArg, columns, positive, say, say_json,
};
use super::model;

/// Measure a trained network: loss and accuracy, over all images and by class
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vgg-wgpu eval runs/vgg11-1")]
pub struct EvalArgs {
    /// Run folder, model.safetensors, or any file that `import` reads
    #[arg(value_name = "RUN|FILE")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Which images of the set
    #[arg(long, value_enum, default_value_t = SplitArg::Test, help_heading = "Data")]
    split: SplitArg,
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

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum SplitArg {
    /// The images to train with
    Train,
    /// The images to test with
    Test,
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
    let dataset = args.data.open()?;
    let split = match args.split {
        SplitArg::Train => dataset.train.clone(),
        SplitArg::Test => dataset.test.clone(),
    };
    let split = split.take(args.limit.unwrap_or(usize::MAX));
    let gpu = args.adapter.open()?;
    let model = model::read(&args.model, &ImportOptions::default())?.model;
    let description = &model.description;
    ensure!(
        description.classes.len() == dataset.classes.len(),
        "the model tells {} classes apart, {dataset} has {}",
        description.classes.len(),
        dataset.classes.len()
    );
    let network = model::network(&model, &gpu, &args.memory, split.len())?;
    let rows = model::logits(&network, &split, args.resize_filter.into())?;
    if let Some(path) = &args.logits {
        write_logits(path, &rows, &split)?;
    }
    let share = |hits: usize| hits as f64 / split.len() as f64;
    let report = Report {
        adapter: gpu.facts().into(),
        model: model::file(&args.model),
        data: dataset.to_string(),
        split: args.split,
        images: split.len(),
        loss: loss(&rows, &split),
        accuracy: share(hits(&rows, &split, 1)),
        top5_accuracy: (description.classes.len() > 5).then(|| share(hits(&rows, &split, 5))),
        classes: by_class(&rows, &split, &dataset.classes),
    };
    if args.json {
        return say_json(&report);
    }
    say(format!("adapter   {}", gpu.facts()))?;
    say(format!("data      {dataset}"))?;
    say(format!("images    {}", report.images))?;
    say(format!("loss      {}", loss_text(report.loss)))?;
    say(format!("accuracy  {:.4}", report.accuracy))?;
    if let Some(accuracy) = report.top5_accuracy {
        say(format!("top-5     {accuracy:.4}"))?;
    }
    say("")?;
    Ok(say(table(&report.classes).trim_end())?)
}

fn write_logits(path: &Path, rows: &[Vec<f32>], split: &Split) -> Result<()> {
    let classes = rows.first().map_or(0, Vec::len);
    let labels: Vec<i64> = split.labels.iter().map(|&label| i64::from(label)).collect();
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
fn loss(rows: &[Vec<f32>], split: &Split) -> f64 {
    let of = |(row, &label): (&Vec<f32>, &u8)| -model::log_softmax(row)[usize::from(label)];
    rows.iter().zip(&split.labels).map(of).sum::<f64>() / rows.len() as f64
}

/// Images whose class is among the `most` likeliest.
fn hits(rows: &[Vec<f32>], split: &Split, most: usize) -> usize {
    let right = |(row, label): &(&Vec<f32>, &u8)| model::rank(row, usize::from(**label)) < most;
    rows.iter().zip(&split.labels).filter(right).count()
}

fn by_class(rows: &[Vec<f32>], split: &Split, classes: &[String]) -> Vec<ClassReport> {
    let mut confusion = vec![vec![0_usize; classes.len()]; classes.len()];
    for (row, &label) in rows.iter().zip(&split.labels) {
        confusion[usize::from(label)][model::ranked(row)[0]] += 1;
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
    use vgg_wgpu::data::Images;

    use super::*;

    #[test]
    fn hits_are_counted_exactly() {
        // Seven classes; those of equal logits rank by index.
        let rows = [vec![0.0; 7], vec![6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0], vec![1e4; 7]];
        let with = |labels: [u8; 3]| {
            let images = Images { count: 3, height: 0, width: 0, channels: 1, pixels: vec![] };
            Split { images, labels: labels.into() }
        };
        let counts = |labels| [1, 5].map(|most| hits(&rows, &with(labels), most));
        assert_eq!(counts([0, 0, 0]), [3, 3]);
        assert_eq!(counts([1, 4, 5]), [0, 2]);
        assert_eq!(counts([5, 5, 6]), [0, 0]);
    }
}
