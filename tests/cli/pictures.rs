use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

use crate::sets::text;
use crate::{Ended, chosen_adapter, end, fails_as, has_adapter, on_adapter, program, succeeds};

const CLASSES: [&str; 3] = ["bars", "disc", "ramp"];
/// Pictures of each class.
const EACH: usize = 20;

/// A folder of pictures with room for runs beside it.
pub struct Album {
    folder: TempDir,
}

impl Album {
    /// A folder for each class, with pictures of mixed formats, sizes and colours.
    pub fn new() -> Self {
        let album = Self { folder: tempfile::tempdir().unwrap() };
        for (class, name) in CLASSES.iter().enumerate() {
            for number in 0..EACH {
                album.add(&format!("pictures/{name}"), class, number);
            }
        }
        album
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn pictures(&self) -> PathBuf {
        self.path("pictures")
    }

    /// Draws a picture of a class into a folder.
    fn add(&self, folder: &str, class: usize, number: usize) -> PathBuf {
        let folder = self.path(folder);
        fs::create_dir_all(&folder).unwrap();
        let endings = ["png", "jpg", "webp", "bmp", "tiff", "gif", "jpeg"];
        let path = folder.join(format!("{number:03}.{}", endings[number % endings.len()]));
        drawn(class, number).save(&path).unwrap();
        path
    }

    pub fn train(&self, out: &str, more: &[&str]) -> Ended {
        let (data, out, adapter) = (self.pictures(), self.path(out), chosen_adapter());
        let flags = ["train", "--data", text(&data), "--out", text(&out), "--resize", "16"];
        let size = ["--arch", "1x8,1x16", "--batch", "10", "--dropout", "0.1", "--init", "kaiming"];
        let how = ["--lr", "0.02", "--momentum", "0.9", "--epochs", "8"];
        end(&mut program(&on_adapter(&[&flags[..], &size, &how, more].concat(), &adapter)))
    }

    pub fn trained(&self, out: &str, more: &[&str]) -> String {
        let ended = self.train(out, more);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stdout
    }
}

/// Stripes, a disc or a ramp, in colours and a size that follow from the number.
fn drawn(class: usize, number: usize) -> DynamicImage {
    let (width, height) = (17 + (number * 7 % 40) as u32, 19 + (number * 11 % 30) as u32);
    let tint = [0, 40, 80].map(|shift: usize| (number * 29 + shift) % 120 + 135);
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        let bright = match class {
            0 => f64::from(u8::from(((x * 6.0) as u32).is_multiple_of(2))),
            1 => f64::from(u8::from((x - 0.5).powi(2) + (y - 0.5).powi(2) < 0.1)),
            _ => y,
        };
        Rgb(tint.map(|value| (value as f64 * bright) as u8))
    });
    DynamicImage::from(picture)
}

pub fn last_of_history(run: &Path) -> (f64, f64) {
    let history = fs::read_to_string(run.join("history.csv")).unwrap();
    let cells: Vec<f64> =
        history.lines().last().unwrap().split(',').map(|cell| cell.parse().unwrap()).collect();
    (cells[3], cells[4])
}

/// Seed and share decide over the pictures that are kept back: a run remembers both.
#[test]
fn eval_measures_with_the_pictures_that_the_run_kept_back() {
    if !has_adapter("eval_measures_with_the_pictures_that_the_run_kept_back") {
        return;
    }
    let album = Album::new();
    album.trained("run", &["--epochs", "1", "--seed", "3", "--val", "0.4"]);
    let (run, data, adapter) = (album.path("run"), album.pictures(), chosen_adapter());
    let (wanted, _) = last_of_history(&run);
    for (more, same) in [(&[][..], true), (&["--seed", "4"], false)] {
        let flags = [&["eval", text(&run), "--data", text(&data), "--json"], more].concat();
        let report: Value = serde_json::from_str(&succeeds(&on_adapter(&flags, &adapter))).unwrap();
        assert_eq!(report["images"], 24, "{report}");
        let found = report["loss"].as_f64().unwrap();
        assert_eq!((found - wanted).abs() <= 1e-5 * wanted, same, "{found}, history: {wanted}");
    }
}

