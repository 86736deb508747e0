//! Pictures in folders, a folder for each class.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{BadPicture, Picture, PictureProblem};
use crate::data::{DataError, permutation};

/// The endings of the files that are taken for pictures, in small letters.
pub const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif"];
/// Folders of one split each, and their other names.
const TRAIN: &[&str] = &["train", "training"];
const VALIDATION: &[&str] = &["val", "valid", "validation"];
const TEST: &[&str] = &["test", "testing"];

/// The pictures of a set, not decoded yet.
#[derive(Debug)]
pub struct Found {
    /// What the set is called: the name of its folder or file.
    pub name: String,
    /// The names of the classes, in order.
    pub classes: Vec<String>,
    /// The pictures to train with, or all where there are no splits.
    pub train: Vec<Picture>,
    /// The pictures to measure with as a run goes on, if the set tells.
    pub validation: Option<Vec<Picture>>,
    /// The pictures to test with, if the set tells.
    pub test: Option<Vec<Picture>>,
    /// Folders that could not be listed, and links that lead in circles.
    pub bad: Vec<BadPicture>,
}

/// Finds the pictures in a folder: `DIR/<class>/**/*.png` and the like, or the same in
/// `DIR/{train,val,test}`. Classes are the folders' names, sorted as bytes (as torchvision's
/// `ImageFolder` sorts them); within a class files are sorted by name. Links are followed; hidden files
/// are not looked at.
///
/// # Errors
/// [`DataError::ReadDir`] if the folder cannot be listed, [`DataError::NoPictures`] without folders of
/// pictures or of a class without pictures, [`DataError::UnknownClass`] of a split with a class that
/// is not trained.
pub fn find_pictures(dir: &Path) -> Result<Found, DataError> {
    let folders = folders(dir)?;
    let named = |names: &[&str]| {
        let is_one = |folder: &&PathBuf| names.iter().any(|name| name_of(folder) == *name);
        folders.iter().find(is_one).cloned()
    };
    let mut bad = Vec::new();
    let name = name_of(&dir.canonicalize().unwrap_or_else(|_| dir.to_owned()));
    let Some(train) = named(TRAIN) else {
        let (classes, train) = classes_in(dir, &mut bad)?;
        return Ok(Found { name, classes, train, validation: None, test: None, bad });
    };
    let (classes, train) = classes_in(&train, &mut bad)?;
    let mut other = |names| match named(names) {
        Some(folder) => of_classes(&folder, &classes, &mut bad).map(Some),
        None => Ok(None),
    };
    let (validation, test) = (other(VALIDATION)?, other(TEST)?);
    Ok(Found { name, classes, train, validation, test, bad })
}

impl Found {
    /// All pictures.
    pub fn len(&self) -> usize {
        let others = self.validation.iter().chain(&self.test);
        self.train.len() + others.map(Vec::len).sum::<usize>()
    }

    /// True without pictures.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a share of the pictures to train with for validation: of each class as near to `share` as
    /// whole pictures allow, but at least one where there are two, and never all. Which ones follows
    /// from `seed` and the order of the files alone; their order stays.
    pub fn set_aside(&mut self, share: f64, seed: u64) {
        let mut aside = vec![false; self.train.len()];
        for class in 0..self.classes.len() as u32 {
            let places: Vec<usize> =
                (0..self.train.len()).filter(|&i| self.train[i].label == class).collect();
            let most = places.len().saturating_sub(1);
            let wanted = (places.len() as f64 * share).round() as usize;
            let wanted = wanted.clamp(most.min(1), most);
            let order = permutation(places.len(), seed, u64::from(class));
            for &place in order.iter().take(wanted) {
                aside[places[place as usize]] = true;
            }
        }
        let mut is_aside = aside.iter();
        let all = std::mem::take(&mut self.train);
        let (validation, train) = all.into_iter().partition(|_| is_aside.next() == Some(&true));
        (self.train, self.validation) = (train, Some(validation));
    }
}

/// The classes of a folder, and their pictures.
fn classes_in(
    dir: &Path,
    bad: &mut Vec<BadPicture>,
) -> Result<(Vec<String>, Vec<Picture>), DataError> {
    let (mut classes, mut pictures) = (Vec::new(), Vec::new());
    for folder in folders(dir)? {
        let before = pictures.len();
        pictures_in(&folder, classes.len() as u32, &mut pictures, bad);
        if pictures.len() == before {
            return Err(DataError::NoPictures { dir: folder });
        }
        classes.push(name_of(&folder));
    }
    if classes.len() < 2 {
        return Err(DataError::FewClasses { dir: dir.to_owned(), found: classes });
    }
    Ok((classes, pictures))
}

