use std::fs;
use std::path::Path;

use crate::sets::{Set, TRAIN, text};
use crate::{chosen_adapter, end, fails, fails_as, has_adapter, on_adapter, program};

const FILES: [&str; 8] = [
    "best.safetensors",
    "checkpoint.safetensors",
    "config.toml",
    "curves.png",
    "curves.svg",
    "history.csv",
    "metrics.jsonl",
    "model.safetensors",
];
const COLUMNS: &str = "epoch,train_loss,train_acc,val_loss,val_acc,seconds,images_per_s";

fn files(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| name(e).unwrap()).collect();
    names.sort_unstable();
    names
}

/// The lines of a history after its header, cut into numbers.
fn history(run: &Path) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(run.join("history.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(COLUMNS));
    lines.map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect()
}

#[test]
fn a_run_leaves_its_files() {
    if !has_adapter("a_run_leaves_its_files") {
        return;
    }
    let set = Set::new();
    let run = set.path("new/deep/run");
    let printed = set.trained(&run, &["--epochs", "2", "--momentum", "0.9", "--seed", "3"]);
    for word in ["adapter", "90 train and 40 test images", "epoch  train loss", "curves.png"] {
        assert!(printed.contains(word), "no '{word}' in:\n{printed}");
    }
    assert_eq!(files(&run), FILES);

    let config: toml::Table = fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["network"]["blocks"].as_str(), Some("1x4,2x8"));
    assert_eq!(config["data"]["train_images"].as_integer(), Some(TRAIN as i64));
    assert_eq!(config["learning"]["epochs"].as_integer(), Some(2));
    assert_eq!(config["learning"]["seed"].as_integer(), Some(3));
    let variants = config["adapter"]["variants"].as_array().unwrap();
    for op in ["conv_backward_weights", "dense_forward", "update"] {
        assert!(variants.iter().any(|v| v.as_str().unwrap().starts_with(op)), "{variants:?}");
    }

    let rows = history(&run);
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), [1.0, 2.0]);
    for row in &rows {
        let [_, train_loss, train_acc, val_loss, val_acc, seconds, rate] = row[..] else {
            panic!("{row:?}")
        };
        assert!((0.1..5.0).contains(&train_loss) && (0.1..5.0).contains(&val_loss), "{row:?}");
        assert!((0.0..=1.0).contains(&train_acc) && (0.0..=1.0).contains(&val_acc), "{row:?}");
        assert!(seconds > 0.0 && rate > 0.0, "{row:?}");
    }
    let png = image::open(run.join("curves.png")).unwrap();
    assert!(png.width() >= 800 && png.height() >= 300, "{} x {}", png.width(), png.height());
    let svg = fs::read_to_string(run.join("curves.svg")).unwrap();
    for word in ["<svg", "loss", "accuracy", "validation", "epoch"] {
        assert!(svg.contains(word), "no '{word}' in curves.svg");
    }
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    if !has_adapter("the_same_seed_leaves_the_same_bytes") {
        return;
    }
    let set = Set::new();
    let runs = [("a", "5"), ("b", "5"), ("c", "6")].map(|(name, seed)| {
        let run = set.path(name);
        set.trained(&run, &["--seed", seed]);
        let rows: Vec<_> = history(&run).iter().map(|row| row[..5].to_vec()).collect();
        (fs::read(run.join("model.safetensors")).unwrap(), rows)
    });
    assert!(runs[0] == runs[1], "two runs of one seed differ");
    assert!(runs[0].0 != runs[2].0 && runs[0].1 != runs[2].1, "another seed changed nothing");
}

#[test]
fn a_limit_takes_part_of_the_images() {
    if !has_adapter("a_limit_takes_part_of_the_images") {
        return;
    }
    let set = Set::new();
    let printed = set.trained(&set.path("shuffled"), &["--limit", "20"]);
    assert!(printed.contains("20 of the train images are used"), "{printed}");
    // Fewer images than a batch, in the files' order.
    let printed = set.trained(&set.path("ordered"), &["--limit", "20", "--no-shuffle"]);
    assert!(printed.contains("batches of 20"), "{printed}");
    let losses = ["shuffled", "ordered"].map(|name| history(&set.path(name))[0][1]);
    assert_ne!(losses[0], losses[1]);
}

