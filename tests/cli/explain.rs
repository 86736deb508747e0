//! `explain`: heat maps of a network that was trained to tell whether there is a ring in some corner.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;
use vgg_wgpu::train::heat_size;

use crate::sets::text;
use crate::{Ended, chosen_adapter, end, fails_as, has_adapter, on_adapter, program};

/// The network's input.
const INPUT: usize = 32;
/// Pixels of a picture's side, and of the ring's.
const SIDE: u32 = 48;
const SHAPE: u32 = 20;
const CLASSES: [&str; 2] = ["ring", "blank"];
/// Pictures of each class.
const EACH: usize = 40;

/// A ring in corner `number % 4` of a plain ground, or nothing there, in colours that say nothing.
fn drawn(class: usize, number: usize) -> RgbImage {
    let (right, below) = (number % 2 == 1, number / 2 % 2 == 1);
    let shift = 2 + (number * 5 % 5) as u32;
    let middle = |far: bool| {
        let start = if far { SIDE - SHAPE - shift } else { shift };
        f64::from(start + SHAPE / 2)
    };
    let (across, down) = (middle(right), middle(below));
    let colour = [0, 50, 100].map(|more: usize| ((number * 37 + more) % 100 + 150) as u8);
    let ground = [(number * 13 % 40 + 20) as u8; 3];
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let radius = (f64::from(x) - across).hypot(f64::from(y) - down);
        let is_ring = class == 0 && (5.0..f64::from(SHAPE) / 2.0).contains(&radius);
        Rgb(if is_ring { colour } else { ground })
    })
}

/// Pictures, and a network trained on them.
struct Gallery {
    folder: TempDir,
}

impl Gallery {
    fn new() -> Self {
        let gallery = Self { folder: tempfile::tempdir().unwrap() };
        for (class, name) in CLASSES.iter().enumerate() {
            for number in 0..EACH {
                gallery.add(&format!("pictures/{name}/{number}.png"), class, number);
            }
        }
        let (data, run, adapter) = (gallery.path("pictures"), gallery.run(), chosen_adapter());
        let input = INPUT.to_string();
        let flags = ["train", "--data", text(&data), "--out", text(&run), "--resize", &input];
        let size = ["--arch", "1x8,1x16", "--batch", "16", "--dropout", "0", "--init", "kaiming"];
        let how = ["--lr", "0.02", "--momentum", "0.9", "--epochs", "8"];
        let ended = end(&mut program(&on_adapter(&[&flags[..], &size, &how].concat(), &adapter)));
        assert_eq!(ended.code, 0, "{ended:?}");
        gallery
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self) -> PathBuf {
        self.path("run")
    }

    fn add(&self, name: &str, class: usize, number: usize) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drawn(class, number).save(&path).unwrap();
        path
    }

    fn explain(&self, arguments: &[&str]) -> Ended {
        let (run, adapter) = (self.run(), chosen_adapter());
        let flags = [&["explain", text(&run)], arguments].concat();
        end(program(&on_adapter(&flags, &adapter)).current_dir(self.folder.path()))
    }

    fn explained(&self, arguments: &[&str]) -> String {
        let ended = self.explain(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended.stdout
    }

    fn refused(&self, arguments: &[&str], words: &[&str]) {
        let run = self.run();
        let flags = [&["explain", text(&run)], arguments].concat();
        fails_as(program(&flags).current_dir(self.folder.path()), 1, words);
    }
}

/// The sums of a map's values over its quarters.
fn quarters(heat: &Value) -> [f64; 4] {
    let rows = heat.as_array().unwrap();
    let mut sums = [0.0; 4];
    for (y, row) in rows.iter().enumerate() {
        let row = row.as_array().unwrap();
        for (x, value) in row.iter().enumerate() {
            let value = value.as_f64().unwrap();
            assert!((0.0..=1.0).contains(&value), "{value}");
            sums[2 * (2 * y / rows.len()) + 2 * x / row.len()] += value;
        }
    }
    sums
}

fn largest(values: &[f64]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap()
}

fn is_heat_of_the_input(png: &Path) {
    let picture = image::open(png).unwrap();
    assert_eq!(image::ImageFormat::from_path(png).unwrap(), image::ImageFormat::Png);
    assert_eq!((picture.width(), picture.height()), heat_size(INPUT, INPUT, 2));
}

#[test]
fn heat_is_where_the_shape_is_and_flags_say_what_is_drawn_where() {
    if !has_adapter("heat_is_where_the_shape_is_and_flags_say_what_is_drawn_where") {
        return;
    }
    let gallery = Gallery::new();
    heat_is_where_the_shape_is(&gallery);
    flags_say_what_is_drawn_where(&gallery);
    what_makes_no_sense_is_refused(&gallery);
}

