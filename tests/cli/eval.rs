use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::sets::{SIZE, Set, TEST, class, image, text};
use crate::{chosen_adapter, end, fails_as, has_adapter, on_adapter, program, succeeds};

/// A run that told all classes apart, so that its answers are known.
fn learnt(set: &Set) -> std::path::PathBuf {
    let run = set.path("run");
    let flags = ["--epochs", "4", "--init", "kaiming", "--momentum", "0.9", "--batch", "10"];
    set.trained(&run, &[&flags[..], &["--dropout", "0.1", "--arch", "1x8"]].concat());
    run
}

/// The last cells of a history: loss and accuracy over the test images.
fn last_of_history(run: &Path) -> (f64, f64) {
    let history = fs::read_to_string(run.join("history.csv")).unwrap();
    let cells: Vec<f64> =
        history.lines().last().unwrap().split(',').map(|cell| cell.parse().unwrap()).collect();
    (cells[3], cells[4])
}

fn eval(set: &Set, model: &Path, more: &[&str]) -> String {
    let (data, adapter) = (set.data(), chosen_adapter());
    let flags = [&["eval", text(model), "--data", text(&data)], more].concat();
    succeeds(&on_adapter(&flags, &adapter))
}

fn predict(model: &Path, more: &[&str]) -> String {
    let adapter = chosen_adapter();
    succeeds(&on_adapter(&[&["predict", text(model)], more].concat(), &adapter))
}

/// Files that show test image `index`, with the name of its class.
fn pictures(set: &Set) -> Vec<(String, String)> {
    let side = SIZE as u32;
    let name = |i: usize| Value::from(class(i)).to_string();
    let grey = |i: usize| image::GrayImage::from_raw(side, side, image(i)).unwrap();
    let mut pictures = Vec::new();
    for i in [3, 4, 8] {
        let path = set.path(&format!("{i}.png"));
        grey(i).save(&path).unwrap();
        pictures.push((text(&path).to_owned(), name(i)));
    }
    // In colour, and under a name that says something else: the content counts.
    let (png, path) = (set.path("colour.png"), set.path("colour.jpg"));
    image::DynamicImage::from(grey(7)).to_rgba16().save(&png).unwrap();
    fs::rename(png, &path).unwrap();
    pictures.push((text(&path).to_owned(), name(7)));
    pictures
}

/// `classes.txt` gives names to the classes; these are their own numbers.
fn named_set() -> Set {
    let set = Set::new();
    let names: Vec<String> = (0..10).map(|class| class.to_string()).collect();
    fs::write(set.data().join("classes.txt"), names.join("\n")).unwrap();
    set
}

#[test]
fn a_trained_network_is_measured_and_used() {
    if !has_adapter("a_trained_network_is_measured_and_used") {
        return;
    }
    let set = named_set();
    let run = learnt(&set);
    let (loss, accuracy) = last_of_history(&run);
    assert!(accuracy > 0.9, "the network did not learn rows: {accuracy}");

    for model in [run.clone(), run.join("model.safetensors")] {
        let report: Value = serde_json::from_str(&eval(&set, &model, &["--json"])).unwrap();
        let measured = report["loss"].as_f64().unwrap();
        assert!((measured - loss).abs() <= 1e-5 * loss + 1e-6, "{measured}, history: {loss}");
        assert!((report["accuracy"].as_f64().unwrap() - accuracy).abs() < 1e-6);
        assert_eq!(report["images"], TEST);
        assert_eq!(report["split"], "test");
        let classes = report["classes"].as_array().unwrap();
        assert_eq!(classes.len(), 10);
        let hits = |class: &Value| class["recall"].as_f64().unwrap() * (TEST / 10) as f64;
        assert!((classes.iter().map(hits).sum::<f64>() - accuracy * TEST as f64).abs() < 1e-4);
        let rows = report["confusion"].as_array().unwrap();
        let cell = |i: usize, j: usize| rows[i][j].as_u64().unwrap();
        for (i, class) in classes.iter().enumerate() {
            let taken: u64 = (0..10).map(|j| cell(j, i)).sum();
            assert_eq!((0..10).map(|j| cell(i, j)).sum::<u64>(), TEST as u64 / 10);
            let f1 = 2.0 * cell(i, i) as f64 / (taken as f64 + TEST as f64 / 10.0);
            assert!((class["f1"].as_f64().unwrap() - f1).abs() < 1e-9, "{class}");
        }
        let wrong = (0..10).map(|i| TEST as u64 / 10 - cell(i, i)).sum::<u64>();
        assert_eq!(report["mistakes"].as_array().unwrap().len() as u64, wrong);
    }
    let text = eval(&set, &run, &["--split", "train", "--limit", "15"]);
    for word in ["images    15", "loss", "accuracy", "precision", "macro F1", "mostly taken for"] {
        assert!(text.contains(word), "no '{word}' in:\n{text}");
    }

    let pictures = pictures(&set);
    let files: Vec<_> = pictures.iter().map(|(file, _)| file.as_str()).collect();
    let json = predict(&run, &[&files[..], &["--json", "--top", "10"]].concat());
    let answers: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(answers.len(), pictures.len());
    for (answer, (file, class)) in answers.iter().zip(&pictures) {
        assert_eq!(answer["file"], file.as_str());
        assert_eq!(answer["classes"][0]["name"], class.as_str(), "{answer}");
        let chances = answer["classes"].as_array().unwrap().iter();
        let chances: Vec<_> = chances.map(|c| c["probability"].as_f64().unwrap()).collect();
        assert_eq!(chances.len(), 10);
        assert!(chances.is_sorted_by(|a, b| a >= b), "{answer}");
        assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{answer}");
    }
    let lines = predict(&run, &files);
    for (line, (file, class)) in lines.lines().zip(&pictures) {
        let classes = line.strip_prefix(&format!("{file}: ")).unwrap();
        assert!(classes.starts_with(&format!("{class} ")), "{line}");
        assert_eq!(classes.split(", ").count(), 3, "{line}");
    }
}