#[test]
fn a_folder_with_a_run_is_left_alone() {
    let set = Set::new();
    let run = set.path("run");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("history.csv"), "mine").unwrap();
    let ended = set.train(&run, &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    for word in ["already holds a run", "hint: --out or --name"] {
        assert!(ended.stderr.contains(word), "no '{word}' in: {}", ended.stderr);
    }
    assert_eq!(files(&run), ["history.csv"]);
    assert_eq!(fs::read_to_string(run.join("history.csv")).unwrap(), "mine");
}

#[test]
fn a_run_that_diverges_says_so_and_what_to_try() {
    if !has_adapter("a_run_that_diverges_says_so_and_what_to_try") {
        return;
    }
    let set = Set::new();
    let ended = set.train(&set.path("run"), &["--lr", "1e30", "--batch", "9"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    for word in ["error: the run stopped in its first epoch", "diverged", "hint: try a lower --lr"]
    {
        assert!(ended.stderr.contains(word), "no '{word}' in: {}", ended.stderr);
    }
}

#[test]
fn a_run_that_learns_nothing_is_told_of() {
    if !has_adapter("a_run_that_learns_nothing_is_told_of") {
        return;
    }
    let set = Set::new();
    // Labels that have nothing to do with the images.
    let labels: Vec<u8> = (0..TRAIN).map(|i| (i / 9) as u8).collect();
    set.write("train-labels-idx1-ubyte", &[TRAIN], &labels);
    let printed =
        set.trained(&set.path("run"), &["--lr", "1e-6", "--epochs", "3", "--dropout", "0"]);
    assert!(printed.contains("the loss of guessing (ln(10) = 2.303)"), "{printed}");
    assert!(printed.contains("try --init kaiming"), "{printed}");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    if !has_adapter("a_place_that_cannot_be_written_is_named") {
        return;
    }
    let set = Set::new();
    fs::write(set.path("file"), "").unwrap();
    let ended = set.train(&set.path("file/run"), &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("error: cannot create"), "{}", ended.stderr);
    assert!(ended.stderr.contains("file"), "{}", ended.stderr);
}

#[test]
fn senseless_flags_are_usage_errors() {
    for (flag, value, word) in [
        ("--batch", "0", "at least 1"),
        ("--epochs", "0", "--epochs"),
        ("--momentum", "1", "[0, 1)"),
        ("--lr", "nan", "at least 0"),
        ("--lr", "-1", "--lr"),
        ("--init", "zero", "neither xavier nor kaiming nor a file"),
        ("--weight-decay", "-1", "--weight-decay"),
        ("--clip-norm", "0", "above 0"),
        ("--beta2", "1", "[0, 1)"),
        ("--optimizer", "adam", "adamw"),
        ("--freeze", "dense", "features"),
        ("--head", "none", "avgpool7"),
        ("--ghost-batch-norm", "0", "at least 1"),
        ("--name", "a/b", "a name is no path"),
        ("--arch", "1x64,2", "'2'"),
        ("--limit", "0", "at least 1"),
    ] {
        fails(&["train", &format!("{flag}={value}")], 2, &[flag, word]);
    }
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    // The resolution fails before an adapter is opened: the message tells which one was taken.
    let flags = ["train", "--data", "embedded", "--resize", "64", "--resize", "16"];
    fails(&flags, 1, &["block 5", "at least 32"]);
}

#[test]
fn broken_images_are_told_with_file_and_place() {
    let set = Set::new();
    let mut labels = vec![0; TRAIN];
    labels[17] = 200;
    fs::write(set.data().join("classes.txt"), "a\nb\n").unwrap();
    set.write("train-labels-idx1-ubyte", &[TRAIN], &labels);
    let data = set.data();
    let flags = ["train", "--data", text(&data)];
    fails(&flags, 1, &["train-labels-idx1-ubyte", "label 17 at byte 25 is 200", "less than 2"]);
    fs::remove_file(data.join("t10k-labels-idx1-ubyte")).unwrap();
    fails(&flags, 1, &["no t10k-labels-idx1-ubyte", "vgg-wgpu fetch"]);
    fails(&["train", "--data", "/no/such/folder"], 1, &["/no/such/folder"]);
}

#[test]
fn the_data_may_come_from_the_environment() {
    let set = Set::new();
    set.write("train-labels-idx1-ubyte", &[3], &[1, 2, 3]);
    let mut command = program(&["train", "--resize", "8", "--arch", "1x4"]);
    let command = command.env("VGG_WGPU_DATA", set.data());
    fails_as(command, 1, &[text(&set.data()), "90", "3"]);
}

#[test]
fn nothing_but_the_run_is_printed() {
    if !has_adapter("nothing_but_the_run_is_printed") {
        return;
    }
    let (set, adapter) = (Set::new(), chosen_adapter());
    let (data, run) = (set.data(), set.path("run"));
    let flags = ["train", "--data", text(&data), "--out", text(&run), "--resize", "8", "--batch"];
    let flags = [&flags[..], &["45", "--arch", "1x4", "--epochs", "1"]].concat();
    // As in a container or over SSH.
    let ended = end(program(&on_adapter(&flags, &adapter)).env_remove("XDG_RUNTIME_DIR"));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
}

#[test]
fn the_learning_rate_follows_its_schedule() {
    if !has_adapter("the_learning_rate_follows_its_schedule") {
        return;
    }
    let set = Set::new();
    let losses = |name: &str, more: &[&str]| {
        let (run, steps) = (set.path(name), set.path(&format!("{name}.csv")));
        let flags = ["--epochs", "3", "--log-steps", text(&steps)];
        set.trained(&run, &[&flags[..], more].concat());
        fs::read_to_string(steps).unwrap()
    };
    let plain = losses("plain", &[]);
    // Three steps an epoch: the rates differ from the second epoch on, or from the first step.
    let halved =
        losses("halved", &["--schedule", "step", "--step-epochs", "1", "--step-factor", "0.5"]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let same =
        |a: &str, b: &str| lines(a).into_iter().zip(lines(b)).take_while(|(a, b)| a == b).count();
    // The header, and the losses up to that of the first step with another rate.
    assert_eq!(same(&plain, &halved), 1 + 3 + 1);
    let kept = ["--schedule", "step", "--step-epochs", "1", "--step-factor", "1"];
    assert_eq!(losses("kept", &kept), plain);
    for (name, more) in [
        ("warmed", &["--warmup", "1"][..]),
        ("cosine", &["--schedule", "cosine"]),
        ("cycle", &["--schedule", "one-cycle"]),
    ] {
        let found = losses(name, more);
        assert_eq!(lines(&found).len(), 10, "{found}");
        // The cosine begins at the rate itself.
        assert_eq!(same(&plain, &found), if name == "cosine" { 3 } else { 2 }, "{name}");
        let config = fs::read_to_string(set.path(name).join("config.toml")).unwrap();
        let config: toml::Table = config.parse().unwrap();
        let schedule = config["learning"]["schedule"].as_str().unwrap();
        assert!(schedule == more[1] || (name == "warmed" && schedule == "constant"), "{schedule}");
    }
}

#[test]
fn a_run_ends_when_its_patience_does() {
    if !has_adapter("a_run_ends_when_its_patience_does") {
        return;
    }
    let set = Set::new();
    let run = set.path("still");
    let printed = set.trained(&run, &["--epochs", "9", "--lr", "0", "--patience", "2"]);
    assert_eq!(history(&run).len(), 3, "{printed}");
    assert!(printed.contains("ended     after 3 epochs"), "{printed}");
}

#[test]
fn smoothed_labels_raise_the_train_loss_alone() {
    if !has_adapter("smoothed_labels_raise_the_train_loss_alone") {
        return;
    }
    let set = Set::new();
    let first = |name: &str, share: &str| {
        set.trained(&set.path(name), &["--lr", "0", "--dropout", "0", "--label-smoothing", share]);
        history(&set.path(name))[0].clone()
    };
    let (plain, smoothed) = (first("plain", "0"), first("smoothed", "0.3"));
    // Nothing is learnt; validation is without smoothing.
    assert_eq!(plain[3], smoothed[3]);
    assert!((plain[1] - smoothed[1]).abs() > 1e-4, "{plain:?} {smoothed:?}");
}
