use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use vgg_wgpu::data::Split;
use vgg_wgpu::train::history::loss_text;

use super::common::{
    AdapterArgs, AdapterReport, DataArgs, MemoryArgs, columns, positive, say, say_json,
};
use super::model;

/// Measure a trained network: loss and accuracy, over all images and by class
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vgg-wgpu eval runs/vgg11-1")]
pub struct EvalArgs {
    /// Run folder, or a model.safetensors
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
    let (network, description) = model::open(&args.model, &gpu, &args.memory, split.len())?;
    ensure!(
        description.classes.len() == dataset.classes.len(),
        "the model tells {} classes apart, {dataset} has {}",
        description.classes.len(),
        dataset.classes.len()
    );
    let rows = model::log_probabilities(&network, &split)?;
    let report = Report {
        adapter: gpu.facts().into(),
        model: model::file(&args.model),
        data: dataset.to_string(),
        split: args.split,
        images: split.len(),
        loss: loss(&rows, &split),
        accuracy: hits(&rows, &split) as f64 / split.len() as f64,
        classes: by_class(&rows, &split, &dataset.classes),
    };
    if args.json {
        return say_json(&report);
    }
    say(format!("adapter   {}", gpu.facts()))?;
    say(format!("data      {dataset}"))?;
    say(format!("images    {}", report.images))?;
    say(format!("loss      {}", loss_text(report.loss)))?;
    say(format!("accuracy  {:.4}\n", report.accuracy))?;
    Ok(say(table(&report.classes).trim_end())?)
}

/// Mean cross-entropy: the negative log-probability of the right class.
fn loss(rows: &[Vec<f64>], split: &Split) -> f64 {
    let of = |(row, &label): (&Vec<f64>, &u8)| -row[usize::from(label)];
    rows.iter().zip(&split.labels).map(of).sum::<f64>() / rows.len() as f64
}

fn hits(rows: &[Vec<f64>], split: &Split) -> usize {
    let right = |(row, label): &(&Vec<f64>, &u8)| model::ranked(row)[0] == usize::from(**label);
    rows.iter().zip(&split.labels).filter(right).count()
}

fn by_class(rows: &[Vec<f64>], split: &Split, classes: &[String]) -> Vec<ClassReport> {
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
