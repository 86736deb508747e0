//! Runs that are stopped and killed, and go on.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::pictures::Album;
use crate::sets::{Set, text};
use crate::{Ended, chosen_adapter, end, fails, has_adapter, on_adapter, program};

/// All that has a state: batch normalisation, momentum, dropout, a schedule, a micro-batch, an order.
const HOW: [&str; 14] = [
    "--arch",
    "1x4,2x8_bn",
    "--batch",
    "20",
    "--epochs",
    "5",
    "--momentum",
    "0.9",
    "--schedule",
    "one-cycle",
    "--dropout",
    "0.3",
    "--log-steps",
    "",
];

/// A run of [`HOW`] with a log of its steps.
fn begin(set: &Set, name: &str, more: &[&str]) -> Command {
    let (data, adapter) = (set.data(), chosen_adapter());
    let (run, log) = (set.path(name), set.path(&format!("{name}.csv")));
    let flags = ["train", "--data", text(&data), "--out", text(&run), "--resize", "8"];
    let mut how = HOW;
    how[13] = text(&log);
    program(&on_adapter(&[&flags[..], &how, more].concat(), &adapter))
}

fn resume(run: &Path, more: &[&str]) -> Command {
    program(&[&["train", "--resume", text(run)], more].concat())
}

fn ends_well(command: &mut Command) -> Ended {
    let ended = end(command);
    assert_eq!(ended.code, 0, "{command:?}: {ended:?}");
    ended
}

/// What a run leaves, without what a clock measured.
fn left(set: &Set, name: &str) -> Vec<Vec<u8>> {
    let run = set.path(name);
    let history = fs::read_to_string(run.join("history.csv")).unwrap();
    let row = |line: &str| line.split(',').take(5).collect::<Vec<_>>().join(",") + "\n";
    let history: String = history.lines().map(row).collect();
    let file = |name: &str| fs::read(run.join(name)).unwrap();
    let (model, best) = (file("model.safetensors"), file("best.safetensors"));
    vec![model, best, history.into_bytes(), fs::read(set.path(&format!("{name}.csv"))).unwrap()]
}

