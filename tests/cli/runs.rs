//! `runs`: lists and compares what training leaves.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::sets::{Set, text};
use crate::{fails, has_adapter, succeeds};

/// Two runs of one set in a folder: `slow`, an epoch of plain SGD, and `quick`, three with momentum.
fn two_runs() -> Set {
    let set = Set::new();
    set.trained(&set.path("runs/slow"), &["--lr", "0.001"]);
    let flags = ["--epochs", "3", "--momentum", "0.9", "--schedule", "cosine", "--init", "kaiming"];
    set.trained(&set.path("runs/quick"), &[&flags[..], &["--batch", "16", "--seed", "4"]].concat());
    set
}

/// Settings and history of a run in a folder of their own.
fn copy(set: &Set, run: &str, to: &str) -> PathBuf {
    let (from, to) = (set.path("runs").join(run), set.path("runs").join(to));
    fs::create_dir(&to).unwrap();
    for file in ["config.toml", "history.csv"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    to
}

fn change(file: &Path, change: impl FnOnce(String) -> String) {
    fs::write(file, change(fs::read_to_string(file).unwrap())).unwrap();
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(&[args, &["--json"]].concat())).unwrap()
}

/// The rows of a history, without the header.
fn history(run: &Path) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(run.join("history.csv")).unwrap();
    let row = |line: &str| line.split(',').map(|cell| cell.parse().unwrap()).collect();
    text.lines().skip(1).map(row).collect()
}

/// The row with the highest validation accuracy, of equal ones with the least loss.
fn best(history: &[Vec<f64>]) -> &[f64] {
    let better = |a: &&Vec<f64>, b: &&Vec<f64>| {
        a[4].total_cmp(&b[4]).then(b[3].total_cmp(&a[3])).then(b[0].total_cmp(&a[0]))
    };
    history.iter().max_by(better).unwrap()
}

/// The names of the folders of a list of runs.
fn folders(list: &Value) -> Vec<&str> {
    let paths = list.as_array().unwrap().iter().map(|run| run["folder"].as_str().unwrap());
    paths.map(|path| path.rsplit(['/', '\\']).next().unwrap()).collect()
}

