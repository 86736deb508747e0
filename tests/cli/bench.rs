use serde_json::Value;

use crate::{chosen_adapter, has_adapter, on_adapter, succeeds};

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
    let top = ["adapter", "config", "first_step_ms", "gflops", "images_per_s", "layers", "memory"];
    assert_eq!(keys(report), [&top[..], &["startup_ms", "step_ms"]].concat());
    assert_eq!(keys(&report["adapter"]), ["backend", "driver", "name", "type"]);
    for key in keys(&report["adapter"]) {
        assert!(report["adapter"][key].is_string(), "{key}");
    }
    let config = ["arch", "batch", "micro_batch", "pass", "ratio", "resize", "steps"];
    assert_eq!(keys(&report["config"]), config);
    assert_eq!(keys(&report["step_ms"]), ["max", "median", "min"]);
    assert_eq!(keys(&report["memory"]), ["peak_rss_bytes", "planned_bytes"]);
    for layer in report["layers"].as_array().unwrap() {
        assert_eq!(keys(layer), ["gflops", "ms", "name", "op", "variant"]);
        assert!(layer["ms"].as_f64().unwrap() >= 0.0, "{layer}");
        assert!(layer["gflops"].as_f64().unwrap() >= 0.0, "{layer}");
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
    for op in ["conv_forward", "conv_backward_weights", "dense_backward_data", "sgd_update"] {
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
    let text = std::fs::read_to_string(path).unwrap();
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
    for word in ["images/s", "GFLOP/s", "block1.conv1", "timed by", "micro-batches of 4"] {
        assert!(text.contains(word), "no '{word}' in:\n{text}");
    }
}
