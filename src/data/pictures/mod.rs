//! Sets of pictures: a folder with a folder for each class, or a CSV file of paths and labels.
//!
//! [`find_pictures`] and [`pictures_of_csv`] find the files, [`Found::set_aside`] takes some of them for
//! validation, and [`PictureForm`] makes an image of a file. [`read_pictures`] decodes a whole set on all
//! cores, and tells of the files that are no pictures; a [`PictureSet`] decodes them as they are asked
//! for, and [`cached_pictures`] keeps decoded ones in a file.

mod cache;
mod csv;
mod decode;
mod find;
mod read;

pub use cache::{Cached, CachedSet, cached_pictures};
pub use csv::pictures_of_csv;
pub use decode::{PictureForm, PictureProblem};
pub use find::{EXTENSIONS, Found, find_pictures, pictures_under};
pub use read::{PictureSet, check_pictures, in_memory, read_pictures};

use std::fmt;
use std::path::PathBuf;

/// A file with a picture, and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub path: PathBuf,
    /// The class, from 0.
    pub label: u32,
}

/// A file that is passed over. Prints as its path and what is wrong with it.
#[derive(Debug)]
pub struct BadPicture {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: PictureProblem,
}

impl fmt::Display for BadPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}
