//! `benches/peers/run.sh` and the tables that `benches/peers/report.py` makes of its results.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::machine::{GOOD_CARGO, Machine, Outcome};

/// A Python that logs its calls, knows of one crate to build, and measures with the exit code given.
fn python(machine: &Machine, code: i32) -> String {
    let body = format!(
        r#"echo "python $*" >>"$LOG"
case "$*" in *--list-crates*) echo candle ;; *) exit {code} ;; esac"#
    );
    machine.stub_quiet("fake-python", &body);
    machine.path("bin/fake-python").display().to_string()
}

#[test]
fn the_peers_script_builds_what_is_chosen_and_hands_its_flags_on() {
    let machine = Machine::complete();
    machine.stub("cargo", GOOD_CARGO);
    let python = python(&machine, 0);
    let flags = ["--only", "candle,ours", "--rounds", "3"];
    let variables = [("ORACLE_PYTHON", python.as_str()), ("CARGO_TARGET_DIR", "/built")];
    let outcome = machine.run_with("benches/peers/run.sh", &flags, &variables);
    outcome.exits(0).called("cargo build --release --locked --manifest-path");
    outcome.called("candle/Cargo.toml --target-dir /built/peers");
    outcome.called("--only candle,ours --rounds 3 --program /built/release/vgg-wgpu");
    outcome.called("--peers /built/peers/release");
    assert!(!outcome.log.contains("burn/Cargo.toml"), "{}", outcome.log);
}

#[test]
fn the_peers_script_fails_where_the_comparison_does() {
    let machine = Machine::complete();
    machine.stub("cargo", GOOD_CARGO);
    let python = python(&machine, 1);
    let variables = [("ORACLE_PYTHON", python.as_str())];
    machine.run_with("benches/peers/run.sh", &["--check"], &variables).exits(1);
}

fn row(peer: &str, ratio: Option<f64>) -> Value {
    let mut row = json!({
        "peer": peer, "label": peer, "variant": "", "version": null, "note": "",
        "step_ms": {"median": 1212.0, "min": 1200.0, "max": 1300.0}, "steps": 7,
        "images_per_s": 26.4, "gflops": 80.8, "first_step_ms": 1500.0, "peak_rss_bytes": 2.4e9,
    });
    if let Some(median) = ratio {
        row["ratio"] = json!({"median": median, "min": 0.4, "max": 0.6, "rounds": 7});
    }
    row
}

/// The report of one task with these rows, if there is a Python that can make it.
fn report(test: &str, rows: &[Value]) -> Option<Outcome> {
    let python = ["python3.13", "python3.12", "python3.11", "python3"].into_iter().find(|name| {
        let ok = "import sys; sys.exit(sys.version_info < (3, 11))";
        Command::new(name).args(["-c", ok]).status().is_ok_and(|status| status.success())
    });
    let Some(python) = python else {
        println!("skipped: {test}: no Python 3.11");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let task = json!({"name": "224x32", "title": "Training", "gflop": 97.87, "rows": rows});
    let machine = json!({"processor": "P", "threads": 2, "system": "S", "date": "D"});
    let results = json!({"machine": machine, "rounds": 7, "tasks": [task]});
    fs::write(folder.path().join("results.json"), results.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/report.py");
    let output = Command::new(python)
        .args(["-B".as_ref(), script.as_os_str(), "--check".as_ref(), folder.path().as_os_str()])
        .output()
        .unwrap();
    Some(Outcome::new(output, String::new()))
}

#[test]
fn a_ratio_that_is_reached_passes_the_check() {
    let rows = [row("ours", None), row("torch-installed", Some(0.5)), row("candle", Some(0.1))];
    let Some(outcome) = report("a_ratio_that_is_reached_passes_the_check", &rows) else { return };
    outcome.exits(0);
    let line = "| torch-installed | 1,212 (1,200 to 1,300) | 26.4 | 80.8 | 0.50 (0.40 to 0.60) \
                | 0.5 (1) | 1.5 | 2.40 | 7 |";
    assert!(outcome.stdout.contains(line), "{}", outcome.stdout);
}

#[test]
fn a_ratio_that_is_missed_fails_the_check_and_is_marked() {
    let rows = [row("ours", None), row("torch-installed", Some(0.499))];
    let Some(outcome) = report("a_ratio_that_is_missed_fails_the_check_and_is_marked", &rows)
    else {
        return;
    };
    outcome.exits(1).warns("missed: Training, torch-installed: 0.499, required 0.5");
    assert!(outcome.stdout.contains("(0.40 to 0.60), missed |"), "{}", outcome.stdout);
}

#[test]
fn a_peer_that_does_not_run_stands_in_the_table_with_its_reason() {
    let mut failed = row("torch-installed", None);
    failed["error"] = "no memory".into();
    let name = "a_peer_that_does_not_run_stands_in_the_table_with_its_reason";
    let Some(outcome) = report(name, &[row("ours", None), failed]) else { return };
    outcome.exits(1).warns("torch-installed: 0, required 0.5");
    assert!(outcome.stdout.contains("| does not run: no memory |"), "{}", outcome.stdout);
}
