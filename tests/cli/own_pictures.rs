//! `examples/own_pictures.sh`, from pictures to heat maps.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::pictures::Album;
use crate::{Ended, end, has_adapter};

/// The script with the program of these tests, in another folder than the project's.
fn script(arguments: &[&str], results: &Path) -> Ended {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/own_pictures.sh");
    let mut command = Command::new(path);
    command.args(arguments).current_dir(results.parent().expect("a folder"));
    end(command.env("VGG_WGPU", env!("CARGO_BIN_EXE_vgg-wgpu")).env("VGG_RUNS", results))
}

#[test]
fn a_folder_of_pictures_becomes_a_model_predictions_and_heat_maps() {
    if !has_adapter("a_folder_of_pictures_becomes_a_model_predictions_and_heat_maps") {
        return;
    }
    let album = Album::new();
    let results = album.path("results");
    let small = ["pictures", "--arch", "1x8,1x16", "--resize", "16", "--epochs", "2"];
    for results in [&results, &album.path("results-2")] {
        // The second time the first results are kept.
        let ended = script(&small, &album.path("results"));
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stdout.contains(&format!("{}/explained", results.display())), "{ended:?}");
        for name in ["run/model.safetensors", "run/curves.png"] {
            assert!(fs::metadata(results.join(name)).unwrap().len() > 0, "{name}");
        }
        let predictions = fs::read_to_string(results.join("predictions.csv")).unwrap();
        // Three classes of each of three pictures, under a header.
        assert_eq!(predictions.lines().count(), 1 + 3 * 3, "{predictions}");
        let heats = fs::read_dir(results.join("explained")).unwrap();
        let heats: Vec<_> = heats.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(heats.len(), 3, "{heats:?}");
        for heat in heats {
            assert!(image::open(&heat).unwrap().width() > 2 * 224, "{}", heat.display());
        }
    }
}

#[test]
fn the_script_tells_how_it_is_used_and_passes_failures_on() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let ended = script(&["--help"], &results);
    assert!(ended.code == 0 && ended.stdout.starts_with("usage: "), "{ended:?}");
    let ended = script(&["--epochs", "3"], &results);
    assert!(ended.code == 2 && ended.stderr.starts_with("usage: "), "{ended:?}");
    assert!(!results.exists());
    let ended = script(&["nowhere"], &results);
    assert!(ended.code == 1 && ended.stderr.contains("nowhere"), "{ended:?}");
}