#[test]
fn what_a_network_takes_for_what_is_drawn() {
    if !has_adapter("what_a_network_takes_for_what_is_drawn") {
        return;
    }
    let set = named_set();
    let run = set.path("run");
    set.trained(&run, &["--epochs", "1"]);
    let text_of = eval(&set, &run, &[]);
    // A network that has learnt next to nothing makes mistakes.
    for word in ["most confident mistakes", "  #", ", taken for ", "mistakes.png"] {
        assert!(text_of.contains(word), "no '{word}' in:\n{text_of}");
    }
    for name in ["confusion.png", "mistakes.png"] {
        let picture = image::open(run.join(name)).unwrap();
        assert!(picture.width() >= 400 && picture.height() >= 200, "{name}");
    }
    let svg = fs::read_to_string(run.join("confusion.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("taken for"), "{svg}");
    // Of a model file only where a folder is named.
    let (model, out) = (set.path("alone/model.safetensors"), set.path("new/drawn"));
    fs::create_dir(set.path("alone")).unwrap();
    fs::copy(run.join("model.safetensors"), &model).unwrap();
    assert!(!eval(&set, &model, &[]).contains("drawn"));
    assert_eq!(fs::read_dir(set.path("alone")).unwrap().count(), 1);
    assert!(eval(&set, &model, &["--out", text(&out)]).contains("drawn"));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
}

/// Loss of a network over the test images, and the filter it was measured with.
fn measured(set: &Set, model: &Path, more: &[&str]) -> (f64, String) {
    let report = eval(set, model, &[&["--json"], more].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    (report["loss"].as_f64().unwrap(), report["resize_filter"].as_str().unwrap().to_owned())
}

#[test]
fn images_are_resized_as_in_the_run() {
    if !has_adapter("images_are_resized_as_in_the_run") {
        return;
    }
    let set = Set::new();
    let run = set.path("run");
    set.trained(&run, &["--resize-filter", "pil"]);
    let (trained, _) = last_of_history(&run);
    let same = |loss: f64| (loss - trained).abs() <= 1e-5 * trained + 1e-6;
    let (model, best) = (run.join("model.safetensors"), run.join("best.safetensors"));
    for of_run in [&run, &model, &best] {
        let (loss, filter) = measured(&set, of_run, &[]);
        assert!(same(loss) && filter == "pil", "{loss} with {filter}, history: {trained}");
    }
    // The flag wins, and a model that lies elsewhere knows of no run.
    let (loss, filter) = measured(&set, &run, &["--resize-filter", "bilinear"]);
    assert!(!same(loss) && filter == "bilinear", "{loss} with {filter}, history: {trained}");
    let alone = set.path("alone.safetensors");
    fs::copy(&model, &alone).unwrap();
    assert_eq!(measured(&set, &alone, &[]), (loss, filter));
    // A run whose settings cannot be read is not measured by chance.
    let config = run.join("config.toml");
    let text_of = fs::read_to_string(&config).unwrap();
    fs::write(&config, text_of.replace("resize-filter = \"pil\"", "resize-filter = \"cubic\""))
        .unwrap();
    let data = set.data();
    let flags = ["eval", text(&run), "--data", text(&data)];
    fails_as(&mut program(&flags), 1, &["config.toml", "cubic", "--resize-filter"]);
    fs::write(&config, &text_of[..text_of.find(" = ").unwrap()]).unwrap();
    fails_as(&mut program(&flags), 1, &["config.toml:1: ", "--resize-filter"]);
    assert_eq!(measured(&set, &run, &["--resize-filter", "pil"]).1, "pil");
}

#[test]
fn light_and_dark_can_be_exchanged() {
    if !has_adapter("light_and_dark_can_be_exchanged") {
        return;
    }
    let (set, adapter) = (Set::new(), chosen_adapter());
    let run = set.path("run");
    set.trained(&run, &[]);
    let side = SIZE as u32;
    let mut picture = image::GrayImage::from_raw(side, side, image(2)).unwrap();
    let (light, dark) = (set.path("light.png"), set.path("dark.png"));
    picture.save(&dark).unwrap();
    image::imageops::invert(&mut picture);
    picture.save(&light).unwrap();
    let ask = |file: &Path, more: &[&str]| {
        let flags = [&["predict", text(&run), text(file), "--top", "10"], more].concat();
        let answer = succeeds(&on_adapter(&flags, &adapter));
        answer.split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(ask(&light, &["--invert"]), ask(&dark, &[]));
    assert_ne!(ask(&light, &[]), ask(&dark, &[]));
}

#[test]
fn files_that_hold_no_model_are_told_apart() {
    let set = Set::new();
    let fails = |path: &Path, words: &[&str]| {
        fails_as(&mut program(&["predict", text(path), "x.png"]), 1, words);
    };
    fails(&set.path("none"), &["cannot read", "none"]);
    fs::create_dir(set.path("empty")).unwrap();
    fails(&set.path("empty"), &["cannot read", "model.safetensors"]);
    fs::write(set.path("garbage"), b"this is no model").unwrap();
    fails(&set.path("garbage"), &["garbage is no file of tensors that is known"]);
    // A header that claims more than there is.
    fs::write(set.path("huge"), u64::MAX.to_le_bytes()).unwrap();
    fails(&set.path("huge"), &["huge is no file of tensors that is known"]);
    let header = br#"{"__metadata__":{"by":"another program"}}"#;
    let foreign = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    fs::write(set.path("foreign"), foreign).unwrap();
    fails(&set.path("foreign"), &["foreign holds no network that can be read"]);
}

#[test]
fn a_model_cut_short_is_refused() {
    if !has_adapter("a_model_cut_short_is_refused") {
        return;
    }
    let set = Set::new();
    let run = set.path("run");
    set.trained(&run, &[]);
    let whole = fs::read(run.join("model.safetensors")).unwrap();
    let cut = set.path("cut");
    for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&cut, &whole[..length]).unwrap();
        let command = &mut program(&["eval", text(&cut), "--data", "embedded"]);
        // Without the first byte of its header nothing tells the format.
        let words =
            if length > 8 { "cut is no whole safetensors file" } else { "cut is no file of" };
        fails_as(command, 1, &[words]);
    }
}

#[test]
fn a_set_with_other_classes_is_refused() {
    if !has_adapter("a_set_with_other_classes_is_refused") {
        return;
    }
    let (set, adapter) = (Set::new(), chosen_adapter());
    let run = set.path("run");
    set.trained(&run, &[]);
    let names: Vec<_> = (0..12).map(|class| format!("class {class}")).collect();
    fs::write(set.data().join("classes.txt"), names.join("\n")).unwrap();
    let data = set.data();
    let flags = ["eval", text(&run), "--data", text(&data)];
    let command = &mut program(&on_adapter(&flags, &adapter));
    fails_as(command, 1, &["tells 10 classes apart", "12"]);
}

#[test]
fn pictures_that_cannot_be_read_are_named() {
    if !has_adapter("pictures_that_cannot_be_read_are_named") {
        return;
    }
    let set = Set::new();
    let run = set.path("run");
    set.trained(&run, &[]);
    let picture = set.path("whole.png");
    image::GrayImage::new(9, 5).save(&picture).unwrap();
    let bytes = fs::read(&picture).unwrap();
    for (name, bytes) in
        [("cut.png", &bytes[..bytes.len() / 2]), ("text.png", b"hello"), ("no", b"")]
    {
        let broken = set.path(name);
        fs::write(&broken, bytes).unwrap();
        let command = &mut program(&["predict", text(&run), text(&broken)]);
        fails_as(command, 1, &["cannot read", name, "as an image"]);
    }
    let gone = set.path("gone.png");
    fails_as(&mut program(&["predict", text(&run), text(&gone)]), 1, &["cannot read", "gone.png"]);
    let ended = end(&mut program(&["predict", text(&run)]));
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("<IMAGE|DIR|->"), "{}", ended.stderr);
}
