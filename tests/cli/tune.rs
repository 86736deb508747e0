//! What `tune` finds is kept, used by later runs and told by them; a cache that is broken stops nobody.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use vgg_wgpu::train::recorded_choices;

use crate::sets::{Set, text};
use crate::{Ended, apart, chosen_adapter, end, fails, has_adapter, on_adapter, program};

const NETWORK: [&str; 6] = ["--resize", "8", "--arch", "1x4,2x8", "--batch", "32"];

/// A set of images and a cache of its own.
struct Home {
    set: Set,
    cache: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { set: Set::new(), cache: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let adapter = chosen_adapter();
        let mut command = program(&on_adapter(args, &adapter));
        apart(&mut command, self.cache.path());
        command
    }

    fn tune(&self, more: &[&str]) -> Ended {
        let flags = ["tune", "--seconds", "60"];
        end(&mut self.command(&[&flags[..], &NETWORK, more].concat()))
    }

    /// Trains an epoch.
    fn train(&self, run: &Path, more: &[&str]) -> Ended {
        let data = self.set.data();
        let flags = ["train", "--data", text(&data), "--out", text(run), "--epochs", "1"];
        end(&mut self.command(&[&flags[..], &NETWORK, more].concat()))
    }

    fn file(&self) -> PathBuf {
        self.cache.path().join("vgg-wgpu").join("tuned.json")
    }
}

#[test]
fn a_choice_is_kept_and_taken_by_later_runs_that_record_it() {
    if !has_adapter("a_choice_is_kept_and_taken_by_later_runs_that_record_it") {
        return;
    }
    let home = Home::new();
    let first = home.set.path("first");
    let ended = home.train(&first, &["--tune", "--tune-seconds", "60"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    assert!(ended.stdout.contains("tuned     ") && ended.stdout.contains("kinds of work in"));
    let mut cache: Value = serde_json::from_slice(&fs::read(home.file()).unwrap()).unwrap();
    let kept = cache["adapters"][0]["tasks"].as_object().unwrap().clone();
    let recorded = recorded_choices(&first).unwrap();
    assert!(recorded.len() >= kept.len() && !kept.is_empty(), "{recorded:?}");
    for (task, entry) in &kept {
        assert_eq!(recorded.get(task), entry["variant"].as_str(), "{task}");
    }

    // Another choice than the measured one, as another machine might have made it. Tiles run anywhere.
    let (task, entry) = kept.iter().find(|(task, _)| task.starts_with("dense_")).unwrap();
    let op = task.split(' ').next().unwrap();
    let (tiled, shuffle) = (format!("{op}_tiled"), format!("{op}_shuffle"));
    let other = if entry["variant"] == tiled.as_str() { &shuffle } else { &tiled };
    cache["adapters"][0]["tasks"][task]["variant"] = other.as_str().into();
    fs::write(home.file(), cache.to_string()).unwrap();
    let (second, third) = (home.set.path("second"), home.set.path("third"));
    let ended = home.train(&second, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("of kernels by `vgg-wgpu tune`"), "{}", ended.stdout);
    let recorded = recorded_choices(&second).unwrap();
    assert_eq!(recorded.get(task), Some(other.as_str()));

    // What the user wants comes before it.
    home.train(&third, &["--variant", entry["variant"].as_str().unwrap()]);
    assert_eq!(recorded_choices(&third).unwrap().get(task), entry["variant"].as_str());

    // Another driver's are none of this one's.
    cache["adapters"][0]["driver"] = "another".into();
    fs::write(home.file(), cache.to_string()).unwrap();
    let fourth = home.set.path("fourth");
    let ended = home.train(&fourth, &[]);
    assert!(!ended.stdout.contains("tune"), "{}", ended.stdout);
    assert_ne!(recorded_choices(&fourth).unwrap().get(task), Some(other.as_str()));
}

#[test]
fn tune_reports_what_it_measured_and_what_it_did_not_reach() {
    if !has_adapter("tune_reports_what_it_measured_and_what_it_did_not_reach") {
        return;
    }
    let home = Home::new();
    let ended = home.tune(&["--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&report["batch"], &report["pass"]), (&32.into(), &"train".into()));
    assert_eq!(report["kept_in"], text(&home.file()));
    let (tasks, rest) = (report["tasks"].as_array().unwrap(), &report["not_reached"]);
    assert!(!tasks.is_empty(), "{report}");
    for task in tasks {
        let candidates = task["candidates"].as_array().unwrap();
        let chosen = candidates.iter().find(|c| c["variant"] == task["chosen"]).unwrap();
        assert!(chosen["ms"].as_f64().unwrap() > 0.0 && chosen["dropped"].is_null(), "{task}");
        assert!(candidates.len() > 1 && task["gain"].as_f64().unwrap() >= 1.0, "{task}");
        assert!(candidates.iter().all(|c| c["dropped"] != "unusable"), "{task}");
    }
    for task in rest.as_array().unwrap() {
        assert_eq!(task["chosen"], task["model"], "{task}");
    }

    let ended = home.tune(&[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for word in ["adapter ", "dense_forward 4096>4096 n32", "chosen, ", "kinds of work", "kept in "]
    {
        assert!(ended.stdout.contains(word), "no '{word}' in:\n{}", ended.stdout);
    }
    assert!(ended.stdout.lines().all(|line| line.chars().count() <= 130), "{}", ended.stdout);

    let cleared = end(&mut home.command(&["tune", "--clear"]));
    assert_eq!(cleared.stdout, format!("removed {}\n", home.file().display()));
    assert!(!home.file().exists());
    let again = end(&mut home.command(&["tune", "--clear"]));
    assert!(again.code == 0 && again.stdout.starts_with("nothing was tuned"), "{again:?}");
}

#[test]
fn a_broken_cache_is_a_warning() {
    if !has_adapter("a_broken_cache_is_a_warning") {
        return;
    }
    let home = Home::new();
    fs::create_dir(home.file().parent().unwrap()).unwrap();
    fs::write(home.file(), "{\"version\": 1, \"adapt").unwrap();
    let ended = home.train(&home.set.path("run"), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for word in ["warning: ", "tuned.json holds no tuned choices", "hint: ", "tune --clear"] {
        assert!(ended.stderr.contains(word), "no '{word}' in: {}", ended.stderr);
    }

    // A folder in the file's place can be neither read nor replaced.
    fs::remove_file(home.file()).unwrap();
    fs::create_dir_all(home.file().join("full")).unwrap();
    let ended = home.train(&home.set.path("tuned"), &["--tune", "--tune-seconds", "1"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for word in ["cannot read tuned choices", "cannot keep tuned choices", "hold for this run"] {
        assert!(ended.stderr.contains(word), "no '{word}' in: {}", ended.stderr);
    }
}

#[test]
fn senseless_times_are_usage_errors() {
    fails(&["tune", "--seconds", "0"], 2, &["--seconds"]);
    fails(&["train", "--tune-seconds", "5"], 2, &["--tune"]);
    fails(&["tune", "--clear", "--json"], 2, &["--clear"]);
}
