//! A small set of images on disk, and runs on it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Ended, chosen_adapter, end, on_adapter, program};

/// Images to train with; not a whole number of batches.
pub const TRAIN: usize = 90;
/// Images to test with.
pub const TEST: usize = 40;
/// Height and width of an image.
pub const SIZE: usize = 12;

/// A small set in a folder of its own, with room for runs beside it.
pub struct Set {
    folder: TempDir,
}

impl Set {
    /// Ten classes that differ in the place of a bright row.
    pub fn new() -> Self {
        let set = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(set.data()).unwrap();
        for (prefix, count) in [("train", TRAIN), ("t10k", TEST)] {
            let images: Vec<u8> = (0..count).flat_map(image).collect();
            let labels: Vec<u8> = (0..count).map(class).collect();
            let dims = [count, SIZE, SIZE];
            set.write(&format!("{prefix}-images-idx3-ubyte"), &dims, &images);
            set.write(&format!("{prefix}-labels-idx1-ubyte"), &dims[..1], &labels);
        }
        set
    }

    /// The folder with the four files.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A path for results.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes one of the set's files.
    pub fn write(&self, name: &str, dims: &[usize], bytes: &[u8]) {
        let mut file = vec![0, 0, 8, dims.len() as u8];
        file.extend(dims.iter().flat_map(|&dim| (dim as u32).to_be_bytes()));
        file.extend_from_slice(bytes);
        fs::write(self.data().join(name), file).unwrap();
    }

    /// Trains a very small network on the set.
    pub fn train(&self, out: &Path, more: &[&str]) -> Ended {
        let flags = ["--out", text(out), "--batch", "32", "--epochs", "1", "--lr", "0.02"];
        self.run("train", &[&flags[..], more].concat())
    }

    /// Runs a subcommand with a very small network and the set.
    pub fn run(&self, command: &str, more: &[&str]) -> Ended {
        let (data, adapter) = (self.data(), chosen_adapter());
        let flags = [command, "--data", text(&data), "--resize", "8", "--arch", "1x4,2x8"];
        end(&mut program(&on_adapter(&[&flags[..], more].concat(), &adapter)))
    }

    /// Trains, and expects that it ends well.
    pub fn trained(&self, out: &Path, more: &[&str]) -> String {
        let ended = self.train(out, more);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stdout
    }
}

/// The class of an image of the set.
pub fn class(index: usize) -> u8 {
    (index % 10) as u8
}

/// An image of the set: dark, with a bright row at the place of its class.
pub fn image(index: usize) -> Vec<u8> {
    let row =
        |y: usize| if y == usize::from(class(index)) + 1 { 240 } else { (index * y % 23) as u8 };
    (0..SIZE).flat_map(|y| [row(y); SIZE]).collect()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}
