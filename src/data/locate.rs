//! Where a set lies.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::load::{Files, load};
use super::{DataError, Dataset, Source, embedded};

/// The environment variable that names a folder with a set.
pub const DATA_ENV: &str = "VGG_WGPU_DATA";

/// Where Debian's package `dataset-fashion-mnist` puts Fashion-MNIST.
pub const SYSTEM_DIR: &str = "/usr/share/datasets/fashion-mnist";

/// The folders to look in when the caller names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// A folder that has to hold a set: the value of [`DATA_ENV`].
    pub environment: Option<PathBuf>,
    /// The user's cache folder, used if it holds a set.
    pub cache: Option<PathBuf>,
    /// The folder of the system's package, used if it holds a set.
    pub system: Option<PathBuf>,
}

impl Places {
    /// The folders of this user on this machine.
    pub fn of_this_user() -> Self {
        Self {
            environment: env::var_os(DATA_ENV).filter(|dir| !dir.is_empty()).map(PathBuf::from),
            cache: cache_dir(),
            system: Some(PathBuf::from(SYSTEM_DIR)),
        }
    }
}

/// The program's folder in the user's cache: `vgg-wgpu` under `$XDG_CACHE_HOME` or `~/.cache` (on
/// Windows under `%LOCALAPPDATA%`). None without a home folder.
pub fn user_cache() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(strategy.cache_dir().join("vgg-wgpu"))
}

/// The folder that downloads go to: `fashion-mnist` in [`user_cache`].
pub fn cache_dir() -> Option<PathBuf> {
    Some(user_cache()?.join("fashion-mnist"))
}

/// Opens a set: the one in `dir`; without `dir` the first of
///
/// 1. the folder named by the environment variable [`DATA_ENV`],
/// 2. the user's cache folder ([`cache_dir`]), if it holds the files,
/// 3. the system's folder ([`SYSTEM_DIR`]), if it holds the files,
/// 4. the subset embedded in the program.
///
/// A folder holds a set in the four files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
/// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`; a dot may stand before `idx`, and each
/// may be compressed and end in `.gz`. An optional `classes.txt` names the classes, one a line.
/// Without it there are as many as the largest training label says, named as Fashion-MNIST's where
/// the labels are Fashion-MNIST's, or else by number.
///
/// # Errors
///
/// [`DataError`], if `dir` or the folder of the environment lacks a file, or if the files of the
/// folder used are damaged or do not fit each other. Damaged files in the cache or in the system's
/// folder are an error too, never passed over.
pub fn open(dir: Option<&Path>) -> Result<Dataset, DataError> {
    open_with(dir, &Places::of_this_user())
}

/// [`open`] with other folders than those of this user.
///
/// # Errors
///
/// As [`open`].
pub fn open_with(dir: Option<&Path>, places: &Places) -> Result<Dataset, DataError> {
    if let Some(dir) = dir {
        return load(&files_in(dir)?, Source::Directory(dir.to_path_buf()));
    }
    if let Some(dir) = &places.environment {
        return load(&files_in(dir)?, Source::Environment(dir.clone()));
    }
    // These two may hold nothing, or a download that was broken off.
    if let Some((dir, files)) = places.cache.as_deref().and_then(holds) {
        return load(&files, Source::Cache(dir));
    }
    if let Some((dir, files)) = places.system.as_deref().and_then(holds) {
        return load(&files, Source::System(dir));
    }
    embedded()
}

fn holds(dir: &Path) -> Option<(PathBuf, Files)> {
    files_in(dir).ok().map(|files| (dir.to_path_buf(), files))
}

/// The files of a set in a folder.
fn files_in(dir: &Path) -> Result<Files, DataError> {
    let present =
        names_in(dir).map_err(|source| DataError::ReadDir { dir: dir.to_path_buf(), source })?;
    let mut missing = Vec::new();
    let mut find = |stem: &str, kind: &str| {
        let usual = format!("{stem}-{kind}-ubyte");
        let dotted = format!("{stem}.{kind}-ubyte");
        // Plain files first: they need no decompression.
        let candidates =
            [usual.clone(), dotted.clone(), format!("{usual}.gz"), format!("{dotted}.gz")];
        let found = candidates.iter().find(|name| present.contains(*name));
        found.map_or_else(
            || {
                missing.push(usual);
                PathBuf::new()
            },
            |name| dir.join(name),
        )
    };
    let files = Files {
        dir: dir.to_path_buf(),
        train_images: find("train-images", "idx3"),
        train_labels: find("train-labels", "idx1"),
        test_images: find("t10k-images", "idx3"),
        test_labels: find("t10k-labels", "idx1"),
        classes: present.contains("classes.txt").then(|| dir.join("classes.txt")),
    };
    if missing.is_empty() {
        return Ok(files);
    }
    let present = present.into_iter().collect();
    Err(DataError::MissingFiles { dir: dir.to_path_buf(), missing, present })
}

/// The names in a folder, sorted. Names that are not Unicode are shown as well as they can be.
fn names_in(dir: &Path) -> io::Result<BTreeSet<String>> {
    fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect()
}