#[test]
fn a_folder_of_pictures_is_trained_measured_and_used() {
    if !has_adapter("a_folder_of_pictures_is_trained_measured_and_used") {
        return;
    }
    let album = Album::new();
    let printed = album.trained("run", &[]);
    // A fifth of each class of 20 is kept for measuring.
    assert!(printed.contains("48 train and 12 test images"), "{printed}");
    assert!(!printed.contains("skipped") && !printed.contains("waiting"), "{printed}");
    let run = album.path("run");
    let (loss, accuracy) = last_of_history(&run);
    assert!(accuracy > 0.8, "{accuracy}");
    let config: toml::Table = fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["data"]["set"].as_str(), Some("pictures"));
    assert_eq!(config["data"]["channels"].as_integer(), Some(3));
    assert_eq!(config["data"]["fit"].as_str(), Some("crop"));
    assert_eq!(config["data"]["val"].as_float(), Some(0.2));

    // The same pictures are measured by the same flags.
    let (data, adapter) = (album.pictures(), chosen_adapter());
    let eval = |more: &[&str]| {
        let flags = [&["eval", text(&run), "--data", text(&data), "--json"], more].concat();
        serde_json::from_str::<Value>(&succeeds(&on_adapter(&flags, &adapter))).unwrap()
    };
    for more in [&[][..], &["--in-memory", "0"]] {
        let report = eval(more);
        assert_eq!(report["images"], 12);
        let found = report["loss"].as_f64().unwrap();
        assert!((found - loss).abs() <= 1e-5 * loss + 1e-6, "{found}, history: {loss}");
        assert!((report["accuracy"].as_f64().unwrap() - accuracy).abs() < 1e-6);
        let names = report["classes"].as_array().unwrap().iter().map(|class| &class["name"]);
        assert!(names.eq(CLASSES), "{report}");
    }
    assert_eq!(eval(&["--split", "all"])["images"], 60);
    assert_eq!(eval(&["--split", "train", "--limit", "7"])["images"], 7);

    // The model knows the names, and how pictures are to be cut.
    let new = album.add("new", 1, 203);
    let flags = ["predict", text(&run), text(&new), "--json"];
    let said: Value = serde_json::from_str(&succeeds(&on_adapter(&flags, &adapter))).unwrap();
    assert_eq!(said[0]["classes"][0]["name"], "disc", "{said}");

    // A folder, in which what is no picture is passed over, as a table.
    album.add("new/more", 0, 301);
    fs::write(album.path("new/broken.png"), "no picture").unwrap();
    let folder = album.path("new");
    let flags = ["predict", text(&run), text(&folder), "--csv", "--top", "2"];
    let ended = end(&mut program(&on_adapter(&flags, &adapter)));
    assert!(ended.stderr.contains("broken.png: is no PNG"), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0]), (5, "file,rank,class,probability"), "{ended:?}");
    assert!(lines[1].contains("203.") && lines[1].contains(",1,disc,"), "{ended:?}");
    assert!(lines[3].contains("301.") && lines[3].contains(",1,bars,"), "{ended:?}");
    // Named itself, it has to be one; the others are told of all the same.
    let broken = album.path("new/broken.png");
    let flags = ["predict", text(&run), text(&broken), text(&new)];
    let ended = end(&mut program(&on_adapter(&flags, &adapter)));
    assert!(ended.code == 1 && ended.stdout.contains(": disc "), "{ended:?}");
    assert!(
        ended.stderr.contains("cannot read") && ended.stderr.contains("broken.png"),
        "{ended:?}"
    );
    let flags = ["predict", text(&run), text(&broken), "gone.png"];
    fails_as(
        &mut program(&flags),
        1,
        &["cannot read 2 files", "broken.png: is no", "gone.png: cannot"],
    );

    // On the standard input.
    let mut command = program(&on_adapter(&["predict", text(&run), "-"], &adapter));
    let ended = end(command.stdin(fs::File::open(&new).unwrap()));
    assert!(ended.stdout.starts_with("-: disc "), "{ended:?}");
    let ended = end(program(&["predict", text(&run), "-"]).stdin(std::process::Stdio::null()));
    assert!(ended.code == 1 && ended.stderr.contains("is empty"), "{ended:?}");
}