fn started(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until the log of a run has more lines than `lines`; false if the run ended before.
fn has_steps(child: &mut Child, log: &Path, lines: usize) -> bool {
    while lines_of(log) <= lines {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

fn lines_of(log: &Path) -> usize {
    fs::read_to_string(log).map_or(0, |text| text.lines().count())
}

#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_at_any_step_goes_on_as_if_it_had_not_been() {
    if !has_adapter("a_run_that_is_stopped_at_any_step_goes_on_as_if_it_had_not_been") {
        return;
    }
    let set = Set::new();
    ends_well(&mut begin(&set, "whole", &[]));
    // 90 images: an epoch has five steps.
    let mut random = fastrand::Rng::new();
    let (mut stops, mut command) = (0, begin(&set, "stopped", &[]));
    loop {
        let log = set.path("stopped.csv");
        let before = lines_of(&log);
        let mut child = started(&mut command);
        if has_steps(&mut child, &log, before + random.usize(..7)) {
            signal(&child, "-INT");
        }
        match child.wait().unwrap().code() {
            Some(130) => stops += 1,
            Some(0) => break,
            other => panic!("after {stops} stops: {other:?}"),
        }
        command = resume(&set.path("stopped"), &[]);
    }
    assert!(stops >= 2, "{stops}");
    assert!(left(&set, "stopped") == left(&set, "whole"), "after {stops} stops the bytes differ");
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_loses_nothing_that_was_kept() {
    if !has_adapter("a_run_that_is_killed_loses_nothing_that_was_kept") {
        return;
    }
    let set = Set::new();
    let often = ["--save-every", "0.00001min"];
    ends_well(&mut begin(&set, "whole", &often));
    let mut random = fastrand::Rng::new();
    let (mut kills, mut command) = (0, begin(&set, "killed", &often));
    // It gets at least a step further each time: what was kept is never lost.
    loop {
        let log = set.path("killed.csv");
        let before = lines_of(&log);
        let mut child = started(&mut command);
        let goes_on = has_steps(&mut child, &log, before + random.usize(..7));
        if goes_on {
            std::thread::sleep(Duration::from_micros(random.u64(..3000)));
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        if status.success() {
            break;
        }
        assert!(goes_on, "after {kills} kills: {status}");
        kills += 1;
        let run = set.path("killed");
        let begun = run.join("config.toml").exists();
        command = if begun { resume(&run, &[]) } else { begin(&set, "killed", &often) };
    }
    assert!(kills >= 1);
    assert!(left(&set, "killed") == left(&set, "whole"), "after {kills} kills the bytes differ");
}

#[test]
fn a_run_that_is_over_goes_on_to_more_epochs() {
    if !has_adapter("a_run_that_is_over_goes_on_to_more_epochs") {
        return;
    }
    let set = Set::new();
    let constant = ["--schedule", "constant", "--save-every", "2"];
    ends_well(&mut begin(&set, "whole", &constant));
    ends_well(&mut begin(&set, "longer", &[&constant[..], &["--epochs", "3"]].concat()));
    let run = set.path("longer");
    let said = ends_well(&mut resume(&run, &[])).stdout;
    assert!(said.contains("has all of its 3 epochs; --epochs N goes on to N"), "{said}");
    let said = ends_well(&mut resume(&run, &["--epochs", "5"])).stdout;
    assert!(said.contains("goes on   in epoch 4, after 0 images of it"), "{said}");
    assert!(left(&set, "longer") == left(&set, "whole"), "the bytes differ");
    // The flags of the run are those that it went on with.
    let said = ends_well(&mut resume(&run, &[])).stdout;
    assert!(said.contains("has all of its 5 epochs"), "{said}");
}

#[test]
fn a_run_ends_when_its_time_is_over_and_is_a_model_before_its_first_epoch() {
    if !has_adapter("a_run_ends_when_its_time_is_over_and_is_a_model_before_its_first_epoch") {
        return;
    }
    let set = Set::new();
    ends_well(&mut begin(&set, "whole", &[]));
    let said = ends_well(&mut begin(&set, "short", &["--max-minutes", "1e-9"])).stdout;
    let run = set.path("short");
    let advice = format!("ended     in epoch 1; `vgg-wgpu train --resume {}` goes on", text(&run));
    assert!(said.contains(&advice), "{said}");
    assert!(!run.join("model.safetensors").exists());
    let (data, adapter) = (set.data(), chosen_adapter());
    let eval = ["eval", text(&run), "--data", text(&data)];
    ends_well(&mut program(&on_adapter(&eval, &adapter)));
    ends_well(&mut resume(&run, &["--max-minutes", "60"]));
    assert!(left(&set, "short") == left(&set, "whole"), "the bytes differ");
}

#[test]
fn pictures_that_are_read_ahead_go_on_too() {
    if !has_adapter("pictures_that_are_read_ahead_go_on_too") {
        return;
    }
    let album = Album::new();
    let changed = ["--flip", "--rotate", "10", "--cutout", "4", "--mixup", "0.2", "--tensorboard"];
    let flags = [&["--in-memory", "0", "--epochs", "2", "--balance"][..], &changed].concat();
    album.trained("whole", &flags);
    let ended = album.train("short", &[&flags[..], &["--max-minutes", "1e-9"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    ends_well(&mut resume(&album.path("short"), &["--max-minutes", "60"]));
    let model = |run: &str| fs::read(album.path(run).join("model.safetensors")).unwrap();
    assert!(model("short") == model("whole"), "the bytes differ");
}

#[test]
fn a_run_goes_on_as_the_one_that_it_was() {
    if !has_adapter("a_run_goes_on_as_the_one_that_it_was") {
        return;
    }
    let set = Set::new();
    let run = set.path("run");
    ends_well(&mut begin(&set, "run", &["--epochs", "1"]));
    for (flags, words) in [
        (["--batch", "10"], "began with 20 as images in a batch, and now there is 10"),
        (["--seed", "9"], "began with 0 as seed, and now there is 9"),
        (["--limit", "40"], "began with 90 as train images, and now there is 40"),
        (["--resize", "16"], "reads images of 8 px, not 16"),
        (["--ratio", "2"], "the run is a network of"),
        (["--momentum", "0"], "optimiser"),
    ] {
        let ended = end(&mut resume(&run, &[&flags[..], &["--epochs", "2"]].concat()));
        assert_eq!(ended.code, 1, "{flags:?}: {ended:?}");
        assert!(ended.stderr.contains(words), "{flags:?}: {ended:?}");
    }
    let checkpoint = run.join("checkpoint.safetensors");
    fs::copy(run.join("model.safetensors"), &checkpoint).unwrap();
    let ended = end(&mut resume(&run, &["--epochs", "2"]));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("holds no run that could go on"), "{ended:?}");
    let cut = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, &cut[..cut.len() / 2]).unwrap();
    assert_eq!(end(&mut resume(&run, &["--epochs", "2"])).code, 1);
    // Before its first step was kept a run begins again.
    fs::remove_file(&checkpoint).unwrap();
    ends_well(&mut resume(&run, &["--epochs", "2"]));

    let nowhere = set.path("nowhere");
    fails(&["train", "--resume", text(&nowhere)], 1, &["config.toml"]);
    fails(&["train", "--resume", text(&run), "--out", "x"], 2, &["--out"]);
}