fn heat_is_where_the_shape_is(gallery: &Gallery) {
    // New pictures of two formats: a ring in each corner, and none.
    let endings = ["png", "jpg"];
    for i in 0..8 {
        gallery.add(&format!("new/{i}.{}", endings[i % 2]), i / 4, 100 + i);
    }
    let printed = gallery.explained(&["new", "--json", "--out", "heat/of/new"]);
    let found: Value = serde_json::from_str(&printed).unwrap();
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), 8);
    for (i, report) in found.iter().enumerate() {
        assert_eq!(report["class"], CLASSES[i / 4], "{report}");
        assert_eq!(report["index"].as_u64().unwrap() as usize, sorted(CLASSES[i / 4]), "{report}");
        assert!(report["probability"].as_f64().unwrap() > 0.5, "{report}");
        assert_eq!(report["heat"].as_array().unwrap().len(), INPUT / 4);
        let sums = quarters(&report["heat"]);
        // What speaks for a blank may be anywhere.
        if i < 4 {
            assert_eq!(largest(&sums), i, "picture {i}: {sums:?}");
            let rows = report["heat"].as_array().unwrap().iter();
            let all = rows.flat_map(|row| row.as_array().unwrap());
            assert_eq!(all.filter(|value| value.as_f64() == Some(1.0)).count(), 1);
        }
        let out = gallery.path(report["out"].as_str().unwrap());
        assert!(out.ends_with(format!("heat/of/new/{i}-heat.png")), "{}", out.display());
        is_heat_of_the_input(&out);
    }
    // What is drawn is hot there, too: yellow, of little blue, in the right half of the file.
    let drawn = image::open(gallery.path("heat/of/new/0-heat.png")).unwrap().to_rgb8();
    let yellow = |(x, y): (u32, u32)| {
        let [r, g, b] = drawn.get_pixel(x, y).0.map(i32::from);
        r.min(g) - b > 60
    };
    let (side, left) = (224, 2 * 16 + 224);
    let count = |half: u32| {
        let places = (0..side / 2).flat_map(|y| (0..side / 2).map(move |x| (x, y)));
        places.filter(|(x, y)| yellow((left + half + x, 16 + half + y))).count()
    };
    assert!(count(0) > 10 * count(side / 2).max(1), "{} and {}", count(0), count(side / 2));
}

/// The index of a class: they are in the order of their names.
fn sorted(class: &str) -> usize {
    CLASSES.iter().filter(|other| **other < class).count()
}

fn flags_say_what_is_drawn_where(gallery: &Gallery) {
    gallery.add("one.png", 0, 3);
    gallery.add("other/one.jpg", 1, 2);
    // In the default folder, two of one name.
    let printed = gallery.explained(&["one.png", "other/one.jpg"]);
    let lines: Vec<_> = printed.lines().collect();
    assert!(lines[0].starts_with("one.png: ring "), "{printed}");
    assert!(lines[1].starts_with("other/one.jpg: blank "), "{printed}");
    for (line, name) in lines.iter().zip(["one-heat.png", "one-heat-2.png"]) {
        let out = Path::new("explained").join(name);
        assert!(line.ends_with(&format!(" -> {}", out.display())), "{printed}");
        is_heat_of_the_input(&gallery.path(text(&out)));
    }
    // In a file, and of the class that is named.
    let file = |class: &[&str]| {
        let printed = gallery.explained(&[&["one.png", "--out", "one file.PNG"], class].concat());
        assert!(printed.contains(" -> one file.PNG"), "{printed}");
        is_heat_of_the_input(&gallery.path("one file.PNG"));
        let probability: f64 = printed.split(' ').nth(2).unwrap().parse().unwrap();
        let class = printed.split(' ').nth(1).unwrap().to_owned();
        (class, probability, fs::read(gallery.path("one file.PNG")).unwrap())
    };
    let (likeliest, by_name, by_index) =
        (file(&[]), file(&["--class", "Ring"]), file(&["--class", "1"]));
    assert_eq!(likeliest, by_name);
    assert_eq!(by_name, by_index);
    let other = file(&["--class", "blank"]);
    assert_eq!(other.0, "blank");
    assert!((likeliest.1 + other.1 - 1.0).abs() < 1e-3, "{} and {}", likeliest.1, other.1);
    assert!(likeliest.2 != other.2);
    // Names of classes from a file.
    fs::write(gallery.path("names.txt"), "leer\nring\n").unwrap();
    let printed = gallery.explained(&["one.png", "--labels", "names.txt", "--class", "leer"]);
    assert!(printed.starts_with("one.png: leer "), "{printed}");
    // What lies in a folder and is no picture is passed over.
    fs::write(gallery.path("other/two.png"), "no picture").unwrap();
    let ended = gallery.explain(&["other"]);
    assert_eq!((ended.code, ended.stdout.lines().count()), (0, 1), "{ended:?}");
    assert!(ended.stderr.contains("two.png: is no PNG"), "{ended:?}");
}

fn what_makes_no_sense_is_refused(gallery: &Gallery) {
    let refused = |arguments: &[&str], words: &[&str]| gallery.refused(arguments, words);
    refused(&["one.png", "--class", "blanks"], &["no class 'blanks'", "is 'blank'"]);
    refused(&["one.png", "--class", "2"], &["no class 2", "tells 2 apart"]);
    refused(&["none.png"], &["cannot read none.png as an image"]);
    refused(&["other/two.png"], &["cannot read", "two.png", "is no PNG"]);
    refused(&["one.png", "other/one.jpg", "--out", "x.png"], &["x.png is one file", "2 pictures"]);
    refused(&["one.png", "--out", "one.png"], &["one.png is the picture itself"]);
    let whole = fs::read(gallery.path("one.png")).unwrap();
    // A file where a folder has to be made.
    refused(&["one.png", "--out", "names.txt/of/this"], &["cannot create the folder"]);
    refused(&["one.png", "--out", "names.txt"], &["names.txt"]);
    assert!(fs::read(gallery.path("one.png")).unwrap() == whole);
    let ended = end(&mut program(&["explain", "nowhere", "one.png"]));
    assert!(ended.code == 1 && ended.stderr.contains("nowhere"), "{ended:?}");
    assert_eq!(end(&mut program(&["explain", "run"])).code, 2);
}