#[test]
fn pictures_read_ahead_or_kept_give_the_same_model() {
    if !has_adapter("pictures_read_ahead_or_kept_give_the_same_model") {
        return;
    }
    let album = Album::new();
    album.trained("kept", &["--epochs", "2"]);
    let printed = album.trained("ahead", &["--epochs", "2", "--in-memory", "0"]);
    let waiting = printed.lines().find(|line| line.starts_with("waiting   "));
    assert!(waiting.is_some_and(|line| line.contains("% of the time in training")), "{printed}");
    let model = |run: &str| {
        let file = fs::read(album.path(run).join("model.safetensors")).unwrap();
        let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        file[8 + header..].to_vec()
    };
    assert!(model("kept") == model("ahead"));
    // Out of a cache, which is made and then used, kept in memory or not.
    let cache = album.path("cache/of/pictures");
    for (run, in_memory) in [("cached", "1GiB"), ("cached again", "0")] {
        let flags = ["--epochs", "2", "--cache", text(&cache), "--in-memory", in_memory];
        album.trained(run, &flags);
        assert!(model("kept") == model(run), "{run}");
    }
    let written = fs::metadata(&cache).unwrap().modified().unwrap();
    assert!(
        written < fs::metadata(album.path("cached again/config.toml")).unwrap().modified().unwrap()
    );
    fs::write(&cache, "something else").unwrap();
    let ended = album.train("damaged", &["--cache", text(&cache)]);
    assert!(ended.code == 1 && ended.stderr.contains("no cache of pictures"), "{ended:?}");
    // Rare classes may weigh more; so does it either way.
    for bars in fs::read_dir(album.path("pictures/bars")).unwrap().skip(5) {
        fs::remove_file(bars.unwrap().path()).unwrap();
    }
    album.trained("uneven", &["--epochs", "2"]);
    album.trained("balanced", &["--epochs", "2", "--balance"]);
    album.trained("balanced ahead", &["--epochs", "2", "--balance", "--in-memory", "0"]);
    assert!(model("balanced") == model("balanced ahead"));
    assert!(model("balanced") != model("uneven"));
    // Fewer than a batch, one channel, the whole picture.
    let more = ["--epochs", "1", "--in-memory", "0", "--limit", "7", "--channels", "1"];
    let printed = album.trained("few", &[&more[..], &["--fit", "stretch"]].concat());
    assert!(printed.contains("7 of the train images are used"), "{printed}");
    let config = fs::read_to_string(album.path("balanced/config.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    assert_eq!(config["data"]["balance"].as_bool(), Some(true));
}

#[test]
fn splits_and_csv_files_say_what_is_what() {
    if !has_adapter("splits_and_csv_files_say_what_is_what") {
        return;
    }
    let album = Album::new();
    for (class, name) in CLASSES.iter().enumerate() {
        for number in 0..4 {
            let part = ["train", "train", "val", "test"][number];
            album.add(&format!("parts/{part}/{name}"), class, number);
        }
    }
    let parts = album.path("parts");
    let adapter = chosen_adapter();
    let run = album.path("of-parts");
    let printed = album.trained("of-parts", &["--epochs", "1", "--data", text(&parts)]);
    assert!(printed.contains("6 train and 3 test images"), "{printed}");
    for (split, images) in [("test", 3), ("train", 6), ("all", 12)] {
        let flags = ["eval", text(&run), "--data", text(&parts), "--json", "--split", split];
        let report: Value = serde_json::from_str(&succeeds(&on_adapter(&flags, &adapter))).unwrap();
        assert_eq!(report["images"], images, "{report}");
    }

    let csv = album.path("labels.csv");
    let mut lines = "path,label\n".to_owned();
    for entry in fs::read_dir(album.path("pictures/bars")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let label = if name < "010" { "early" } else { "late" };
        lines.push_str(&format!("bars/{name},{label}\n"));
    }
    fs::write(&csv, lines).unwrap();
    let printed = album.trained("of-csv", &["--epochs", "1", "--csv", text(&csv), "--val", "0.5"]);
    assert!(
        printed.contains("labels from") && printed.contains("10 train and 10 test"),
        "{printed}"
    );
}

/// Puts a broken file of each kind into a folder; returns what is told of each.
fn add_broken(folder: &Path) -> Vec<&'static str> {
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    for (whole, cut) in [("000.png", "cut.png"), ("001.jpg", "cut.jpg"), ("002.webp", "cut.webp")] {
        let whole = fs::read(folder.join(whole)).unwrap();
        write(cut, &whole[..whole.len() * 2 / 3]);
    }
    write("empty.png", &[]);
    write("text.jpg", b"no picture");
    // A header of 60,000 by 60,000 pixels, and no pixels.
    let huge = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x60\xea\0\0\x60\xea\0\0\x01\0\x18\0";
    write("huge.bmp", &[&huge[..], &[0; 24]].concat());
    let mut told = vec![
        "cut.png: cannot be decoded",
        "cut.jpg: is cut off",
        "cut.webp: cannot be decoded",
        "empty.png: is empty",
        "text.jpg: is no PNG",
        "huge.bmp: has 60000x60000 pixels",
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../bars", folder.join("again")).unwrap();
        std::os::unix::fs::symlink("loop.png", folder.join("loop.png")).unwrap();
        told.extend(["again: is a link back to", "loop.png: cannot be read"]);
    }
    told
}

#[test]
fn bad_pictures_are_listed_and_too_many_end_the_run_before_it_begins() {
    if !has_adapter("bad_pictures_are_listed_and_too_many_end_the_run_before_it_begins") {
        return;
    }
    let album = Album::new();
    let told = add_broken(&album.path("pictures/bars"));
    let count = told.len();
    // Of an animation the first picture is taken; CMYK, 16 bits, palettes, transparency and EXIF are no
    // obstacle.
    let odd = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures");
    let mut good = 3 * EACH;
    for file in fs::read_dir(odd).unwrap().map(|file| file.unwrap()) {
        if file.path().extension().is_some_and(|ending| ending != "py") {
            fs::copy(file.path(), album.path("pictures/disc").join(file.file_name())).unwrap();
            good += 1;
        }
    }

    let ended = album.train("refused", &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let refused = format!("error: {count} of {} pictures", good + count);
    for word in told.iter().copied().chain([&*refused, "0 are allowed", "--max-bad"]) {
        assert!(ended.stderr.contains(word), "no '{word}' in:\n{}", ended.stderr);
    }
    assert!(!album.path("refused").exists());

    for in_memory in ["1GiB", "0"] {
        let more = ["--epochs", "1", "--max-bad", "15%", "--in-memory", in_memory];
        let run = format!("run-{in_memory}");
        let printed = album.trained(&run, &more);
        assert!(printed.contains(&format!("skipped   {count} pictures")), "{printed}");
        let skipped = fs::read_to_string(album.path(&run).join("skipped.txt")).unwrap();
        assert_eq!(skipped.lines().count(), count, "{skipped}");
        for word in &told {
            assert!(skipped.contains(word), "no '{word}' in:\n{skipped}");
        }
    }
}

#[test]
fn folders_that_are_no_sets_are_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let train = |more: &[&str]| {
        let mut command = program(&[&["train", "--data", text(folder.path())], more].concat());
        command.current_dir(folder.path());
        command
    };
    fs::create_dir_all(folder.path().join("cats")).unwrap();
    fails_as(&mut train(&[]), 1, &["cats: no pictures", "a folder of pictures for each class"]);
    RgbImage::new(2, 2).save(folder.path().join("cats/1.png")).unwrap();
    fails_as(&mut train(&[]), 1, &["the only class is cats", "at least two"]);
    fs::remove_dir_all(folder.path().join("cats")).unwrap();
    fails_as(&mut train(&[]), 1, &["no train-images-idx3-ubyte", "the folder holds no files"]);
    fails_as(&mut train(&["--csv", "none.csv"]), 1, &["none.csv"]);
    for (flag, value) in [
        ("--val", "1"),
        ("--val", "0"),
        ("--max-bad", "much"),
        ("--channels", "2"),
        ("--in-memory", "x"),
    ] {
        fails_as(&mut train(&[flag, value]), 2, &[flag, "expected"]);
    }
    fails_as(
        &mut train(&["--data", "embedded", "--channels", "3"]),
        1,
        &["1 channels", "--channels is for pictures"],
    );
}
