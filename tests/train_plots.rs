//! The curves: drawn for any history, with their text, on a machine without fonts.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use tempfile::TempDir;
use vgg_wgpu::train::history::{EpochRecord, History};
use vgg_wgpu::train::plot::{PlotError, SIZE, write_curves};

const TRAIN: Rgb<u8> = Rgb([0, 114, 178]);
const VALIDATION: Rgb<u8> = Rgb([213, 94, 0]);
/// Top of the plots' inside: title and legend are above.
const PLOT_TOP: u32 = 75;
/// Left half: the loss.
const HALF: u32 = SIZE.0 / 2;

fn falling(epoch: u32) -> EpochRecord {
    let decay = (-f64::from(epoch) / 8.0).exp();
    EpochRecord {
        epoch,
        train_loss: 2.3 * decay + 0.2,
        train_acc: 1.0 - 0.9 * decay,
        val_loss: 2.2 * decay + 0.4,
        val_acc: 0.93 - 0.8 * decay,
        seconds: 1.0,
        images_per_s: 100.0,
    }
}

fn history(epochs: u32) -> History {
    History { epochs: (1..=epochs).map(falling).collect() }
}

/// A history of `epochs` epochs with each value the same.
fn constant(epochs: u32, value: f64) -> History {
    let row = |epoch| EpochRecord {
        epoch,
        train_loss: value,
        train_acc: value,
        val_loss: value,
        val_acc: value,
        seconds: 1.0,
        images_per_s: 1.0,
    };
    History { epochs: (1..=epochs).map(row).collect() }
}

/// Draws and returns the SVG's text and the PNG's pixels.
fn draw(history: &History, title: &str) -> (String, RgbImage) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (svg, png) = (folder.path().join("curves.svg"), folder.path().join("curves.png"));
    write_curves(history, title, &svg, &png).expect("curves");
    let pixels = image::open(&png).expect("a readable PNG").into_rgb8();
    assert_eq!(pixels.dimensions(), SIZE);
    assert_eq!(files(&folder), ["curves.png", "curves.svg"]);
    (fs::read_to_string(&svg).expect("SVG"), pixels)
}

fn files(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Pixels of exactly `color` within the plot of the left half or the right.
fn count(pixels: &RgbImage, color: Rgb<u8>, right: bool) -> usize {
    let inside = |x: u32, y: u32| (x >= HALF) == right && y >= PLOT_TOP;
    pixels.enumerate_pixels().filter(|&(x, y, &p)| inside(x, y) && p == color).count()
}

/// Dark pixels in a rectangle: text, or an axis.
fn ink(pixels: &RgbImage, x: (u32, u32), y: (u32, u32)) -> usize {
    let inside = |px: u32, py: u32| (x.0..x.1).contains(&px) && (y.0..y.1).contains(&py);
    let dark = |p: &Rgb<u8>| p.0.iter().all(|&channel| channel < 110);
    pixels.enumerate_pixels().filter(|&(px, py, p)| inside(px, py) && dark(p)).count()
}

#[test]
fn both_curves_are_on_both_panels() {
    for epochs in [1, 2, 4, 10, 60, 500] {
        let (_, pixels) = draw(&history(epochs), "run");
        for right in [false, true] {
            for color in [TRAIN, VALIDATION] {
                let found = count(&pixels, color, right);
                assert!(found >= 25, "{epochs} epochs: {found} pixels of {color:?}, {right}");
            }
        }
    }
}

#[test]
fn text_is_drawn_without_installed_fonts() {
    let (_, with) = draw(&history(4), "a title of some length");
    let (_, without) = draw(&history(4), "");
    let title = ((300, 900), (5, 40));
    assert_eq!(ink(&without, title.0, title.1), 0);
    assert!(ink(&with, title.0, title.1) > 200, "no title");
    assert!(ink(&with, (0, 24), (PLOT_TOP, 430)) > 15, "no name on the value axis");
    assert!(ink(&with, (100, 580), (455, 478)) > 30, "no name on the epoch axis");
    assert!(ink(&with, (120, 170), (45, 68)) > 20, "no legend");
}

#[test]
fn letters_beyond_ascii_are_drawn_as_themselves() {
    let title = ((0, SIZE.0), (5, 40));
    let ink_of = |text| ink(&draw(&history(1), text).1, title.0, title.1);
    // A letter without a glyph is drawn as the same empty box for all, or not at all.
    let found = [ink_of("éééééé"), ink_of("ЖЖЖЖЖЖ"), ink_of("αααααα"), ink_of("......")];
    let mut distinct = found.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), found.len(), "{found:?}");
    assert!(found.iter().all(|&count| count > 5), "{found:?}");
}

