use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::{chosen_adapter, fails, has_adapter, on_adapter, succeeds};

const TINY: &[&str] =
    &["bench", "--resize", "32", "--ratio", "16", "--batch", "4", "--steps", "2", "--seed", "7"];

fn bench(more: &[&str]) -> String {
    let adapter = chosen_adapter();
    succeeds(&on_adapter(&[TINY, more].concat(), &adapter))
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn positive(report: &Value, path: &[&str]) -> f64 {
    let value = path.iter().fold(report, |value, key| &value[key]);
    let number = value.as_f64().unwrap_or_else(|| panic!("{path:?} is {value}"));
    assert!(number > 0.0 && number.is_finite(), "{path:?} is {number}");
    number
}

/// Every key of the report, no other, each of its type.
fn check_shape(report: &Value) {
    let top = [
        "adapter",
        "ceilings",
        "checked",
        "config",
        "first_step_ms",
        "gflops",
        "images_per_s",
        "kernels_ms",
        "layers",
        "memory",
        "startup_ms",
        "step_ms",
        "timed_by",
        "tuned",
        "unexplained",
    ];
    assert_eq!(keys(report), top);
    assert_eq!(keys(&report["adapter"]), ["backend", "driver", "name", "type"]);
    for key in keys(&report["adapter"]) {
        assert!(report["adapter"][key].is_string(), "{key}");
    }
    let config = ["arch", "batch", "head", "micro_batch", "pass", "ratio", "resize", "steps"];
    assert_eq!(keys(&report["config"]), config);
    assert_eq!(keys(&report["step_ms"]), ["max", "median", "min"]);
    assert_eq!(keys(&report["memory"]), ["peak_rss_bytes", "planned_bytes"]);
    assert_eq!(keys(&report["ceilings"]), ["gb_per_s", "gflops"]);
    for checked in report["checked"].as_array().unwrap() {
        assert_eq!(keys(checked), ["deviation", "op", "tolerance", "variant"]);
        assert!(checked["deviation"].as_f64().unwrap() <= checked["tolerance"].as_f64().unwrap());
    }
    for layer in report["layers"].as_array().unwrap() {
        let rates = ["bound", "floor_ms", "gb_per_s", "gflops"];
        let rest = ["ms", "name", "of_ceiling", "op", "variant"];
        assert_eq!(keys(layer), [&rates[..], &rest].concat());
        assert!(layer["ms"].as_f64().unwrap() >= 0.0, "{layer}");
        assert!(layer["gflops"].as_f64().unwrap() >= 0.0, "{layer}");
        assert!(layer["floor_ms"].as_f64().unwrap() > 0.0, "{layer}");
        assert!(["compute", "memory"].contains(&layer["bound"].as_str().unwrap()), "{layer}");
        let (op, variant) = (layer["op"].as_str().unwrap(), layer["variant"].as_str().unwrap());
        assert!(variant.starts_with(op), "{layer}");
    }
}

fn check_numbers(report: &Value) {
    for path in [["first_step_ms"], ["startup_ms"], ["images_per_s"], ["gflops"]] {
        positive(report, &path);
    }
    let [min, median, max] = ["min", "median", "max"].map(|k| positive(report, &["step_ms", k]));
    assert!(min <= median && median <= max);
    let rate = positive(report, &["images_per_s"]);
    assert!((rate - 4.0 / median * 1e3).abs() < 1e-6 * rate);
    positive(report, &["memory", "planned_bytes"]);
    positive(report, &["ceilings", "gflops"]);
    positive(report, &["ceilings", "gb_per_s"]);
    let kernels = positive(report, &["kernels_ms"]);
    let layers = report["layers"].as_array().unwrap();
    let sum: f64 = layers.iter().map(|layer| layer["ms"].as_f64().unwrap()).sum();
    assert!((kernels - sum).abs() < 1e-9 * sum, "{kernels} {sum}");
    let unexplained = report["unexplained"].as_f64().unwrap();
    assert!((unexplained - (1.0 - kernels / median)).abs() < 1e-9, "{unexplained}");
    if cfg!(target_os = "linux") {
        positive(report, &["memory", "peak_rss_bytes"]);
    }
    assert_eq!(report["config"]["arch"], "vgg11");
    assert_eq!(report["config"]["ratio"], 16);
    assert_eq!(report["config"]["resize"], 32);
    assert_eq!(report["config"]["batch"], 4);
    assert_eq!(report["config"]["steps"], 2);
}

fn ops(report: &Value) -> Vec<&str> {
    report["layers"].as_array().unwrap().iter().map(|l| l["op"].as_str().unwrap()).collect()
}

#[test]
fn a_training_step_is_reported_whole() {
    if !has_adapter("a_training_step_is_reported_whole") {
        return;
    }
    let report: Value = serde_json::from_str(&bench(&["--json", "-"])).unwrap();
    check_shape(&report);
    check_numbers(&report);
    assert_eq!(report["config"]["pass"], "train");
    assert_eq!(report["config"]["micro_batch"], 4);
    let checked = report["checked"].as_array().unwrap();
    let variants = |of: &[Value]| -> BTreeSet<String> {
        of.iter().map(|row| row["variant"].as_str().unwrap().to_owned()).collect()
    };
    let timed = variants(report["layers"].as_array().unwrap());
    assert_eq!(variants(checked), timed, "what is timed has been checked");
    for op in ["conv_forward", "conv_backward_weights", "dense_backward_data", "update"] {
        assert!(ops(&report).contains(&op), "no {op}");
    }
}

#[test]
fn inference_runs_no_backward_pass() {
    if !has_adapter("inference_runs_no_backward_pass") {
        return;
    }
    let text = bench(&["--pass", "infer", "--micro-batch", "3", "--json", "-"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    check_shape(&report);
    check_numbers(&report);
    assert_eq!(report["config"]["pass"], "infer");
    assert_eq!(report["config"]["micro_batch"], 3);
    let backward = |op: &&&str| op.contains("backward") || op.contains("sgd");
    assert_eq!(ops(&report).iter().find(backward), None);
}

#[test]
fn the_same_report_goes_to_a_file() {
    if !has_adapter("the_same_report_goes_to_a_file") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.json");
    assert_eq!(bench(&["--json", path.to_str().unwrap()]), "");
    let text = fs::read_to_string(path).unwrap();
    check_shape(&serde_json::from_str(&text).unwrap());
}

#[test]
fn a_variant_asked_for_is_the_one_that_runs() {
    if !has_adapter("a_variant_asked_for_is_the_one_that_runs") {
        return;
    }
    let flags = ["--pass", "infer", "--variant", "conv_forward_tiled", "--json", "-"];
    let report: Value = serde_json::from_str(&bench(&flags)).unwrap();
    let layers = report["layers"].as_array().unwrap();
    let mut convolutions = layers.iter().filter(|layer| layer["op"] == "conv_forward").peekable();
    assert!(convolutions.peek().is_some());
    for layer in convolutions {
        assert_eq!(layer["variant"], "conv_forward_tiled");
    }
}

#[test]
fn the_table_is_for_people() {
    if !has_adapter("the_table_is_for_people") {
        return;
    }
    let text = bench(&["--pass", "infer"]);
    let words = ["images/s", "GFLOP/s", "block1.conv1", "timed by", "micro-batches of 4"];
    for word in words.into_iter().chain(["ceilings", "checked", "outside them", "% of ceiling"]) {
        assert!(text.contains(word), "no '{word}' in:\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with("adapter ")) {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

/// A report of the network that [`TINY`] describes, without its compare.
fn report_in(folder: &TempDir) -> String {
    let path = folder.path().join("earlier.json").display().to_string();
    bench(&["--pass", "infer", "--json", &path]);
    path
}

#[test]
fn a_run_is_set_beside_an_earlier_one_whatever_its_variants() {
    if !has_adapter("a_run_is_set_beside_an_earlier_one_whatever_its_variants") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = report_in(&folder);
    // A step of one second, with one layer more and one less.
    let mut earlier: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    earlier["step_ms"]["median"] = 1000.0.into();
    earlier["layers"].as_array_mut().unwrap().retain(|layer| layer["name"] != "block1.conv1");
    earlier["layers"][0]["name"] = "gone".into();
    earlier["layers"][1]["variant"] = "another".into();
    fs::write(&path, earlier.to_string()).unwrap();
    let text = bench(&["--pass", "infer", "--compare", &path, "--json", "-"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let compare = &report["compare"];
    let ratio = 1000.0 / report["step_ms"]["median"].as_f64().unwrap();
    assert!((compare["step_ratio"].as_f64().unwrap() - ratio).abs() < 1e-9 * ratio);
    let rows = compare["layers"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    assert!(row("block1.conv1")["was_ms"].is_null() && row("gone")["ms"].is_null());
    let changed = rows.iter().find(|row| row["was_variant"] == "another").unwrap();
    let ratio = changed["was_ms"].as_f64().unwrap() / changed["ms"].as_f64().unwrap();
    assert!((changed["ratio"].as_f64().unwrap() - ratio).abs() < 1e-9 * ratio);

    let text = bench(&["--pass", "infer", "--compare", &path]);
    for word in ["times as fast", ", was another", "1000.00", "gone"] {
        assert!(text.contains(word), "no '{word}' in:\n{text}");
    }
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_is_measured() {
    if !has_adapter("what_cannot_be_compared_is_refused_before_anything_is_measured") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = report_in(&folder);
    let compare = |more: &[&'static str], file: &str, words: &[&str]| {
        fails(&[&["bench", "--compare", file], more].concat(), 1, words);
    };
    let other = ["--resize", "64", "--ratio", "16", "--batch", "4"];
    compare(&other, &path, &["--resize 32 there, 64 here", "--pass infer there, train here"]);
    let tiny = ["--pass", "infer", "--arch", "vgg13"];
    compare(&tiny, &path, &["--arch vgg11 there, vgg13 here", "--batch 4 there, 32 here"]);
    let missing = folder.path().join("none.json").display().to_string();
    compare(&[], &missing, &["could not read", "none.json"]);
    fs::write(&missing, "{\"layers\": []}").unwrap();
    compare(&[], &missing, &["is no report", "bench --json"]);
    fails(&["bench", "--compare", &path, "--sweep", "batch"], 2, &["--sweep"]);
}

#[test]
fn a_trace_has_a_track_for_the_host_and_one_for_the_kernels() {
    if !has_adapter("a_trace_has_a_track_for_the_host_and_one_for_the_kernels") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.json");
    bench(&["--micro-batch", "2", "--trace", path.to_str().unwrap()]);
    let trace: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let on =
        |track: u64| events.iter().filter(move |event| event["ph"] == "X" && event["tid"] == track);
    let host: BTreeSet<_> = on(1).map(|event| event["name"].as_str().unwrap()).collect();
    assert_eq!(host, BTreeSet::from(["record", "submit", "wait"]));
    let convolutions = on(2).filter(|event| event["name"] == "block1.conv1 conv_forward");
    let convolutions: Vec<_> = convolutions.collect();
    assert_eq!(convolutions.len(), 2, "one a micro-batch");
    for event in on(2) {
        assert!(event["ts"].as_f64().unwrap() >= 0.0 && event["dur"].as_f64().unwrap() >= 0.0);
        let (op, variant) = (&event["args"]["op"], event["args"]["variant"].as_str().unwrap());
        assert!(variant.starts_with(op.as_str().unwrap()), "{event}");
    }
    let rate = |event: &Value| event["args"]["GFLOP/s"].as_f64().unwrap();
    assert!(convolutions.iter().all(|event| rate(event) > 0.0 && event["args"]["images"] == 2));
}

#[test]
fn a_sweep_measures_each_value_and_draws_them() {
    if !has_adapter("a_sweep_measures_each_value_and_draws_them") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (svg, png) = (file("growth.svg"), file("growth.png"));
    let flags = ["--pass", "infer", "--sweep", "batch", "--values", "2,5"];
    let text = bench(&[&flags[..], &["--plot", &svg, "--json", "-"]].concat());
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["sweep"], "batch");
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["value"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 5]);
    for row in rows {
        let (step, image) = (positive(row, &["step_ms"]), positive(row, &["ms_per_image"]));
        assert!((step / row["value"].as_f64().unwrap() - image).abs() < 1e-9 * image);
        positive(row, &["gflops"]);
        positive(row, &["planned_bytes"]);
    }
    let drawing = fs::read_to_string(&svg).unwrap();
    for word in ["ms an image", "GFLOP/s", "images in a batch", "<circle"] {
        assert!(drawing.contains(word), "no '{word}'");
    }

    // Five blocks leave nothing of 16 pixels.
    let flags = ["--pass", "infer", "--sweep", "resize", "--values", "16,32", "--plot", &png];
    let text = bench(&flags);
    assert!(text.contains("not measured: resize 16: block 5"), "{text}");
    assert!(text.contains("ms an image"), "{text}");
    assert_eq!(image::open(Path::new(&png)).unwrap().width(), 1200);
}
