//! What a run records as it goes on: `metrics.jsonl`, and events for TensorBoard.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::has_adapter;
use crate::sets::{Set, TRAIN, text};

/// Lines of a run's metrics, of one type.
fn metrics(run: &Path, kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["type"] == kind).collect()
}

/// The rows of a CSV file without its header.
fn rows(path: &Path) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(path).unwrap();
    let row = |line: &str| line.split(',').map(|cell| cell.parse().unwrap()).collect();
    text.lines().skip(1).map(row).collect()
}

fn close(a: &Value, b: f64) {
    let a = a.as_f64().unwrap();
    assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{a} and {b}");
}

#[test]
fn every_step_and_epoch_is_a_line() {
    if !has_adapter("every_step_and_epoch_is_a_line") {
        return;
    }
    let set = Set::new();
    let (run, steps) = (set.path("run"), set.path("steps.csv"));
    let flags = ["--epochs", "2", "--log-steps", text(&steps), "--schedule", "step"];
    set.trained(&run, &[&flags[..], &["--step-epochs", "1", "--step-factor", "0.5"]].concat());

    let (lines, losses) = (metrics(&run, "step"), rows(&steps));
    assert_eq!((lines.len(), losses.len()), (6, 6));
    for (place, (line, row)) in lines.iter().zip(&losses).enumerate() {
        assert_eq!(line["step"], place);
        assert_eq!(line["epoch"], place / 3 + 1);
        close(&line["loss"], row[1]);
        // Three batches of 32, 32 and 26 images.
        let images = if place % 3 == 2 { TRAIN - 64 } else { 32 };
        assert_eq!(line["images"], images);
        let hits = line["accuracy"].as_f64().unwrap() * images as f64;
        assert!((hits - hits.round()).abs() < 1e-9, "{line}");
        close(&line["learning_rate"], if place < 3 { 0.02 } else { 0.01 });
        let seconds = line["seconds"].as_f64().unwrap();
        assert!(seconds > 0.0, "{line}");
        close(&line["images_per_s"], images as f64 / seconds);
    }

    let (lines, history) = (metrics(&run, "epoch"), rows(&run.join("history.csv")));
    assert_eq!((lines.len(), history.len()), (2, 2));
    for (line, row) in lines.iter().zip(&history) {
        let names =
            ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"];
        names.iter().zip(row).for_each(|(name, &value)| close(&line[name], value));
    }
    assert_eq!(lines.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 5]);
}

#[test]
fn a_loss_that_is_no_number_is_null() {
    if !has_adapter("a_loss_that_is_no_number_is_null") {
        return;
    }
    let set = Set::new();
    let run = set.path("run");
    assert_eq!(set.train(&run, &["--lr", "1e30", "--batch", "9"]).code, 1);
    let lines = metrics(&run, "step");
    assert!(lines[0]["loss"].is_f64(), "{}", lines[0]);
    assert!(lines.last().unwrap()["loss"].is_null(), "{lines:?}");
}
