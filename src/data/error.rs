//! What can go wrong with a data set and with its download.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::EXTENSIONS;

/// Why a data set could not be read.
///
/// Offsets count bytes of the IDX content: for a gzip file those after decompression.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The folder that the user named lacks files of the set.
    #[error(
        "{}: no {}; the folder holds {}; `vgg-wgpu fetch` downloads Fashion-MNIST",
        .dir.display(), .missing.join(", no "), listing(.present)
    )]
    MissingFiles {
        /// The folder searched.
        dir: PathBuf,
        /// Names of the files that are not there; each may also end in `.gz`.
        missing: Vec<String>,
        /// Names found in the folder, sorted.
        present: Vec<String>,
    },
    /// The folder that the user named cannot be listed.
    #[error("{}: cannot list the folder", .dir.display())]
    ReadDir {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be opened.
    #[error("{}: cannot open", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading failed for a reason other than the file's content.
    #[error("{}: cannot read on at byte {offset}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Bytes read before.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The gzip stream is damaged or ends early.
    #[error("{}: the gzip stream is damaged after {offset} decompressed bytes", .path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// Bytes decompressed before.
        offset: u64,
        /// What the decoder said.
        source: io::Error,
    },
    /// The first two bytes are not the zeros that an IDX file starts with.
    #[error(
        "{}: not an IDX file: bytes 0 to 3 are {}, expected 00 00 08 and a number of dimensions",
        .path.display(), hex(.found)
    )]
    BadMagic {
        /// The file.
        path: PathBuf,
        /// The first four bytes.
        found: [u8; 4],
    },
    /// The IDX element type is not unsigned bytes.
    #[error(
        "{}: element type {found:#04x} at byte 2, expected 0x08 (unsigned bytes)", .path.display()
    )]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// The type byte.
        found: u8,
    },
    /// The number of dimensions fits neither images nor labels.
    #[error("{}: {found} dimensions at byte 3, expected {expected}", .path.display())]
    UnsupportedDims {
        /// The file.
        path: PathBuf,
        /// The numbers of dimensions allowed here, in words.
        expected: &'static str,
        /// The number in the header.
        found: u8,
    },
    /// A dimension is zero.
    #[error("{}: the {dimension} at byte {offset} is 0, expected at least 1", .path.display())]
    ZeroDimension {
        /// The file.
        path: PathBuf,
        /// Where the dimension stands.
        offset: u64,
        /// Which dimension.
        dimension: &'static str,
    },
    /// A fourth dimension that is neither 1 nor 3.
    #[error("{}: {found} channels at byte {offset}, expected 1 or 3", .path.display())]
    UnsupportedChannels {
        /// The file.
        path: PathBuf,
        /// Where the dimension stands.
        offset: u64,
        /// The number in the header.
        found: u32,
    },
    /// The dimensions multiply to more than this machine can address or has memory for.
    #[error(
        "{}: the dimensions {dims:?} at byte 4 ask for more memory than there is", .path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The dimensions in the header.
        dims: Vec<u32>,
    },
    /// The file ends before its header says.
    #[error(
        "{}: truncated: expected {expected} bytes, found {}{found}",
        .path.display(), if *.at_most { "at most " } else { "" }
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of IDX content expected, header included.
        expected: u64,
        /// Bytes there are: where the file ends.
        found: u64,
        /// True where `found` is the most that a gzip file of this length can hold.
        at_most: bool,
    },
    /// The file goes on after what its header says.
    #[error("{}: trailing bytes: expected the end at byte {expected}, found more", .path.display())]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// Bytes of IDX content expected, header included.
        expected: u64,
    },
    /// A label that is not the number of a class.
    #[error(
        "{}: label {index} at byte {offset} is {label}, expected less than {classes}",
        .path.display()
    )]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// Number of the label, from 0.
        index: usize,
        /// Where it stands.
        offset: u64,
        /// The label.
        label: u8,
        /// The number of classes.
        classes: usize,
    },
    /// Images and labels are of different number.
    #[error(
        "{} has {images} images, but {} has {labels} labels",
        .images_path.display(), .labels_path.display()
    )]
    CountMismatch {
        /// The images.
        images_path: PathBuf,
        /// The labels.
        labels_path: PathBuf,
        /// How many images.
        images: usize,
        /// How many labels.
        labels: usize,
    },
    /// Training and test images are of different size.
    #[error(
        "{}: test images of {} (height x width x channels), expected {} as in the training images",
        .path.display(), shape(.found), shape(.expected)
    )]
    SizeMismatch {
        /// The test images.
        path: PathBuf,
        /// Height, width and channels of the training images.
        expected: [usize; 3],
        /// Height, width and channels of the test images.
        found: [usize; 3],
    },
    /// A folder that should hold pictures and holds none.
    #[error(
        "{}: no pictures ({}); a set is a folder with a folder of pictures for each class",
        .dir.display(), EXTENSIONS.join(", ")
    )]
    NoPictures {
        /// The folder.
        dir: PathBuf,
    },
    /// A set of fewer than two classes.
    #[error(
        "{}: {}; there must be at least two, each a folder of pictures or a label of the CSV file",
        .dir.display(), if .found.is_empty() { "no classes".to_owned() } else {
            format!("the only class is {}", .found.join(", "))
        }
    )]
    FewClasses {
        /// The folder, or the CSV file.
        dir: PathBuf,
        /// The classes found.
        found: Vec<String>,
    },
    /// A class that is not among those that are trained or known to the model.
    #[error("{}: the class {class} is none of those of the training pictures", .path.display())]
    UnknownClass {
        /// Where it was found.
        path: PathBuf,
        /// Its name.
        class: String,
    },
    /// A cache of decoded pictures that cannot be read or written.
    #[error("{}: cannot keep decoded pictures in this cache", .path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// A CSV file that does not name pictures and their labels.
    #[error("{}: line {line}: {problem}; expected lines of path,label", .path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 of the whole file.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A line of `classes.txt` that names no class.
    #[error("{}: line {line} {problem}, expected one class name a line", .path.display())]
    ClassNames {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No mirror gave the file.
    #[error("{file}: no mirror gave the file:{}", attempts(.failures))]
    Exhausted {
        /// Name of the file.
        file: String,
        /// The last error of each mirror, in the order they were tried; empty without mirrors.
        failures: Vec<FetchError>,
    },
    /// A mirror that is not an http or https address.
    #[error("mirror {mirror:?}: expected an address that starts with https:// or http://")]
    BadMirror {
        /// The address given.
        mirror: String,
    },
    /// No connection, or it broke before the answer: name, network, TLS.
    #[error("{url}: the request failed")]
    Request {
        /// The address.
        url: String,
        /// What the client said.
        source: Box<ureq::Error>,
    },
    /// The server answered with an error.
    #[error("{url}: the server answered with status {status}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server sent nothing for too long.
    #[error("{url}: no byte for {} s, {received} bytes received", .after.as_secs_f32())]
    Stalled {
        /// The address.
        url: String,
        /// The limit.
        after: Duration,
        /// Bytes of the file received so far, earlier attempts included.
        received: u64,
    },
    /// The connection ended or broke before the file's end.
    #[error("{url}: the connection ended after {received} bytes{}", of_total(.total))]
    Interrupted {
        /// The address.
        url: String,
        /// Bytes of the file received so far, earlier attempts included.
        received: u64,
        /// Length of the file, if the server told.
        total: Option<u64>,
        /// What the client said, if it was more than an early end.
        source: Option<io::Error>,
    },
    /// The server sent another part of the file than the one asked for.
    #[error("{url}: asked for the bytes from {offset} on, the server sent {found:?}")]
    BadRange {
        /// The address.
        url: String,
        /// The offset asked for.
        offset: u64,
        /// The `Content-Range` header of the answer.
        found: String,
    },
    /// More bytes than the file can have.
    #[error("{url}: more than {limit} bytes, which this file cannot have")]
    TooLong {
        /// The address.
        url: String,
        /// The most bytes that the file can have.
        limit: u64,
    },
    /// The bytes are not the file's.
    #[error("{url}: not the expected content, removed: SHA-256 {found}, expected {expected}")]
    Corrupt {
        /// The address.
        url: String,
        /// SHA-256 of the expected content, in hexadecimal.
        expected: String,
        /// SHA-256 of what came, in hexadecimal, or why there is none.
        found: String,
    },
    /// The folder holds another file of this name.
    #[error(
        "{}: exists with other content (SHA-256 {found}, expected {expected}); \
         remove it, choose another folder or ask to overwrite it",
        .path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
        /// SHA-256 of the expected content, in hexadecimal.
        expected: String,
        /// SHA-256 of what is there, in hexadecimal, or why there is none.
        found: String,
    },
    /// The disk is full.
    #[error("{}: cannot {action}: no space left on the disk", .path.display())]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The user may not write there.
    #[error("{}: cannot {action}: permission denied; choose another folder", .path.display())]
    PermissionDenied {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Another error of the local file system.
    #[error("{}: cannot {action}", .path.display())]
    Local {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The user's cache folder is unknown, and no other folder was named.
    #[error("no cache folder: the home folder is unknown; name a folder for the files")]
    NoCacheDir,
}

/// Up to eight names, and how many more there are.
fn listing(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.len() {
        0 => "no files".to_string(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
    }
}

/// `00 00 08 03`.
fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

/// `28x28x1`.
fn shape(dims: &[usize; 3]) -> String {
    format!("{}x{}x{}", dims[0], dims[1], dims[2])
}

/// ` of 120`, or nothing.
fn of_total(total: &Option<u64>) -> String {
    total.map_or_else(String::new, |total| format!(" of {total}"))
}

/// One line a mirror, each with its causes: a list has no single source that could carry them.
fn attempts(failures: &[FetchError]) -> String {
    if failures.is_empty() {
        return " none is given".to_string();
    }
    let mut lines = String::new();
    for failure in failures {
        lines.push_str("\n  ");
        lines.push_str(&failure.to_string());
        let mut cause = failure.source();
        while let Some(error) = cause {
            lines.push_str(": ");
            lines.push_str(&error.to_string());
            cause = error.source();
        }
    }
    lines
}
