use std::fs;

use image::GenericImageView as _;

use crate::pictures::{Album, last_of_history};
use crate::sets::{SIZE, Set, TRAIN, image, text};
use crate::{chosen_adapter, end, fails, fails_as, has_adapter, on_adapter, program, succeeds};

/// Every kind of change.
const ALL: [&str; 15] = [
    "--flip",
    "--crop-padding",
    "2",
    "--resized-crop",
    "0.6",
    "--rotate",
    "10",
    "--brightness",
    "0.2",
    "--contrast",
    "0.2",
    "--cutout",
    "3",
    "--mixup",
    "0.2",
];

/// Pixels of a sheet: a picture's side, the room about it, the title's height.
const TILE: (u32, u32, u32) = (132, 14, 44);

#[test]
fn a_sheet_shows_originals_and_variants() {
    if !has_adapter("a_sheet_shows_originals_and_variants") {
        return;
    }
    let (set, adapter) = (Set::new(), chosen_adapter());
    let (data, out) = (set.data(), set.path("out.png"));
    let flags = ["augment", "--data", text(&data), "--preview", text(&out), "--resize", "12"];
    let size = ["--rows", "3", "--variants", "4"];
    let drawn = |more: &[&str]| {
        let printed = succeeds(&on_adapter(&[&flags[..], &size, more].concat(), &adapter));
        assert!(printed.contains("out.png"), "{printed}");
        image::open(&out).unwrap()
    };
    let (side, gap, title) = TILE;
    let tile = |sheet: &image::DynamicImage, row: u32, column: u32, lines: u32| {
        let (x, y) = (gap + column * (side + gap), title + row * (side + 17 * lines + gap));
        sheet.view(x, y, side, side).to_image()
    };
    let sheet = drawn(&["--flip", "1", "--brightness", "0.9"]);
    assert_eq!(sheet.dimensions(), (gap + 5 * (side + gap), title + 3 * (side + 17 + gap)));
    // A picture of 12 pixels is drawn in squares of 11.
    let pixels = |tile: &image::RgbaImage| -> Vec<u8> {
        let middle = |i: usize| (i % SIZE, i / SIZE);
        let at = |(x, y): (usize, usize)| (11 * x as u32 + 5, 11 * y as u32 + 5);
        (0..SIZE * SIZE).map(|i| at(middle(i))).map(|(x, y)| tile.get_pixel(x, y)[0]).collect()
    };
    let images: Vec<_> = (0..TRAIN).map(image).collect();
    for row in 0..3 {
        let original = pixels(&tile(&sheet, row, 0, 1));
        assert!(images.contains(&original), "row {row} begins with an image of the set");
        let variants: Vec<_> = (1..5).map(|column| pixels(&tile(&sheet, row, column, 1))).collect();
        assert!(variants.iter().all(|variant| *variant != original));
        assert!(variants.iter().any(|variant| *variant != variants[0]), "row {row}");
    }
    // Without augmentation variants are originals; with mixup two lines tell of the shares.
    let plain = drawn(&[]);
    assert_eq!(pixels(&tile(&plain, 1, 0, 1)), pixels(&tile(&plain, 1, 3, 1)));
    let mixed = drawn(&ALL);
    assert_eq!(mixed.height(), title + 3 * (side + 2 * 17 + gap));
    // The same seed draws the same, another one other images.
    assert_eq!(mixed, drawn(&ALL));
    assert_ne!(mixed, drawn(&[&ALL[..], &["--seed", "1"]].concat()));
}

