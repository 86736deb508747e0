use std::fs;
use std::path::Path;

use crate::pictures::Album;
use crate::sets::text;
use crate::{chosen_adapter, end, fails, has_adapter, on_adapter, program, succeeds};

/// Everything that there is.
const ALL: [&str; 15] = [
    "--flip",
    "--crop-padding",
    "2",
    "--resized-crop",
    "0.6",
    "--rotate",
    "10",
    "--brightness",
    "0.3",
    "--contrast",
    "0.3",
    "--cutout",
    "4",
    "--mixup",
    "0.2",
];

#[test]
fn a_sheet_shows_what_the_seed_draws() {
    if !has_adapter("a_sheet_shows_what_the_seed_draws") {
        return;
    }
    let album = Album::new();
    let (data, adapter) = (album.pictures(), chosen_adapter());
    let draw = |name: &str, more: &[&str]| {
        let file = album.path(name);
        let flags = ["augment", "--data", text(&data), "--resize", "32", "--preview", text(&file)];
        succeeds(&on_adapter(&[&flags[..], more].concat(), &adapter));
        image::open(&file).unwrap().to_rgb8()
    };
    let rows = ["--rows", "3", "--variants", "4"];
    let first = draw("a.png", &[&ALL[..], &rows].concat());
    assert!(first.width() > first.height() && first.height() > 96, "{:?}", first.dimensions());
    assert!(first == draw("b.png", &[&ALL[..], &rows].concat()), "one seed, two sheets");
    assert!(first != draw("c.png", &[&ALL[..], &rows, &["--seed", "1"]].concat()));
    // More variants make it wider, more rows higher.
    let other = draw("d.png", &[&ALL[..], &["--rows", "5", "--variants", "6"]].concat());
    assert!(other.width() > first.width() && other.height() > first.height());
    let gone = album.path("no/folder/a.png");
    let flags = ["augment", "--data", text(&data), "--flip", "--preview", text(&gone)];
    let ended = end(&mut program(&on_adapter(&flags, &adapter)));
    assert!(ended.code == 1 && ended.stderr.contains("a.png"), "{ended:?}");
}

#[test]
fn augmented_runs_repeat_to_the_bit_and_go_on() {
    if !has_adapter("augmented_runs_repeat_to_the_bit_and_go_on") {
        return;
    }
    let album = Album::new();
    let model = |run: &str| fs::read(album.path(run).join("model.safetensors")).unwrap();
    let train = |run: &str, more: &[&str]| {
        album.trained(run, &[&ALL[..], &["--epochs", "2"], more].concat());
    };
    train("whole", &[]);
    train("ahead", &["--in-memory", "0"]);
    assert!(model("whole") == model("ahead"), "images that are read ahead are changed otherwise");
    train("stopped", &["--max-minutes", "1e-9"]);
    succeeds(&["train", "--resume", text(&album.path("stopped"))]);
    assert!(model("whole") == model("stopped"), "a run that goes on changes its images otherwise");
    album.trained("plain", &["--epochs", "2"]);
    assert!(model("whole") != model("plain"));
    let config = fs::read_to_string(album.path("whole/config.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    assert_eq!(config["flags"]["cutout"].as_integer(), Some(4));
}

#[test]
fn pictures_are_learnt_from_what_was_made_of_them() {
    if !has_adapter("pictures_are_learnt_from_what_was_made_of_them") {
        return;
    }
    let album = Album::new();
    let gentle = ["--flip", "--crop-padding", "1", "--rotate", "5", "--brightness", "0.2"];
    album.trained("run", &[&gentle[..], &["--epochs", "12"]].concat());
    let accuracy = best(&album.path("run"));
    assert!(accuracy > 0.8, "{accuracy}");
}

/// The best validation accuracy of a run.
fn best(run: &Path) -> f64 {
    let history = fs::read_to_string(run.join("history.csv")).unwrap();
    let accuracy = |line: &str| line.split(',').nth(4).unwrap().parse::<f64>().unwrap();
    history.lines().skip(1).map(accuracy).fold(0.0, f64::max)
}

#[test]
fn what_cannot_be_done_to_images_is_refused() {
    for (flag, value) in
        [("--flip", "1.5"), ("--rotate", "-1"), ("--rotate", "x"), ("--mixup", "-1")]
    {
        fails(&["train", &format!("{flag}={value}")], 2, &[flag]);
    }
}
