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

/// CRC-32C bit by bit, masked as TFRecords have it.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The data of all frames of a folder's one file of events.
fn records(folder: &Path) -> Vec<Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.filter(|path| text(path).contains("tfevents")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let bytes = fs::read(files.remove(0)).unwrap();
    let (mut rest, mut records) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let (length, after) = rest.split_at(8);
        let size = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let (sum, after) = after.split_at(4);
        assert_eq!(u32::from_le_bytes(sum.try_into().unwrap()), checksum(length));
        let (data, after) = after.split_at(size);
        let (sum, after) = after.split_at(4);
        assert_eq!(u32::from_le_bytes(sum.try_into().unwrap()), checksum(data));
        records.push(data.to_vec());
        rest = after;
    }
    records
}

/// A field of a message of protobuf: a varint or a fixed number as its bits, or bytes.
#[derive(Debug, Clone)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// Fields with their tags.
type Message = Vec<(u64, Field)>;

impl Field {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) => panic!("{self:?}"),
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => panic!("{self:?}"),
        }
    }
}

/// The fields of a message with their tags.
fn fields(mut bytes: &[u8]) -> Message {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (number, rest) = bytes.split_at(length);
        *bytes = rest;
        number.iter().rev().fold(0, |all, byte| (all << 7) | u64::from(byte & 0x7f))
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let size = match key & 7 {
            0 => {
                fields.push((key >> 3, Field::Number(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(size);
        bytes = rest;
        let fixed = || value.iter().rev().fold(0, |all, &byte| (all << 8) | u64::from(byte));
        let field =
            if key & 7 == 2 { Field::Bytes(value.to_vec()) } else { Field::Number(fixed()) };
        fields.push((key >> 3, field));
    }
    fields
}

fn field(of: &[(u64, Field)], tag: u64) -> Field {
    of.iter().find(|(found, _)| *found == tag).map_or(Field::Number(0), |(_, field)| field.clone())
}

/// All values of a file of events: step, tag, and the fields of the value.
fn values(folder: &Path) -> Vec<(u64, String, Message)> {
    let mut events = records(folder).into_iter().map(|record| fields(&record));
    assert_eq!(field(&events.next().unwrap(), 3).bytes(), b"brain.Event:2");
    let mut all = Vec::new();
    for event in events {
        let time = f64::from_bits(field(&event, 1).number());
        assert!(time > 1.7e9, "{time}");
        for (_, value) in fields(field(&event, 5).bytes()) {
            let value = fields(value.bytes());
            let tag = String::from_utf8(field(&value, 1).bytes().to_vec()).unwrap();
            all.push((field(&event, 2).number(), tag, value));
        }
    }
    all
}

fn scalars(of: &[(u64, String, Message)], tag: &str) -> Vec<(u64, f64)> {
    let same = of.iter().filter(|(_, found, _)| found == tag);
    same.map(|(step, _, value)| (*step, f32::from_bits(field(value, 2).number() as u32).into()))
        .collect()
}

#[test]
fn tensorboards_events_tell_of_the_whole_run() {
    if !has_adapter("tensorboards_events_tell_of_the_whole_run") {
        return;
    }
    let set = Set::new();
    let (run, plain) = (set.path("run"), set.path("plain"));
    let flags = ["--epochs", "2", "--momentum", "0.9", "--schedule", "cosine"];
    set.trained(&plain, &flags);
    set.trained(&run, &[&flags[..], &["--tensorboard"]].concat());
    let model = |run: &Path| fs::read(run.join("model.safetensors")).unwrap();
    assert!(model(&plain) == model(&run), "watching changes nothing");

    let values = values(&run);
    let steps = metrics(&run, "step");
    for name in ["loss", "accuracy", "learning_rate"] {
        let found = scalars(&values, &format!("step/{name}"));
        assert_eq!(found.len(), steps.len());
        for ((step, value), line) in found.iter().zip(&steps) {
            assert_eq!(line["step"], *step);
            close(&line[name], *value);
        }
    }
    let epochs = metrics(&run, "epoch");
    for name in ["train_loss", "train_accuracy", "val_loss", "val_accuracy"] {
        let found = scalars(&values, &format!("epoch/{name}"));
        assert_eq!(found.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [1, 2]);
        found.iter().zip(&epochs).for_each(|((_, value), line)| close(&line[name], *value));
    }

    // Filters and panels, each with a bias, of three convolutions and three dense layers.
    for group in ["weights", "gradients"] {
        let of_group = values.iter().filter(|(_, tag, _)| tag.starts_with(&format!("{group}/")));
        let found: Vec<_> = of_group.collect();
        assert_eq!(found.len(), 2 * 2 * 6, "{group}");
        for (epoch, tag, value) in &found {
            assert!((1..=2).contains(epoch), "{tag}");
            let histogram = fields(field(value, 5).bytes());
            let [min, max, num, _, squares] =
                [1, 2, 3, 4, 5].map(|tag| f64::from_bits(field(&histogram, tag).number()));
            assert!(min <= max && num > 0.0 && squares > 0.0, "{tag}: {min} {max} {num} {squares}");
            let [limits, counts] = [6, 7].map(|tag| {
                let packed = field(&histogram, tag).bytes().to_vec();
                let numbers = packed.as_chunks().0.iter().map(|&number| f64::from_le_bytes(number));
                numbers.collect::<Vec<_>>()
            });
            assert!(limits.len() == counts.len() && limits.is_sorted(), "{tag}");
            assert_eq!(counts.iter().sum::<f64>(), num, "{tag}");
            assert!(*limits.last().unwrap() > max, "{tag}");
        }
    }
    let first = values.iter().find(|(_, tag, _)| tag == "weights/features.0.weight").unwrap();
    let histogram = fields(field(&first.2, 5).bytes());
    assert_eq!(f64::from_bits(field(&histogram, 3).number()), (4 * 9) as f64);

    let images: Vec<_> = values.iter().filter(|(_, tag, _)| tag.starts_with("images/")).collect();
    assert_eq!(images.len(), 8);
    for (_, tag, value) in images {
        let image = fields(field(value, 4).bytes());
        let png = image::load_from_memory(field(&image, 4).bytes()).unwrap();
        assert_eq!((png.width(), png.height(), field(&image, 3).number()), (8, 8, 1), "{tag}");
        // The images are dark, below 23, but for a bright row of 240, a quarter of which may be left.
        assert!(png.to_luma8().iter().any(|&value| value > 40), "{tag}");
    }
}

#[test]
fn events_may_lie_in_a_folder_of_their_own() {
    if !has_adapter("events_may_lie_in_a_folder_of_their_own") {
        return;
    }
    let set = Set::new();
    let folder = set.path("deep/events");
    set.trained(&set.path("run"), &["--tensorboard", text(&folder), "--freeze", "features"]);
    // What is frozen has weights, and no gradients.
    let values = values(&folder);
    let with = |start: &str| values.iter().any(|(_, tag, _)| tag.starts_with(start));
    assert!(with("weights/features.") && with("gradients/classifier."));
    assert!(!with("gradients/features."));
    let config = fs::read_to_string(set.path("run/config.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    assert_eq!(config["flags"]["tensorboard"].as_str(), Some(text(&folder)));
    // Two runs in one folder would look as one.
    let ended = set.train(&set.path("other"), &["--tensorboard", text(&folder)]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("holds events of another run"), "{}", ended.stderr);
    assert!(!set.path("other").exists());
}
