//! `lr-find`, as a person runs it.

use std::fs;

use serde_json::Value;

use crate::sets::{Set, text};
use crate::{fails, has_adapter, succeeds};

/// Steps that are asked for: more than an epoch has.
const STEPS: usize = 40;

fn found(set: &Set, flags: &[&str]) -> String {
    let ended = set.run("lr-find", flags);
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.stdout
}

#[test]
fn a_sweep_suggests_a_rate_and_draws_the_losses() {
    if !has_adapter("a_sweep_suggests_a_rate_and_draws_the_losses") {
        return;
    }
    let set = Set::new();
    let (plot, json) = (set.path("lr.png"), set.path("lr.json"));
    let flags = ["--steps", "40", "--from", "1e-4", "--to", "3", "--batch", "10"];
    let files = ["--plot", text(&plot), "--json", text(&json)];
    // Flags of `train` that have no part in it do no harm.
    let more = ["--init", "kaiming", "--lr", "0.1", "--epochs", "2"];
    let printed = found(&set, &[&flags[..], &files, &more].concat());
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let points = report["points"].as_array().unwrap();
    assert!((10..=STEPS).contains(&points.len()), "{printed}");
    let number = |point: &Value, key: &str| point[key].as_f64().unwrap();
    let rates: Vec<_> = points.iter().map(|point| number(point, "learning_rate")).collect();
    assert!((rates[0] / 1e-4 - 1.0).abs() < 1e-6 && rates.is_sorted(), "{rates:?}");
    let factor = (3.0_f64 / 1e-4).powf(1.0 / (STEPS - 1) as f64);
    assert!(rates.windows(2).all(|two| (two[1] / two[0] / factor - 1.0).abs() < 1e-6));
    let suggestion = report["suggestion"].as_f64().expect("the loss falls");
    assert!(rates.contains(&suggestion), "{suggestion}");
    assert!(printed.contains("suggested --lr"), "{printed}");
    let size = image::open(&plot).unwrap();
    assert_eq!((size.width(), size.height()), (1200, 500));

    // The same again, to the last bit, and as SVG.
    let again = set.path("again.json");
    let svg = set.path("lr.svg");
    let files = ["--plot", text(&svg), "--json", text(&again)];
    found(&set, &[&flags[..], &files, &more].concat());
    assert_eq!(fs::read(&json).unwrap(), fs::read(&again).unwrap());
    assert!(fs::read_to_string(svg).unwrap().contains("falls fastest"));
}

#[test]
fn a_runs_settings_serve_a_sweep() {
    if !has_adapter("a_runs_settings_serve_a_sweep") {
        return;
    }
    let set = Set::new();
    let run = set.path("run");
    set.trained(&run, &["--epochs", "1", "--optimizer", "adamw"]);
    let config = run.join("config.toml");
    let plot = set.path("lr.png");
    let flags = ["lr-find", "--config", text(&config), "--steps", "10", "--plot", text(&plot)];
    let printed = succeeds(&flags);
    assert!(printed.contains("1x4,2x8") && plot.exists(), "{printed}");
}

#[test]
fn senseless_sweeps_are_refused() {
    fails(&["lr-find", "--from", "1", "--to", "0.1"], 1, &["--from 1 is not below --to 0.1"]);
    fails(&["lr-find", "--steps", "2"], 2, &["--steps"]);
    fails(&["lr-find", "--from", "0"], 2, &["above 0"]);
}
