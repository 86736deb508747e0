//! Weights in and out as a person moves them: import, export, infer, gradients, and runs that start
//! from a file. The numbers are those of PyTorch in `tests/oracle/fixtures`.

use std::fs;
use std::path::Path;

use vgg_wgpu::shape::Normalisation;
use vgg_wgpu::weights::{Model, Tensor, Values, read_tensors, write_pth, write_safetensors};

use crate::oracle::{Case, close, norm};
use crate::sets::{Set, TRAIN, text};
use crate::{chosen_adapter, end, fails, has_adapter, on_adapter, program, succeeds};

/// A case's weights and images as files in a folder.
struct Files {
    folder: tempfile::TempDir,
    case: Case,
}

impl Files {
    fn new(name: &str) -> Self {
        let (folder, case) = (tempfile::tempdir().unwrap(), Case::read(name));
        let files = Self { folder, case };
        write_pth(&files.path("weights.pth"), &files.case.tensors()).unwrap();
        let (input, target) = files.case.batch();
        write_safetensors(&files.path("batch.safetensors"), &[input, target], None).unwrap();
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program on this adapter with paths relative to the folder.
    fn run(&self, args: &[&str]) -> String {
        let adapter = chosen_adapter();
        let needs_adapter = ["infer", "gradients", "train", "eval"].contains(&args[0]);
        let args = if needs_adapter { on_adapter(args, &adapter) } else { args.to_vec() };
        let ended = end(program(&args).current_dir(self.folder.path()));
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.stdout
    }

    /// Imports the weights for the case's own resolution.
    fn import(&self, more: &[&str]) -> String {
        let side = self.case.side().to_string();
        let args = ["import", "weights.pth", "--out", "model.safetensors", "--resize", &side];
        self.run(&[&args[..], more].concat())
    }
}

fn floats(tensor: &Tensor<'_>) -> Vec<f64> {
    match &tensor.values {
        Values::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Values::I64(_) => panic!("{} holds integers", tensor.name),
    }
}

fn sorted(path: &Path) -> Vec<Tensor<'static>> {
    let mut tensors = read_tensors(path).unwrap().tensors;
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

#[test]
fn imported_weights_infer_as_in_pytorch() {
    if !has_adapter("imported_weights_infer_as_in_pytorch") {
        return;
    }
    for name in ["odd", "bn_pool"] {
        let files = Files::new(name);
        let said = files.import(&[]);
        assert!(said.contains("names     torchvision"), "{said}");
        for weights in ["weights.pth", "model.safetensors"] {
            let input = ["--input", "batch.safetensors", "--out", "logits.safetensors"];
            files.run(&[&["infer", "--weights", weights], &input[..]].concat());
            let logits = &sorted(&files.path("logits.safetensors"))[0];
            let (images, classes) = (files.case.images(), files.case.classes());
            assert_eq!((logits.name.as_str(), &logits.shape), ("logits", &vec![images, classes]));
            close(&floats(logits), &files.case.fixture.of("eval.logits"), "logits", name);
        }
    }
}

#[test]
fn gradients_are_written_under_torchvisions_names() {
    if !has_adapter("gradients_are_written_under_torchvisions_names") {
        return;
    }
    let files = Files::new("bn");
    let flags = ["--input", "batch.safetensors", "--out", "g.safetensors"];
    files.run(&[&["gradients", "--weights", "weights.pth"], &flags[..]].concat());
    let found = sorted(&files.path("g.safetensors"));
    let of = |name: &str| found.iter().find(|tensor| tensor.name == name).expect("a tensor");
    assert!(of("loss").shape.is_empty());
    close(&floats(of("loss")), &files.case.fixture.of("train.loss"), "loss", "bn");
    let parameters = files.case.parameters();
    assert_eq!(found.len(), parameters.len() + 1);
    let mut compared = 0;
    for (name, shape) in &parameters {
        assert_eq!(&of(name).shape, shape, "{name}");
        let Some(wanted) = files.case.fixture.get(&format!("gradient.{name}")) else { continue };
        if norm(&wanted) > 0.0 {
            close(&floats(of(name)), &wanted, name, "bn");
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared} gradients compared");
}

#[test]
fn what_is_exported_comes_back_bit_for_bit() {
    let files = Files::new("bn");
    files.import(&[]);
    let wanted = sorted(&files.path("model.safetensors"));
    for (format, file) in [
        ("torchvision", "a.pth"),
        ("torchvision", "a.safetensors"),
        ("pth", "b.pth"),
        ("safetensors", "c.safetensors"),
    ] {
        // torchvision's class pools to 7x7, which this network does not.
        let refused = format != "safetensors";
        let args = ["export", "model.safetensors", "--format", format, "--out", file];
        if refused {
            let ended = end(program(&args).current_dir(files.folder.path()));
            assert_eq!(ended.code, 1, "{ended:?}");
            assert!(ended.stderr.contains("7x7"), "{}", ended.stderr);
            continue;
        }
        files.run(&args);
        assert_eq!(sorted(&files.path(file)), wanted, "{format}");
    }
    let pooled = Files::new("bn_pool");
    pooled.import(&["--head", "avgpool7"]);
    let wanted = sorted(&pooled.path("model.safetensors"));
    for (format, file) in [("torchvision", "a.pth"), ("torchvision", "a.safetensors"), ("pth", "b")]
    {
        pooled.run(&["export", "model.safetensors", "--format", format, "--out", file]);
        assert_eq!(sorted(&pooled.path(file)), wanted, "{format}");
    }
    let plain = Files::new("flatten");
    plain.import(&[]);
    plain.run(&["export", "model.safetensors", "--format", "d2l", "--out", "book.pth"]);
    let names: Vec<_> =
        sorted(&plain.path("book.pth")).into_iter().map(|tensor| tensor.name).collect();
    assert!(names.contains(&"1.2.weight".to_owned()), "{names:?}");
    plain.run(&["import", "book.pth", "--out", "again.safetensors", "--resize", "28"]);
    assert_eq!(sorted(&plain.path("again.safetensors")), sorted(&plain.path("model.safetensors")));
    plain.run(&["export", "model.safetensors", "--format", "onnx", "--out", "n.onnx"]);
    let onnx = fs::read(plain.path("n.onnx")).unwrap();
    for name in ["input", "logits", "Gemm", "features.0.weight"] {
        assert!(onnx.windows(name.len()).any(|bytes| bytes == name.as_bytes()), "no {name}");
    }
}

#[test]
fn an_import_tells_what_was_recognised_and_what_does_not_fit() {
    let files = Files::new("flatten");
    let said = files.run(&["import", "weights.pth", "--out", "m.safetensors"]);
    assert!(said.contains("network   1x8,2x12, head avgpool7"), "{said}");
    let flat = ["import", "weights.pth", "--head", "flatten", "--out", "m.safetensors"];
    let said = files.run(&flat);
    assert!(said.contains("network   1x8,2x12, head flatten"), "{said}");
    assert!(said.contains("--resize fixes another"), "{said}");
    let fails_in = |args: &[&str], words: &[&str]| {
        let ended = end(program(args).current_dir(files.folder.path()));
        assert_eq!(ended.code, 1, "{ended:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "no '{word}' in {}", ended.stderr);
        }
    };
    let wrong = ["import", "weights.pth", "--head", "flatten", "--out", "x", "--resize", "64"];
    fails_in(&wrong, &["28", "31"]);
    let mut tensors = files.case.tensors();
    tensors.retain(|tensor| tensor.name != "classifier.3.bias");
    let wrong = tensors.iter_mut().find(|tensor| tensor.name == "classifier.3.weight").unwrap();
    wrong.name = "classifier.3.wheight".to_owned();
    write_safetensors(&files.path("broken.safetensors"), &tensors, None).unwrap();
    let words = ["classifier.3.weight", "classifier.3.bias", "classifier.3.wheight", "broken"];
    fails_in(&["import", "broken.safetensors", "--out", "x"], &words);
    fs::write(files.path("names.txt"), "a\nb\n").unwrap();
    let args = ["import", "weights.pth", "--out", "x", "--labels", "names.txt"];
    fails_in(&args, &["2", "10"]);
    assert!(!files.path("x").exists());
}

#[test]
fn a_new_last_layer_is_trained_alone() {
    if !has_adapter("a_new_last_layer_is_trained_alone") {
        return;
    }
    let (files, set) = (Files::new("flatten"), Set::new());
    let names: String = (0..10).map(|class| format!("class {class}\n")).collect();
    fs::write(files.path("names.txt"), &names).unwrap();
    files.import(&["--classes", "10", "--labels", "names.txt", "--seed", "3"]);
    let before = Model::load(&files.path("model.safetensors")).unwrap();
    assert_eq!(before.description.classes[9], "class 9");
    let origin = before.description.origin.clone().unwrap();
    assert_eq!(origin.imported_from.as_deref(), Some("weights.pth"));
    let (original, last) = (files.case.tensors(), before.layers.len() - 1);
    let weight = original.iter().find(|tensor| tensor.name == "classifier.6.weight").unwrap();
    assert_ne!(Values::F32(before.layers[last].weight.clone().into()), weight.values);

    let data = set.data();
    let train = ["train", "--data", text(&data), "--init", "model.safetensors", "--out", "run"];
    let how = ["--freeze", "features", "--epochs", "1", "--lr", "0.01", "--batch", "32"];
    files.run(&[&train[..], &how, &["--weight-decay", "0.001", "--momentum", "0.9"]].concat());
    let after = Model::load(&files.path("run").join("model.safetensors")).unwrap();
    for (i, (before, after)) in before.layers.iter().zip(&after.layers).enumerate() {
        let dense = i >= before_dense(&after.name);
        assert_eq!(before != after, dense, "{}", after.name);
    }
    let card = after.description.origin.unwrap();
    assert_eq!(card.imported_from.as_deref(), Some("weights.pth"));
    assert!(card.program.starts_with("vgg-wgpu ") && card.adapter.is_some(), "{card:?}");
    assert_eq!(card.metrics.unwrap().epoch, 1);
    let config = fs::read_to_string(files.path("run").join("config.toml")).unwrap();
    for line in ["freeze = \"features\"", "weight_decay = 0.001", "init = \"model.safetensors\""] {
        assert!(config.contains(line), "no '{line}' in {config}");
    }
}

/// 0 of a dense layer, so that its place counts as one; past every place of a convolution.
fn before_dense(name: &str) -> usize {
    if name.starts_with("classifier") { 0 } else { usize::MAX }
}

#[test]
fn each_step_of_a_trajectory_is_logged() {
    if !has_adapter("each_step_of_a_trajectory_is_logged") {
        return;
    }
    let (files, set) = (Files::new("flatten"), Set::new());
    let data = set.data();
    files.import(&[]);
    let run = |out: &str, log: &str| {
        let train = ["train", "--data", text(&data), "--init", "model.safetensors", "--out", out];
        let how = ["--no-shuffle", "--dropout", "0", "--epochs", "2", "--batch", "32"];
        files.run(&[&train[..], &how, &["--lr", "0.01", "--log-steps", log]].concat());
        fs::read_to_string(files.path(log)).unwrap()
    };
    let log = run("a", "a.csv");
    assert_eq!(log, run("b", "b.csv"), "the same trajectory twice");
    let mut lines = log.lines();
    assert_eq!(lines.next(), Some("step,loss"));
    let rows: Vec<(usize, f64)> = lines
        .map(|line| line.split_once(',').unwrap())
        .map(|(step, loss)| (step.parse().unwrap(), loss.parse().unwrap()))
        .collect();
    let steps: Vec<usize> = rows.iter().map(|row| row.0).collect();
    assert_eq!(steps, (0..2 * TRAIN.div_ceil(32)).collect::<Vec<_>>());
    // The history's loss is the mean over the images of the first three batches.
    let history = fs::read_to_string(files.path("a").join("history.csv")).unwrap();
    let first: f64 = history.lines().nth(1).unwrap().split(',').nth(1).unwrap().parse().unwrap();
    let images = [32.0, 32.0, (TRAIN - 64) as f64];
    let sum: f64 = rows.iter().zip(images).map(|((_, loss), images)| loss * images).sum();
    assert!((sum / TRAIN as f64 - first).abs() < 1e-6 * first, "{first}: {rows:?}");
}

#[test]
fn logits_of_a_set_are_written_in_its_order() {
    if !has_adapter("logits_of_a_set_are_written_in_its_order") {
        return;
    }
    let (files, set) = (Files::new("flatten"), Set::new());
    files.import(&[]);
    let data = set.data();
    let eval = ["eval", "model.safetensors", "--data", text(&data), "--json"];
    let report = files.run(&[&eval[..], &["--logits", "l.safetensors"]].concat());
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let file = sorted(&files.path("l.safetensors"));
    let [labels, logits] = &file[..] else { panic!("two tensors: {file:?}") };
    assert_eq!((labels.name.as_str(), logits.name.as_str()), ("labels", "logits"));
    let (rows, Values::I64(labels)) = (floats(logits), &labels.values) else {
        panic!("labels are integers");
    };
    let loss = |(row, &label): (&[f64], &i64)| {
        let sum: f64 = row.iter().map(|x| x.exp()).sum();
        sum.ln() - row[label as usize]
    };
    let losses = rows.chunks_exact(10).zip(labels.iter()).map(loss);
    let mean = losses.sum::<f64>() / labels.len() as f64;
    let told = report["loss"].as_f64().unwrap();
    assert!((mean - told).abs() < 1e-6 * told, "{mean}, {told}");
}

#[test]
fn raw_tensors_that_do_not_fit_are_told_of() {
    let files = Files::new("flatten");
    let write = |name: &str, tensors: &[Tensor<'_>]| {
        write_safetensors(&files.path(name), tensors, None).unwrap();
    };
    let values = vec![0.0; 2 * 3 * 28 * 28];
    write("rgb", &[Tensor::floats("input", &[2, 3, 28, 28], &values)]);
    write("flat", &[Tensor::floats("input", &[6, 784], &values)]);
    write("wide", &[Tensor::floats("input", &[1, 1, 28, 14], &values[..392])]);
    write("none", &[Tensor::floats("x", &[1, 1, 28, 28], &values[..784])]);
    let weights = files.path("weights.pth");
    for (file, words) in [
        ("rgb", ["3 channels", "expects 1"]),
        ("flat", ["(N, C, H, W)", "784"]),
        ("wide", ["square", "14"]),
        ("none", ["no tensor `input`", "none"]),
    ] {
        let input = files.path(file);
        let args = ["infer", "--weights", text(&weights), "--input", text(&input), "--out", "x"];
        fails(&args, 1, &words);
    }
    let batch = files.path("rgb");
    let args = ["gradients", "--weights", text(&weights), "--input", text(&batch), "--out", "x"];
    fails(&args, 1, &["no tensor `target`"]);
}

#[test]
fn preprocessing_of_imagenet_is_recognised() {
    let files = Files::new("late");
    let said = succeeds(&[
        "import",
        text(&files.path("weights.pth")),
        "--resize",
        "28",
        "--out",
        text(&files.path("m.safetensors")),
    ]);
    assert!(said.contains("1000 classes"), "{said}");
    let model = Model::load(&files.path("m.safetensors")).unwrap();
    let preprocessing = model.description.preprocessing;
    assert_eq!(preprocessing.normalisation, Normalisation::IMAGENET);
    assert_eq!(preprocessing.resize, Some(32));
}
