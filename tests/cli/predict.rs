//! Pictures on their way to the network: preprocessing, names of classes, and the filters of `train`
//! and `eval`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use vgg_wgpu::data;
use vgg_wgpu::shape::Normalisation;
use vgg_wgpu::weights::{Model, Preprocessing};

use crate::sets::{Set, TEST, text};
use crate::{chosen_adapter, fails_as, has_adapter, on_adapter, program, succeeds};

/// The network's input is 8x8.
const INPUT: usize = 8;

fn predict(model: &Path, picture: &Path, more: &[&str]) -> Vec<(String, f64)> {
    let adapter = chosen_adapter();
    let flags = ["predict", text(model), text(picture), "--top", "10", "--json"];
    let json = succeeds(&on_adapter(&[&flags[..], more].concat(), &adapter));
    let answers: Value = serde_json::from_str(&json).unwrap();
    let class = |class: &Value| {
        (class["name"].as_str().unwrap().to_owned(), class["probability"].as_f64().unwrap())
    };
    answers[0]["classes"].as_array().unwrap().iter().map(class).collect()
}

/// The model of a run with another preprocessing, in a file of its own.
fn with(set: &Set, run: &Path, name: &str, preprocessing: Preprocessing) -> std::path::PathBuf {
    let mut model = Model::load(&run.join("model.safetensors")).unwrap();
    model.description.preprocessing = preprocessing;
    let path = set.path(name);
    model.save(&path).unwrap();
    path
}

#[test]
fn pictures_go_through_the_models_preprocessing() {
    if !has_adapter("pictures_go_through_the_models_preprocessing") {
        return;
    }
    let set = Set::new();
    let run = set.path("run");
    set.trained(&run, &["--lr", "0.05"]);
    // A picture of another shape, in colours.
    let colours = |x: u32, y: u32| image::Rgb([(7 * x) as u8, (11 * y) as u8, (x * y) as u8]);
    let picture = image::RgbImage::from_fn(31, 23, colours);
    let file = set.path("picture.png");
    picture.save(&file).unwrap();
    let grey = data::grey(picture.as_raw());
    let save = |name: &str, pixels: Vec<u8>| {
        let path = set.path(name);
        let side = INPUT as u32;
        image::GrayImage::from_raw(side, side, pixels).unwrap().save(&path).unwrap();
        path
    };
    let whole = data::resize_pillow(&grey, (23, 31, 1), (INPUT, INPUT)).unwrap();
    let middle = data::resize_and_crop(&grey, (23, 31, 1), 11, (INPUT, INPUT)).unwrap();
    let (whole, middle) = (save("whole.png", whole), save("middle.png", middle));

    let plain = with(&set, &run, "plain", Preprocessing::default());
    assert_eq!(predict(&plain, &file, &[]), predict(&plain, &whole, &[]));
    let cropping = Preprocessing { resize: Some(11), ..Preprocessing::default() };
    let cropping = with(&set, &run, "cropping", cropping);
    assert_eq!(predict(&cropping, &file, &[]), predict(&plain, &middle, &[]));
    assert_ne!(predict(&cropping, &file, &[]), predict(&plain, &file, &[]));

    let normalisation = Normalisation { mean: [0.5; 3], deviation: [0.25; 3] };
    let normalising = Preprocessing { normalisation, ..Preprocessing::default() };
    let normalising = with(&set, &run, "normalising", normalising);
    assert_ne!(predict(&normalising, &file, &[]), predict(&plain, &file, &[]));
    let senseless = Normalisation { deviation: [0.0; 3], ..normalisation };
    let senseless = Preprocessing { normalisation: senseless, resize: None };
    let senseless = with(&set, &run, "senseless", senseless);
    let command = &mut program(&["predict", text(&senseless), text(&file)]);
    fails_as(command, 1, &["deviation of [0.0, 0.0, 0.0]"]);
    let nothing = Preprocessing { resize: Some(0), ..Preprocessing::default() };
    let nothing = with(&set, &run, "nothing", nothing);
    let command = &mut program(&["predict", text(&nothing), text(&file)]);
    fails_as(command, 1, &["cannot be resized", "picture.png", "to become one of 0"]);
}

#[test]
fn classes_are_named_by_a_file() {
    if !has_adapter("classes_are_named_by_a_file") {
        return;
    }
    let set = Set::new();
    let run = set.path("run");
    set.trained(&run, &[]);
    let picture = set.path("picture.png");
    image::GrayImage::from_fn(12, 12, |x, y| image::Luma([(x * y) as u8])).save(&picture).unwrap();
    let names: Vec<_> = (0..10).map(|i| format!("kind {i}")).collect();
    let labels = set.path("labels.txt");
    fs::write(&labels, names.join("\r\n") + "\n").unwrap();
    let usual = predict(&run, &picture, &[]);
    let named = predict(&run, &picture, &["--labels", text(&labels)]);
    for ((class, chance), (name, same)) in usual.iter().zip(&named) {
        assert_eq!((format!("kind {class}"), chance), (name.clone(), same));
    }
    fs::write(&labels, "one\ntwo\n").unwrap();
    let flags = ["predict", text(&run), text(&picture), "--labels", text(&labels)];
    fails_as(&mut program(&flags), 1, &["labels.txt names 2 classes", "tells 10 apart"]);
    fs::remove_file(&labels).unwrap();
    fails_as(&mut program(&flags), 1, &["cannot read", "labels.txt"]);
}

#[test]
fn a_run_says_how_it_resized_and_eval_can_do_the_same() {
    if !has_adapter("a_run_says_how_it_resized_and_eval_can_do_the_same") {
        return;
    }
    let (set, adapter) = (Set::new(), chosen_adapter());
    let data = set.data();
    let run = set.path("run");
    set.trained(&run, &["--resize-filter", "pil", "--lr", "0.05"]);
    let config: toml::Table = fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["network"]["resize_filter"].as_str(), Some("pil"));
    let history = fs::read_to_string(run.join("history.csv")).unwrap();
    let cells = history.lines().last().unwrap().split(',');
    let trained: Vec<f64> = cells.map(|cell| cell.parse().unwrap()).collect();
    let eval = |filter: &str, more: &[&str]| {
        let flags = ["eval", text(&run), "--data", text(&data), "--resize-filter", filter];
        succeeds(&on_adapter(&[&flags[..], more].concat(), &adapter))
    };
    let report =
        |filter: &str| -> Value { serde_json::from_str(&eval(filter, &["--json"])).unwrap() };
    let (same, other) = (report("pil"), report("bilinear"));
    let loss = |report: &Value| report["loss"].as_f64().unwrap();
    assert!((loss(&same) - trained[3]).abs() < 1e-5, "{same}, {trained:?}");
    assert!((loss(&same) - loss(&other)).abs() > 1e-5, "{same}, {other}");
    let share = |key: &str| same[key].as_f64().unwrap() * TEST as f64;
    let (top1, top5) = (share("accuracy"), share("top5_accuracy"));
    assert!(top1 <= top5 && (top5 - top5.round()).abs() < 1e-9, "{same}");
    assert!(eval("pil", &[]).contains("\ntop-5     "), "{}", eval("pil", &[]));
}