/// The pictures of a split whose classes are those of another one.
fn of_classes(
    dir: &Path,
    classes: &[String],
    bad: &mut Vec<BadPicture>,
) -> Result<Vec<Picture>, DataError> {
    let mut pictures = Vec::new();
    for folder in folders(dir)? {
        let name = name_of(&folder);
        let Some(class) = classes.iter().position(|class| *class == name) else {
            return Err(DataError::UnknownClass { path: folder, class: name });
        };
        pictures_in(&folder, class as u32, &mut pictures, bad);
    }
    match pictures.is_empty() {
        true => Err(DataError::NoPictures { dir: dir.to_owned() }),
        false => Ok(pictures),
    }
}

/// The folders in a folder that are not hidden, sorted by name.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::ReadDir { dir: dir.to_owned(), source };
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && !is_hidden(&path) {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// All pictures in a folder and in the folders in it, sorted by name, and what could not be looked at:
/// as [`find_pictures`] finds those of a class.
pub fn pictures_under(dir: &Path) -> (Vec<PathBuf>, Vec<BadPicture>) {
    let (mut pictures, mut bad) = (Vec::new(), Vec::new());
    pictures_in(dir, 0, &mut pictures, &mut bad);
    (pictures.into_iter().map(|picture| picture.path).collect(), bad)
}

/// Adds the pictures in a folder and in the folders in it.
fn pictures_in(folder: &Path, label: u32, pictures: &mut Vec<Picture>, bad: &mut Vec<BadPicture>) {
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name();
    let shown = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(entry.path());
    for entry in walk.into_iter().filter_entry(shown) {
        match entry {
            Ok(entry) if entry.file_type().is_file() && is_picture(entry.path()) => {
                pictures.push(Picture { path: entry.into_path(), label });
            }
            Ok(_) => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                let problem = PictureProblem::Folder(match error.loop_ancestor() {
                    Some(ancestor) => format!("is a link back to {}", ancestor.display()),
                    None => match error.io_error() {
                        Some(error) => format!("cannot be read: {error}"),
                        None => error.to_string(),
                    },
                });
                bad.push(BadPicture { path, problem });
            }
        }
    }
}

/// True of a file that is taken for a picture by its name.
fn is_picture(path: &Path) -> bool {
    let Some(extension) = path.extension() else { return false };
    let extension = extension.to_string_lossy().to_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().unwrap_or(OsStr::new("")).as_encoded_bytes().starts_with(b".")
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(counts: &[usize]) -> Found {
        let label = |(label, &count): (usize, &usize)| {
            let picture = move |i| Picture {
                path: PathBuf::from(format!("{label}/{i}.png")),
                label: label as u32,
            };
            (0..count).map(picture)
        };
        Found {
            name: "set".to_owned(),
            classes: (0..counts.len()).map(|i| i.to_string()).collect(),
            train: counts.iter().enumerate().flat_map(label).collect(),
            validation: None,
            test: None,
            bad: Vec::new(),
        }
    }

    fn of_class(pictures: &[Picture], label: u32) -> usize {
        pictures.iter().filter(|picture| picture.label == label).count()
    }

    #[test]
    fn a_split_has_its_share_of_each_class_and_leaves_some() {
        let mut set = found(&[100, 10, 3, 2, 1]);
        let before = set.train.clone();
        set.set_aside(0.2, 7);
        let validation = set.validation.clone().unwrap();
        let counts = [0, 1, 2, 3, 4].map(|class| of_class(&validation, class));
        assert_eq!(counts, [20, 2, 1, 1, 0]);
        let mut all = [set.train.clone(), validation.clone()].concat();
        all.sort_by(|a, b| (a.label, &a.path).cmp(&(b.label, &b.path)));
        let mut before = before;
        before.sort_by(|a, b| (a.label, &a.path).cmp(&(b.label, &b.path)));
        assert_eq!(all, before);

        let drawn = |seed| {
            let mut set = found(&[100, 10, 3, 2, 1]);
            set.set_aside(0.2, seed);
            set.validation.unwrap()
        };
        assert_eq!(drawn(7), validation);
        assert_ne!(drawn(8), validation);
        // Even a share of nearly all leaves a picture to train with.
        let mut most = found(&[3, 2]);
        most.set_aside(0.99, 0);
        assert_eq!([0, 1].map(|class| of_class(&most.train, class)), [1, 1]);
    }

    #[test]
    fn pictures_are_told_by_their_endings() {
        for name in ["a.png", "a.JPG", "b.c.jpeg", "x.TIFF", "y.Gif"] {
            assert!(is_picture(Path::new(name)), "{name}");
        }
        for name in ["png", "a.txt", "a", "a.png.part", ".png"] {
            assert!(!is_picture(Path::new(name)), "{name}");
        }
        assert!(is_hidden(Path::new("x/._a.png")) && !is_hidden(Path::new(".x/a.png")));
    }
}