#[test]
fn the_svg_names_axes_ticks_and_legend() {
    let (svg, _) = draw(&history(10), "ten epochs");
    let texts: Vec<&str> = svg.lines().map(str::trim).filter(|l| !l.starts_with('<')).collect();
    let times = |text: &str| texts.iter().filter(|&&found| found == text).count();
    assert_eq!(times("ten epochs"), 1);
    for text in ["loss", "accuracy"] {
        assert_eq!(times(text), 1, "{text}");
    }
    for text in ["epoch", "train", "validation", "1", "10"] {
        assert_eq!(times(text), 2, "{text}");
    }
}

#[test]
fn values_that_cannot_be_drawn_are_noted() {
    let mut broken = history(6);
    broken.epochs[1].train_loss = f64::NAN;
    broken.epochs[2].train_loss = f64::INFINITY;
    broken.epochs[4].train_loss = 1e300;
    broken.epochs[5].val_acc = f64::NEG_INFINITY;
    let (svg, pixels) = draw(&broken, "run");
    assert!(svg.contains("NaN or huge, not drawn: train at 2-3, 5\n"), "{svg}");
    assert!(svg.contains("NaN or huge, not drawn: validation at 6\n"), "{svg}");
    assert!(!svg.contains("-2147483648") && !svg.contains("2147483647"), "a point far outside");
    assert!(ink(&pixels, (0, 600), (479, 500)) > 50, "no note below the left panel");

    let (whole, pixels) = draw(&history(6), "run");
    assert!(!whole.contains("not drawn"));
    assert_eq!(ink(&pixels, (0, 600), (479, 500)), 0);
}

#[test]
fn a_long_note_stays_on_its_panel() {
    let mut broken = history(4);
    for (record, epoch) in broken.epochs.iter_mut().zip([1003, 1004, 1005, 1006]) {
        record.epoch = epoch;
    }
    let mut later = broken.clone();
    for (index, record) in later.epochs.iter_mut().enumerate() {
        record.epoch += 100;
        if index % 2 == 0 {
            (record.train_loss, record.val_loss) = (f64::NAN, f64::NAN);
        }
    }
    broken.epochs.extend(later.epochs);
    for index in [0, 1, 3] {
        broken.epochs[index].train_loss = f64::INFINITY;
        broken.epochs[index].val_loss = f64::INFINITY;
    }
    let (svg, pixels) = draw(&broken, "run");
    let note = "train at 1003-1004, 1006-1103, ...; validation at 1003-1004, 1006-1103, ...";
    assert!(svg.contains(note), "{svg}");
    assert_eq!(ink(&pixels, (HALF, SIZE.0), (479, 500)), 0, "the note runs into the right panel");
}

#[test]
fn a_history_of_nothing_but_nan_has_axes_and_a_note() {
    let (svg, pixels) = draw(&constant(3, f64::NAN), "run");
    assert!(svg.contains("train at 1-3; validation at 1-3"), "{svg}");
    assert_eq!(count(&pixels, TRAIN, false), 0);
    assert!(ink(&pixels, (30, 78), (PLOT_TOP, 450)) > 50, "no labels on the value axis");
}

#[test]
fn a_constant_series_is_a_level_line() {
    for value in [0.0, 1.0, std::f64::consts::LN_10, 1e-12, 1e12] {
        let (_, pixels) = draw(&constant(5, value), "run");
        // Validation is drawn last and covers the train curve, but for the gaps of its dashes.
        let rows = pixels
            .enumerate_pixels()
            .filter(|&(x, y, &p)| x < HALF && y >= PLOT_TOP && p == VALIDATION)
            .map(|(_, y, _)| y);
        let (top, bottom) = (rows.clone().min(), rows.max());
        let (Some(top), Some(bottom)) = (top, bottom) else { panic!("{value}: no curve") };
        assert!(bottom - top <= 10, "{value}: from {top} to {bottom}");
    }
}

#[test]
fn any_title_is_accepted() {
    let long = "x".repeat(5000);
    for title in ["a <b> & \"c\" 'd' ]]>", "null \0 bell \u{7} \u{ffff}", "図", &long] {
        let (svg, _) = draw(&history(2), title);
        assert!(svg.len() < 40_000, "{} bytes", svg.len());
    }
}

#[test]
fn the_same_history_gives_the_same_bytes() {
    let (svg, png) = draw(&history(7), "run");
    let (svg_again, png_again) = draw(&history(7), "run");
    assert!(svg == svg_again && png == png_again);
}

#[test]
fn an_empty_history_is_an_error_and_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (svg, png) = (folder.path().join("a.svg"), folder.path().join("a.png"));
    let result = write_curves(&History::default(), "run", &svg, &png);
    assert!(matches!(result, Err(PlotError::NoEpochs)), "{result:?}");
    assert!(files(&folder).is_empty());
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let svg = folder.path().join("missing").join("curves.svg");
    for (svg, png) in [(svg.as_path(), Path::new("unused.png")), (folder.path(), &svg)] {
        let result = write_curves(&history(1), "run", svg, png);
        let Err(PlotError::Write { path, .. }) = result else { panic!("{result:?}") };
        assert_eq!(path, svg);
    }
    assert!(files(&folder).is_empty());
}
