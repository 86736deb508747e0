//! Update rules, as flags of `train`.

use std::fs;

use crate::sets::{Set, text};
use crate::{end, fails, has_adapter, program, succeeds};

/// The losses of all steps of a run.
fn losses(set: &Set, name: &str, flags: &[&str]) -> Vec<f64> {
    let (run, log) = (set.path(name), set.path(&format!("{name}.csv")));
    let how = ["--epochs", "2", "--batch", "10", "--log-steps", text(&log)];
    set.trained(&run, &[&how[..], flags].concat());
    let lines = fs::read_to_string(log).unwrap();
    lines.lines().skip(1).map(|line| line.split_once(',').unwrap().1.parse().unwrap()).collect()
}

#[test]
fn every_rule_learns_in_its_own_way() {
    if !has_adapter("every_rule_learns_in_its_own_way") {
        return;
    }
    let set = Set::new();
    let sgd = ["--lr", "0.02", "--init", "kaiming"];
    let push = ["--lr", "0.003", "--init", "kaiming", "--momentum", "0.9"];
    let adam = ["--optimizer", "adamw", "--lr", "0.01", "--init", "kaiming"];
    let mut found: Vec<(&str, Vec<f64>)> = Vec::new();
    for (name, flags) in [
        ("sgd", [&sgd[..], &[]].concat()),
        ("nesterov", [&push[..], &["--nesterov"]].concat()),
        ("clipped", [&push[..], &["--clip-norm", "0.5"]].concat()),
        ("decayed", [&sgd[..], &["--weight-decay", "0.1"]].concat()),
        ("decayed-all", [&sgd[..], &["--weight-decay", "0.1", "--decay-all"]].concat()),
        ("adamw", [&adam[..], &["--weight-decay", "0.5"]].concat()),
    ] {
        let losses = losses(&set, name, &flags);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&losses[..9]), mean(&losses[9..]));
        assert!(last < first, "{name}: the loss went from {first} to {last}");
        // All begin with the same loss, and no two go on alike.
        for (other, before) in &found {
            assert_eq!(before[0], losses[0], "{name} and {other}");
            assert_ne!(*before, losses, "{name} and {other}");
        }
        found.push((name, losses));
    }
    let config = fs::read_to_string(set.path("adamw/config.toml")).unwrap();
    for line in ["optimizer = \"adamw\"", "beta1 = 0.9", "beta2 = 0.999"] {
        assert!(config.contains(line), "no '{line}' in {config}");
    }
}

#[test]
fn a_rate_of_its_own_stands_for_each_rule() {
    if !has_adapter("a_rate_of_its_own_stands_for_each_rule") {
        return;
    }
    let set = Set::new();
    for (name, flags, rate) in
        [("sgd", &[][..], "lr = 0.05"), ("adam", &["--optimizer", "adamw"], "lr = 0.001")]
    {
        let out = set.path(name);
        let how = ["--epochs", "1", "--out", text(&out)];
        let ended = set.run("train", &[&how, flags].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        let config = fs::read_to_string(set.path(name).join("config.toml")).unwrap();
        assert!(config.contains(rate), "{config}");
    }
    // A file that gives the other one's is not taken for a default.
    let file = set.path("flags.toml");
    fs::write(&file, "optimizer = \"adamw\"\nlr = 0.05\nepochs = 1\n").unwrap();
    let ended = set.run("train", &["--config", text(&file), "--out", text(&set.path("file"))]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let config = fs::read_to_string(set.path("file/config.toml")).unwrap();
    assert!(config.contains("lr = 0.05"), "{config}");
}

#[test]
fn flags_that_do_not_go_together_are_told() {
    let tail = ["--data", "embedded", "--resize", "32"];
    for (flags, words) in [
        (&["--optimizer", "adamw", "--momentum", "0.9"][..], "AdamW has --beta1"),
        (&["--beta1", "0.5"], "are of --optimizer adamw"),
        (&["--epsilon", "1e-6", "--momentum", "0.9"], "are of --optimizer adamw"),
        (&["--decay-all"], "--decay-all needs a --weight-decay"),
        (&["--nesterov"], "--nesterov needs a --momentum"),
    ] {
        fails(&[&["train"], flags, &tail].concat(), 1, &[words]);
        fails(&[&["lr-find"], flags, &tail].concat(), 1, &[words]);
    }
}

#[test]
fn adamw_goes_on_where_it_was_stopped() {
    if !has_adapter("adamw_goes_on_where_it_was_stopped") {
        return;
    }
    let set = Set::new();
    let flags =
        ["--optimizer", "adamw", "--weight-decay", "0.1", "--clip-norm", "1", "--batch", "20"];
    let (whole, parts) = (set.path("whole"), set.path("parts"));
    set.trained(&whole, &[&flags[..], &["--epochs", "3"]].concat());
    set.trained(&parts, &[&flags[..], &["--epochs", "1"]].concat());
    succeeds(&["train", "--resume", text(&parts), "--epochs", "3"]);
    let model = |run: &std::path::Path| fs::read(run.join("model.safetensors")).unwrap();
    assert!(model(&whole) == model(&parts), "the weights differ");
    let ended = end(&mut program(&[
        "train",
        "--resume",
        text(&parts),
        "--epochs",
        "4",
        "--optimizer",
        "sgd",
        "--clip-norm",
        "1",
    ]));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("began with AdamW as optimiser"), "{ended:?}");
}