#[test]
fn pictures_are_trained_on_with_every_change() {
    if !has_adapter("pictures_are_trained_on_with_every_change") {
        return;
    }
    let album = Album::new();
    // So few pictures are learnt where they are changed a little, and slowly.
    let gentle =
        ["--flip", "--crop-padding", "1", "--brightness", "0.1", "--lr", "0.005", "--epochs", "12"];
    album.trained("gentle", &gentle);
    let (_, accuracy) = last_of_history(&album.path("gentle"));
    assert!(accuracy > 0.6, "{accuracy}");
    album.trained("run", &[&ALL[..], &["--epochs", "1"]].concat());
    let run = album.path("run");
    let config: toml::Table = fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    let asked = config["augmentation"].as_table().unwrap();
    let number = |name: &str| asked[name].as_float().unwrap();
    assert!((number("rotate"), number("flip")) == (10.0, 0.5), "{asked:?}");
    assert_eq!(
        (asked["crop_padding"].as_integer(), asked["cutout"].as_integer()),
        (Some(2), Some(3))
    );
    let variants = config["adapter"]["variants"].as_array().unwrap();
    assert!(variants.iter().any(|variant| variant.as_str() == Some("augment")), "{variants:?}");

    let (data, sheet, adapter) = (album.pictures(), album.path("sheet.png"), chosen_adapter());
    let flags = ["augment", "--data", text(&data), "--preview", text(&sheet), "--resize", "40"];
    succeeds(&on_adapter(&[&flags[..], &ALL, &["--rows", "2"]].concat(), &adapter));
    assert!(image::open(&sheet).unwrap().into_rgb8().pixels().any(|p| p[0] != p[1]), "in colour");
}

#[test]
fn the_same_seed_augments_to_the_same_bits_streamed_or_not() {
    if !has_adapter("the_same_seed_augments_to_the_same_bits_streamed_or_not") {
        return;
    }
    let album = Album::new();
    let model = |out: &str, more: &[&str]| {
        album.trained(out, &[&ALL[..], &["--epochs", "2", "--seed", "4"], more].concat());
        fs::read(album.path(out).join("model.safetensors")).unwrap()
    };
    let first = model("first", &[]);
    assert!(first == model("again", &[]), "a second run differs");
    assert!(first == model("streamed", &["--in-memory", "0"]), "reading as it goes on differs");
    assert!(first != model("other", &["--mixup", "0"]), "without mixup it is another run");
    // What is drawn does not depend on how batches are cut; sums of gradients do, in their last bits.
    model("cut", &["--micro-batch", "3"]);
    let loss = |out: &str| last_of_history(&album.path(out)).0;
    let (whole, cut) = (loss("first"), loss("cut"));
    assert!((whole - cut).abs() <= 1e-3 * whole, "{whole}, cut {cut}");
}

#[test]
fn wrong_numbers_are_told() {
    fails(&["train", "--flip", "2"], 2, &["--flip", "from 0 to 1"]);
    fails(&["train", "--rotate", "half"], 2, &["--rotate", "degrees from 0 to 180"]);
    fails(&["train", "--crop-padding", "1.5"], 2, &["--crop-padding", "whole number of pixels"]);
    fails(&["augment", "--mixup=-1"], 2, &["--mixup"]);
    fails(&["augment"], 2, &["--preview"]);
    fails(&["augment", "--preview", "x.png", "--rows", "0"], 2, &["--rows", "from 1 to 32"]);
    if !has_adapter("wrong_numbers_are_told") {
        return;
    }
    let set = Set::new();
    for (flags, words) in [
        (["--crop-padding", "8"], ["crop padding is 8", "less than the 8 pixels"]),
        (["--resize-filter", "pil"], ["Pillow's filter", "--resize-filter bilinear"]),
    ] {
        let ended = set.train(&set.path("run"), &[&["--flip"], &flags[..]].concat());
        assert_eq!(ended.code, 1, "{ended:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "no '{word}' in: {}", ended.stderr);
        }
    }
    let (out, adapter) = (set.path("no/such/folder.png"), chosen_adapter());
    let flags = ["augment", "--data", "embedded", "--preview", text(&out), "--resize", "8"];
    let ended = end(&mut program(&on_adapter(&flags, &adapter)));
    assert!(ended.code == 1 && ended.stderr.contains("folder.png"), "{ended:?}");
    let missing = set.path("missing");
    let flags = ["augment", "--data", text(&missing), "--preview", text(&out)];
    fails_as(&mut program(&flags), 1, &["missing"]);
}
