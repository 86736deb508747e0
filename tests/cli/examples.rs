//! The examples of the library, as `cargo test` and `cargo nextest run` build them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sets::text;
use crate::{Ended, end, has_adapter};

/// An example beside the program. A test run that names its targets does not build them.
fn built(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_vgg-wgpu"));
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = program.with_file_name("examples").join(file);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"));
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    assert!(
        modified(&path) >= modified(&source),
        "{} is not there or older than its source: run `cargo build{profile} --examples`",
        path.display()
    );
    path
}

/// Runs an example in `folder`, expects it to succeed, and returns what it printed.
fn example(name: &str, arguments: &[&str], folder: &Path) -> String {
    let Ended { code, stdout, stderr } =
        end(Command::new(built(name)).args(arguments).current_dir(folder));
    assert_eq!(code, 0, "{name}: {stderr}");
    stdout
}

/// The number after a word.
fn after(text: &str, word: &str) -> f64 {
    let rest = text.split(word).nth(1).unwrap_or_else(|| panic!("no '{word}' in:\n{text}"));
    let number = rest.trim_start().split([' ', ',', '\n']).next().unwrap();
    number.parse().unwrap_or_else(|_| panic!("'{number}' after '{word}' in:\n{text}"))
}

#[test]
fn a_custom_architecture_is_planned_and_learns() {
    if !has_adapter("a_custom_architecture_is_planned_and_learns") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let printed = example("custom_architecture", &[], folder.path());
    // Five convolutions... of which each has its normalisation, and the layers after them.
    for words in ["block2.conv2", "dense2", "MFLOP forward", "plan: ", "50 at a time"] {
        assert!(printed.contains(words), "no '{words}' in:\n{printed}");
    }
    assert!(after(&printed, "accuracy") > 0.3, "no better than guessing:\n{printed}");
}

#[test]
fn a_custom_set_of_images_is_learnt() {
    if !has_adapter("a_custom_set_of_images_is_learnt") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let printed = example("custom_data", &[], folder.path());
    assert_eq!(printed.lines().count(), 4, "{printed}");
    let last = printed.lines().last().unwrap();
    assert!(after(last, "accuracy") > 0.6, "a third is guessing:\n{printed}");
}

#[test]
fn what_is_transferred_tells_pictures_apart() {
    if !has_adapter("what_is_transferred_tells_pictures_apart") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("shoes.safetensors");
    let printed = example("transfer_learning", &[text(&model)], folder.path());
    let last = printed.lines().find(|line| line.contains("after")).unwrap();
    let (before, now) = (after(last, "accuracy"), after(last, "before,"));
    assert!(now > 0.6 && now > before, "{printed}");

    // An ankle boot of the set inside the crate, as a picture.
    let images = vgg_wgpu::data::embedded().unwrap().test;
    let boot = images.labels.iter().position(|&label| label == 9).unwrap();
    let pixels = images.images.image(boot).unwrap().to_vec();
    let picture = folder.path().join("boot.png");
    image::GrayImage::from_raw(28, 28, pixels).unwrap().save(&picture).unwrap();
    let printed = example("inference", &[text(&model), text(&picture)], folder.path());
    let lines: Vec<_> = printed.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let mut classes: Vec<_> = lines.iter().map(|(_, class)| *class).collect();
    let chances: Vec<f64> = lines.iter().map(|(chance, _)| chance.parse().unwrap()).collect();
    assert!(chances.is_sorted_by(|a, b| a >= b), "{printed}");
    assert!((chances.iter().sum::<f64>() - 1.0).abs() < 2e-4, "{printed}");
    classes.sort_unstable();
    assert_eq!(classes, ["ankle boot", "bag", "sneaker"]);
}

#[test]
fn inference_tells_how_it_is_used() {
    let ended = end(&mut Command::new(built("inference")));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("usage: inference MODEL.safetensors PICTURE"), "{ended:?}");
}
