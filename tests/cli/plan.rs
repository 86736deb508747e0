use serde_json::Value;

use crate::{chosen_adapter, fails, has_adapter, on_adapter, succeeds};

fn plan(args: &[&str]) -> Value {
    let adapter = chosen_adapter();
    let args: Vec<&str> = ["plan", "--json"].iter().chain(args).copied().collect();
    serde_json::from_str(&succeeds(&on_adapter(&args, &adapter))).unwrap()
}

#[test]
fn the_small_network_of_the_book_has_its_known_numbers() {
    if !has_adapter("the_small_network_of_the_book_has_its_known_numbers") {
        return;
    }
    let plan = plan(&["--ratio", "4"]);
    assert_eq!(plan["arch"], "1x16,1x32,2x64,2x128,2x128");
    assert_eq!(plan["parameters"], 43_093_322);
    let training = plan["training_flop"].as_f64().unwrap();
    assert!((training / 1e9 - 3.0585).abs() < 5e-5, "{training}");
    let first = &plan["layers"][0];
    assert_eq!(first["name"], "block1.conv1");
    assert_eq!(first["output"], serde_json::json!([224, 224, 16]));
    assert_eq!(first["parameters"], 9 * 16 + 16);
    assert_eq!(first["flop"], 2 * 9 * 16 * 224 * 224);
}

#[test]
fn the_memory_adds_up_and_keeps_to_the_limit() {
    if !has_adapter("the_memory_adds_up_and_keeps_to_the_limit") {
        return;
    }
    let flags = ["--ratio", "8", "--resize", "64", "--batch", "100", "--memory", "300MB"];
    for (rule, clip, moments) in [
        (&["--momentum", "0"][..], &[][..], 0),
        (&["--momentum", "0.9", "--nesterov"], &["--clip-norm", "1"], 1),
        (&["--optimizer", "adamw"], &[], 2),
    ] {
        let plan = plan(&[&flags[..], rule, clip].concat());
        let size = |what: &str| plan["memory"][format!("{what}_bytes")].as_u64().unwrap();
        let parts = ["parameters", "gradients", "moments", "clip", "arena", "metrics"].map(size);
        assert_eq!(parts.iter().sum::<u64>(), size("total"), "{plan}");
        assert!(size("total") <= 300_000_000, "{plan}");
        assert!(size("arena") <= size("arena_unshared"), "{plan}");
        // Where gradients are clipped all of them are stored.
        assert_eq!(size("clip") > 0, !clip.is_empty(), "{plan}");
        assert_eq!(size("moments"), moments * size("parameters"), "{plan}");
        let micro_batch = plan["memory"]["micro_batch"].as_u64().unwrap();
        assert!((1..=100).contains(&micro_batch), "{plan}");
    }
}

#[test]
fn inference_takes_less_than_training() {
    if !has_adapter("inference_takes_less_than_training") {
        return;
    }
    let total = |pass: &str| {
        let flags = ["--ratio", "8", "--resize", "64", "--micro-batch", "4", "--pass", pass];
        plan(&flags)["memory"]["total_bytes"].as_u64().unwrap()
    };
    assert!(total("infer") < total("train"));
}

#[test]
fn the_tables_name_layers_and_sizes() {
    if !has_adapter("the_tables_name_layers_and_sizes") {
        return;
    }
    let adapter = chosen_adapter();
    let args = ["plan", "--ratio", "8", "--resize", "32", "--batch", "10", "--micro-batch", "5"];
    let text = succeeds(&on_adapter(&args, &adapter));
    for word in ["block5.conv2", "2x2x64", "dense3", "GFLOP", "arena", "a binding", "MiB"] {
        assert!(text.contains(word), "no '{word}' in:\n{text}");
    }
    assert!(text.contains("batch of 10 in 2 micro-batches of 5"), "{text}");
}

#[test]
fn wrong_flags_are_named() {
    fails(&["plan", "--arch", "vgg12"], 2, &["--arch", "'vgg12'", "vgg11", "1x64"]);
    fails(&["plan", "--arch", "1x64,0x2"], 2, &["'0x2'"]);
    fails(&["plan", "--memory", "lots"], 2, &["--memory", "lots", "3GiB"]);
    fails(&["plan", "--memory", "0"], 2, &["--memory"]);
    fails(&["plan", "--micro-batch", "0"], 2, &["--micro-batch", "at least 1"]);
    let names = ["--variant", "conv_forward_tiled", "dense_forward_shuffle"];
    fails(&["plan", "--variant", "conv_forward_quick"], 2, &names);
}

#[test]
fn networks_that_cannot_be_are_refused_before_an_adapter_is_opened() {
    let too_small = ["block 5", "at least 32"];
    fails(&["plan", "--resize", "16", "--adapter", "no-such-adapter"], 1, &too_small);
    fails(&["plan", "--channels", "2"], 1, &["2 input channels"]);
    fails(&["plan", "--classes", "0"], 1, &["classes must be at least 1"]);
    fails(&["plan", "--dropout", "1"], 1, &["dropout of 1"]);
}

#[test]
fn what_does_not_fit_is_told_with_what_does() {
    if !has_adapter("what_does_not_fit_is_told_with_what_does") {
        return;
    }
    let adapter = chosen_adapter();
    let flags = ["plan", "--ratio", "4", "--micro-batch", "128", "--memory", "1GiB"];
    let words = ["a micro-batch of 128 does not fit", "the largest that does is"];
    fails(&on_adapter(&flags, &adapter), 1, &words);
    let flags = ["plan", "--ratio", "4", "--memory", "100MB"];
    fails(&on_adapter(&flags, &adapter), 1, &["100000000 are allowed", "--memory"]);
}
