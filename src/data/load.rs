//! From four files to a checked set: counts, sizes and labels agree, and the classes have names.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{DataError, Dataset, Images, Source, Split, fetch, idx};

/// The classes of Fashion-MNIST, by label.
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
];

/// Labels are bytes.
const MOST_CLASSES: usize = 256;
/// More than 256 names need; keeps a wrong file out of memory.
const CLASSES_FILE_LIMIT: u64 = 64 * 1024;

/// The files of a set in a folder.
pub(super) struct Files {
    pub dir: PathBuf,
    pub train_images: PathBuf,
    pub train_labels: PathBuf,
    pub test_images: PathBuf,
    pub test_labels: PathBuf,
    /// `classes.txt`, if the folder holds one.
    pub classes: Option<PathBuf>,
}

/// The content of a file, with its path for errors.
pub(super) struct File<T> {
    path: PathBuf,
    content: T,
}

impl<T> File<T> {
    pub fn new(path: impl Into<PathBuf>, content: T) -> Self {
        Self { path: path.into(), content }
    }
}

/// Images and labels of both splits, not yet compared with each other.
pub(super) struct Set {
    pub train: (File<Images>, File<Vec<u8>>),
    pub test: (File<Images>, File<Vec<u8>>),
}

/// Reads the files of a folder.
///
/// The classes are named by `classes.txt`, or as those of Fashion-MNIST where the labels are
/// Fashion-MNIST's, or by their numbers.
pub(super) fn load(files: &Files, source: Source) -> Result<Dataset, DataError> {
    let images = |path: &Path| idx::read_images(path).map(|content| File::new(path, content));
    let labels = |path: &Path| idx::read_labels(path).map(|content| File::new(path, content));
    // Labels and names first: they are small, and the images may be many.
    let (train_labels, test_labels) = (labels(&files.train_labels)?, labels(&files.test_labels)?);
    let named = files.classes.as_deref().map(read_class_names).transpose()?;
    let fashion = is_fashion_mnist(&train_labels.content, &test_labels.content);
    let classes = match named {
        Some(names) => names,
        None if fashion => FASHION_MNIST_CLASSES.map(String::from).to_vec(),
        None => {
            let last = train_labels.content.iter().max().copied().unwrap_or(0);
            (0..=last).map(|class| class.to_string()).collect()
        }
    };
    let name = if fashion { "Fashion-MNIST".to_string() } else { folder_name(&files.dir) };
    let set = Set {
        train: (images(&files.train_images)?, train_labels),
        test: (images(&files.test_images)?, test_labels),
    };
    assemble(name, source, set, classes)
}

/// Compares the parts of a set with each other.
pub(super) fn assemble(
    name: String,
    source: Source,
    set: Set,
    classes: Vec<String>,
) -> Result<Dataset, DataError> {
    let size = |images: &Images| [images.height, images.width, images.channels];
    let (expected, found) = (size(&set.train.0.content), size(&set.test.0.content));
    if found != expected {
        return Err(DataError::SizeMismatch { path: set.test.0.path, expected, found });
    }
    let train = split(set.train, classes.len())?;
    let test = split(set.test, classes.len())?;
    Ok(Dataset { name, source, train, test, classes })
}

fn split(
    (images, labels): (File<Images>, File<Vec<u8>>),
    classes: usize,
) -> Result<Split, DataError> {
    if images.content.count != labels.content.len() {
        return Err(DataError::CountMismatch {
            images: images.content.count,
            labels: labels.content.len(),
            images_path: images.path,
            labels_path: labels.path,
        });
    }
    let wrong = labels.content.iter().position(|&label| usize::from(label) >= classes);
    if let Some((index, &label)) = wrong.and_then(|i| Some((i, labels.content.get(i)?))) {
        let offset = idx::LABELS_HEADER + index as u64;
        return Err(DataError::LabelOutOfRange {
            path: labels.path,
            index,
            offset,
            label,
            classes,
        });
    }
    let labels = labels.content.into_iter().map(u32::from).collect();
    Ok(Split { images: images.content, labels })
}

/// True if the labels of both splits are those of Fashion-MNIST, byte for byte. The digits of MNIST
/// come in files of the same names and shapes, so neither can tell.
fn is_fashion_mnist(train: &[u8], test: &[u8]) -> bool {
    let matches = |labels: &[u8], expected: &[u8; 32]| {
        // The hashes are of the whole content, header included.
        let Ok(count) = u32::try_from(labels.len()) else {
            return false;
        };
        let mut hash = Sha256::new();
        hash.update([0, 0, 8, 1]);
        hash.update(count.to_be_bytes());
        hash.update(labels);
        hash.finalize().as_slice() == expected
    };
    matches(train, &fetch::TRAIN_LABELS_SHA256) && matches(test, &fetch::TEST_LABELS_SHA256)
}

/// The folder's own name; `.` and the like have none until they are resolved.
fn folder_name(dir: &Path) -> String {
    let resolved = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    resolved.file_name().unwrap_or(resolved.as_os_str()).to_string_lossy().into_owned()
}

/// The class names in a file, one a line.
fn read_class_names(path: &Path) -> Result<Vec<String>, DataError> {
    let file = std::fs::File::open(path)
        .map_err(|source| DataError::Open { path: path.to_path_buf(), source })?;
    let mut names: Vec<String> = Vec::new();
    let failed = |line, problem| DataError::ClassNames { path: path.to_path_buf(), line, problem };
    for (index, line) in BufReader::new(file.take(CLASSES_FILE_LIMIT)).split(b'\n').enumerate() {
        let line =
            line.map_err(|source| DataError::Read { path: path.to_path_buf(), offset: 0, source })?;
        let number = index + 1;
        let name = str::from_utf8(&line).map_err(|_| failed(number, "is not UTF-8"))?.trim();
        if name.is_empty() {
            return Err(failed(number, "is empty"));
        }
        if names.iter().any(|other| other == name) {
            return Err(failed(number, "repeats a name"));
        }
        if number > MOST_CLASSES {
            return Err(failed(number, "is beyond the 256 classes of byte labels"));
        }
        names.push(name.to_string());
    }
    if names.is_empty() {
        return Err(failed(1, "is empty"));
    }
    Ok(names)
}
