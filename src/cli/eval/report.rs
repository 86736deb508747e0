//! What was measured, as JSON and as tables.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use vgg_wgpu::gpu::{AdapterFacts, Gpu};
use vgg_wgpu::train::history::loss_text;
use vgg_wgpu::train::{ClassScores, Confusion};

use super::mistakes::Mistake;
use super::{EvalArgs, SplitArg};
use crate::cli::common::{AdapterReport, ResizeArg, columns, say};
use crate::cli::model;

/// What a network says of images, and what they are.
pub struct Measured<'a> {
    /// The logits of each image.
    pub rows: &'a [Vec<f32>],
    /// The class of each image.
    pub labels: &'a [u32],
    /// The names of the classes.
    pub classes: &'a [String],
}

#[derive(Debug, Serialize)]
pub struct Report {
    adapter: AdapterReport,
    model: PathBuf,
    data: String,
    split: SplitArg,
    resize_filter: ResizeArg,
    images: usize,
    /// Mean cross-entropy in nats.
    loss: f64,
    accuracy: f64,
    /// Fraction of the images whose class is among the five likeliest; null up to five classes.
    top5_accuracy: Option<f64>,
    /// The mean over the classes that have images.
    macro_f1: f64,
    classes: Vec<ClassReport>,
    /// For each class how many of its images were taken for which class.
    confusion: Vec<Vec<u64>>,
    /// The most confident first.
    mistakes: Vec<Mistake>,
}

#[derive(Debug, Serialize)]
struct ClassReport {
    name: String,
    images: u64,
    /// Fraction of the images taken for this class that are of it; null without any.
    precision: Option<f64>,
    /// Fraction of this class's images that are taken for it; null without images.
    recall: Option<f64>,
    /// Their harmonic mean.
    f1: Option<f64>,
    /// The other class that its images are most often taken for.
    confused_with: Option<String>,
}

impl Measured<'_> {
    /// Each image's logits with its class.
    pub fn each(&self) -> impl Iterator<Item = (&[f32], usize)> {
        self.rows.iter().zip(self.labels).map(|(row, &label)| (row.as_slice(), label as usize))
    }

    /// What images are taken for.
    pub fn confusion(&self) -> Confusion {
        Confusion::count(
            self.classes,
            self.each().map(|(row, label)| (label, model::ranked(row)[0])),
        )
    }

    /// Mean cross-entropy: the negative log-probability of the right class.
    fn loss(&self) -> f64 {
        let losses = self.each().map(|(row, label)| -model::log_softmax(row)[label]);
        losses.sum::<f64>() / self.rows.len() as f64
    }

    /// The share of images whose class is among the `most` likeliest.
    fn hits(&self, most: usize) -> f64 {
        let hits = self.each().filter(|(row, label)| model::rank(row, *label) < most).count();
        hits as f64 / self.rows.len() as f64
    }
}

impl Report {
    pub fn new(
        (args, filter): (&EvalArgs, ResizeArg),
        gpu: &Gpu,
        data: String,
        measured: &Measured<'_>,
        (confusion, mistakes): (&Confusion, Vec<Mistake>),
    ) -> Self {
        let classes = measured.classes;
        let scores = confusion.scores();
        let with_images = scores.iter().filter(|scores| scores.images > 0);
        let f1: Vec<f64> = with_images.filter_map(|scores| scores.f1).collect();
        let of_class = |(name, scores): (&String, ClassScores)| ClassReport {
            name: name.clone(),
            images: scores.images,
            precision: scores.precision,
            recall: scores.recall,
            f1: scores.f1,
            confused_with: scores.confused_with.map(|other| classes[other].clone()),
        };
        Self {
            adapter: gpu.facts().into(),
            model: model::file(&args.model),
            data,
            split: args.split,
            resize_filter: filter,
            images: measured.rows.len(),
            loss: measured.loss(),
            accuracy: measured.hits(1),
            top5_accuracy: (classes.len() > 5).then(|| measured.hits(5)),
            macro_f1: f1.iter().sum::<f64>() / f1.len().max(1) as f64,
            classes: classes.iter().zip(scores).map(of_class).collect(),
            confusion: confusion.counts.clone(),
            mistakes,
        }
    }

    /// Prints it.
    pub fn say(&self, facts: &AdapterFacts) -> Result<()> {
        say(format!("adapter   {facts}"))?;
        say(format!("data      {}", self.data))?;
        say(format!("images    {}", self.images))?;
        say(format!("loss      {}", loss_text(self.loss)))?;
        say(format!("accuracy  {:.4}", self.accuracy))?;
        if let Some(accuracy) = self.top5_accuracy {
            say(format!("top-5     {accuracy:.4}"))?;
        }
        say(format!("macro F1  {:.4}\n", self.macro_f1))?;
        say(self.table())?;
        if !self.mistakes.is_empty() {
            say("most confident mistakes")?;
        }
        for Mistake { image, class, taken_for, probability, .. } in self.mistakes.iter().take(5) {
            say(format!("  {image}: {class}, taken for {taken_for} ({probability:.4})"))?;
        }
        Ok(())
    }

    fn table(&self) -> String {
        let share =
            |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.4}"));
        let row = |class: &ClassReport| {
            let other = class.confused_with.clone().unwrap_or_default();
            let [precision, recall, f1] = [class.precision, class.recall, class.f1].map(share);
            vec![class.name.clone(), class.images.to_string(), precision, recall, f1, other]
        };
        let rows: Vec<_> = self.classes.iter().map(row).collect();
        let titles = ["class", ">images", ">precision", ">recall", ">F1", "mostly taken for"];
        columns(&titles, &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_counted_exactly() {
        // Seven classes; those of equal logits rank by index.
        let rows = [vec![0.0; 7], vec![6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0], vec![1e4; 7]];
        let classes: Vec<String> = (0..7).map(|class| class.to_string()).collect();
        let counts = |labels: [u32; 3]| {
            let measured = Measured { rows: &rows, labels: &labels, classes: &classes };
            [1, 5].map(|most| (3.0 * measured.hits(most)).round() as usize)
        };
        assert_eq!(counts([0, 0, 0]), [3, 3]);
        assert_eq!(counts([1, 4, 5]), [0, 2]);
        assert_eq!(counts([5, 5, 6]), [0, 0]);
    }
}