#[test]
fn runs_are_listed_with_their_settings_and_results() {
    if !has_adapter("runs_are_listed_with_their_settings_and_results") {
        return;
    }
    let set = two_runs();
    let runs = set.path("runs");
    // One that is still going, and what is no run.
    let going = copy(&set, "quick", "going");
    change(&going.join("history.csv"), |all| {
        all.lines().take(2).map(|l| format!("{l}\n")).collect()
    });
    fs::create_dir(runs.join("pictures")).unwrap();
    fs::write(runs.join("notes.txt"), "lr 0.1 is too much").unwrap();

    let list = json(&["runs", text(&runs)]);
    let found = list["runs"].as_array().unwrap();
    assert_eq!(found.len(), 3, "{list}");
    assert_eq!(list["without_results"].as_array().unwrap().len(), 0, "{list}");
    for run in found {
        let rows = history(Path::new(run["folder"].as_str().unwrap()));
        let (best, last) = (best(&rows), rows.last().unwrap());
        assert_eq!(run["epochs"], rows.len());
        assert_eq!(run["best"]["epoch"].as_f64(), Some(best[0]));
        assert_eq!(run["best"]["val_acc"].as_f64(), Some(best[4]));
        assert_eq!(run["best"]["val_loss"].as_f64(), Some(best[3]));
        assert_eq!(run["last"]["val_loss"].as_f64(), Some(last[3]));
        let seconds: f64 = rows.iter().map(|row| row[5]).sum();
        assert!((run["seconds"].as_f64().unwrap() - seconds).abs() < 1e-9);
        assert_eq!((&run["arch"], &run["resize"]), (&"1x4,2x8".into(), &8.into()));
    }
    let slow = found.iter().find(|run| run["name"] == "slow").unwrap();
    assert_eq!((&slow["learning"]["lr"], &slow["learning"]["batch"]), (&0.001.into(), &32.into()));

    let table = succeeds(&["runs", text(&runs)]);
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap();
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(line("slow").contains(" 1/1 ") && line("slow").contains(" 0.001 "), "{table}");
    for words in ["1x4,2x8", " 3/3 ", " 16 ", "0.02 cosine, momentum 0.9", " ago"] {
        assert!(line("quick").contains(words), "no '{words}' in:\n{table}");
    }
    assert!(line("run ").contains("best acc"), "{table}");
    // The second run has the name of the first, whose settings were copied.
    assert_eq!(table.matches(" 1/3 ").count(), 1, "{table}");
    // A run folder is a list of one.
    assert_eq!(json(&["runs", text(&going)])["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn the_list_is_sorted_as_asked() {
    if !has_adapter("the_list_is_sorted_as_asked") {
        return;
    }
    let set = Set::new();
    set.trained(&set.path("runs/a"), &[]);
    let now = SystemTime::now();
    // Accuracy, loss and age of each.
    for (name, accuracy, loss, age) in
        [("b", 0.9, 0.3, 30), ("c", 0.5, 0.1, 10), ("d", f64::NAN, f64::NAN, 20)]
    {
        let file = copy(&set, "a", name).join("history.csv");
        change(&set.path("runs").join(name).join("config.toml"), |config| {
            config.replacen("name = \"a\"", &format!("name = \"{name}\""), 1)
        });
        let header = "epoch,train_loss,train_acc,val_loss,val_acc,seconds,images_per_s";
        fs::write(&file, format!("{header}\n1,1.0,0.5,{loss},{accuracy},2.0,9.0\n")).unwrap();
        let modified = now - Duration::from_secs(60 * age);
        File::options().append(true).open(file).unwrap().set_modified(modified).unwrap();
    }
    fs::remove_dir_all(set.path("runs/a")).unwrap();
    let runs = set.path("runs");
    for (sort, order) in [
        ("name", ["b", "c", "d"]),
        ("accuracy", ["b", "c", "d"]),
        ("loss", ["c", "b", "d"]),
        ("time", ["c", "d", "b"]),
    ] {
        let list = json(&["runs", text(&runs), "--sort", sort]);
        assert_eq!(folders(&list["runs"]), order, "{sort}");
    }
    let table = succeeds(&["runs", text(&runs)]);
    assert!(table.contains("10 minutes ago"), "{table}");
}

#[test]
fn runs_that_cannot_be_read_are_named_with_the_reason() {
    if !has_adapter("runs_that_cannot_be_read_are_named_with_the_reason") {
        return;
    }
    let set = Set::new();
    set.trained(&set.path("runs/good"), &[]);
    let config = |run: &str| copy(&set, "good", run).join("config.toml");
    change(&config("cut"), |text| text[..text.find("lr = ").unwrap() + 4].to_owned());
    change(&config("short"), |text| text[..text.find("[learning]").unwrap()].to_owned());
    change(&config("future").with_file_name("history.csv"), |text| text.replace("val_", "test_"));
    change(&set.path("runs/future/config.toml"), |text| {
        text.replacen(
            &format!("version = \"{}\"", env!("CARGO_PKG_VERSION")),
            "version = \"99.1.0\"",
            1,
        )
    });
    change(&config("begun").with_file_name("history.csv"), |_| String::new());
    change(&config("torn").with_file_name("history.csv"), |text| format!("{text}2,0.5,0."));
    fs::remove_file(config("none").with_file_name("history.csv")).unwrap();

    let runs = set.path("runs");
    let list = json(&["runs", text(&runs)]);
    assert_eq!(folders(&list["runs"]), ["good"]);
    let bad = list["without_results"].as_array().unwrap();
    assert_eq!(
        folders(&list["without_results"]),
        ["begun", "cut", "future", "none", "short", "torn"]
    );
    let table = succeeds(&["runs", text(&runs)]);
    for (bad, words) in bad.iter().zip([
        "no epoch of 1 is finished",
        "config.toml:",
        "written by vgg-wgpu 99.1.0",
        "cannot read",
        "missing field `learning`",
        "history.csv:3: 3 values, expected 7",
    ]) {
        let reason = bad["reason"].as_str().unwrap();
        assert!(reason.contains(words) && !reason.contains('\n'), "{reason}");
        assert!(
            table.lines().any(|line| line.starts_with("without results") && line.contains(reason))
        );
    }
    // One of them cannot be compared.
    let (good, begun) = (runs.join("good"), runs.join("begun"));
    fails(&["runs", "--compare", text(&good), text(&begun)], 1, &["no epoch of 1 is finished"]);
}

#[test]
fn two_runs_stand_beside_each_other() {
    if !has_adapter("two_runs_stand_beside_each_other") {
        return;
    }
    let set = two_runs();
    let (runs, svg, png) = (set.path("runs"), set.path("both.svg"), set.path("both.PNG"));
    let pair = ["runs", text(&runs), "--compare", "slow", "quick"];
    let compared = json(&pair);
    let file = set.path("pair.toml");
    fs::write(&file, "compare = ['slow', 'quick']\n").unwrap();
    assert_eq!(json(&["runs", text(&runs), "--config", text(&file)]), compared);
    let settings = compared["settings"].as_array().unwrap();
    let setting = |name: &str| {
        let found = settings.iter().find(|setting| setting["setting"] == name);
        found.map(|setting| [setting["values"][0].clone(), setting["values"][1].clone()])
    };
    assert_eq!(setting("lr"), Some([0.001.into(), 0.02.into()]));
    assert_eq!(setting("schedule"), Some(["constant".into(), "cosine".into()]));
    assert_eq!(setting("batch"), Some([32.into(), 16.into()]));
    assert_eq!(setting("adapter.micro_batch"), Some([32.into(), 16.into()]));
    // What is a flag is shown as one, and what is the same not at all.
    for name in
        ["learning.lr", "learning.batch", "learning.momentum", "name", "arch", "weight-decay"]
    {
        assert_eq!(setting(name), None, "{settings:?}");
    }

    let rows = ["slow", "quick"].map(|run| history(&runs.join(run)));
    let result = |name: &str| {
        let results = compared["results"].as_array().unwrap().iter();
        let found = results.clone().find(|result| result["result"] == name).unwrap();
        [&found["values"][0], &found["values"][1], &found["difference"]]
            .map(|v| v.as_f64().unwrap())
    };
    let [slow, quick] = [&rows[0], &rows[1]].map(|rows| best(rows)[4]);
    assert_eq!(result("best val accuracy"), [slow, quick, quick - slow]);
    assert_eq!(result("epochs"), [1.0, 3.0, 2.0]);
    let epochs = compared["epochs"].as_array().unwrap();
    assert_eq!(epochs.len(), 3);
    assert_eq!(epochs[0]["runs"][0]["val_loss"].as_f64(), Some(rows[0][0][3]));
    assert_eq!(epochs[2]["runs"][1]["val_loss"].as_f64(), Some(rows[1][2][3]));
    assert!(epochs[1]["runs"][0].is_null(), "{}", epochs[1]);

    let report = succeeds(&[&pair[..], &["--plot", text(&svg)]].concat());
    for words in ["setting ", "slow", "quick", "difference", "best val accuracy", "epoch", "drawn"]
    {
        assert!(report.contains(words), "no '{words}' in:\n{report}");
    }
    let drawing = fs::read_to_string(&svg).unwrap();
    for words in ["slow and quick", "slow, train", "quick, validation", "accuracy"] {
        assert!(drawing.contains(words), "no '{words}'");
    }
    // The paths of the runs, and a picture in pixels.
    let (a, b) = (runs.join("slow"), runs.join("quick"));
    let by_path = ["runs", "--compare", text(&a), text(&b), "--plot", text(&png)];
    assert_eq!(json(&by_path)["settings"], compared["settings"]);
    let picture = image::open(&png).unwrap();
    assert_eq!((picture.width(), picture.height()), (1200, 500));

    let same = succeeds(&["runs", "--compare", text(&a), text(&a)]);
    assert!(same.starts_with("the settings are the same\n"), "{same}");
}

#[test]
fn folders_and_runs_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, gone) = (text(folder.path()), folder.path().join("gone"));
    assert!(succeeds(&["runs", empty]).starts_with("no runs in "));
    assert_eq!(json(&["runs", empty])["runs"].as_array().map(Vec::len), Some(0));
    fails(&["runs", text(&gone)], 1, &["cannot read the folder", "gone"]);
    fails(&["runs", empty, "--compare", "a", "b"], 1, &["there is no run a"]);
    fails(&["runs", empty, "--compare", "a"], 2, &["--compare"]);
    fails(&["runs", empty, "--plot", "a.svg"], 2, &["--compare"]);
    fails(&["runs", empty, "--sort", "size"], 2, &["name, accuracy, loss, time"]);
}
