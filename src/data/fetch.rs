//! Download of Fashion-MNIST: which files, from where, how often to try, and what counts as good.
//!
//! A file is good if the SHA-256 of its *decompressed* content is right. The packed bytes would not
//! do: mirrors and packages pack the same content differently (Debian's package drops the time and
//! the name from the gzip header, and a server may unpack on the way), and the content is what
//! training sees.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::download::{Download, agent};
use super::{FetchError, cache_dir, idx};

/// Where Fashion-MNIST is downloaded from, in the order tried: the authors' repository, and the
/// copy that Keras uses.
pub const MIRRORS: [&str; 2] = [
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
];

/// Hash of the decompressed training labels of Fashion-MNIST.
pub(super) const TRAIN_LABELS_SHA256: [u8; 32] =
    sha256(b"bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9");
/// Hash of the decompressed test labels of Fashion-MNIST.
pub(super) const TEST_LABELS_SHA256: [u8; 32] =
    sha256(b"0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34");
const TRAIN_IMAGES_SHA256: [u8; 32] =
    sha256(b"c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888");
const TEST_IMAGES_SHA256: [u8; 32] =
    sha256(b"5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b");

const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A file to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its name, on the mirror and in the folder.
    pub name: String,
    /// Length of its content in bytes, decompressed where it is gzip.
    pub content_len: u64,
    /// SHA-256 of that content.
    pub content_sha256: [u8; 32],
}

impl RemoteFile {
    fn new(name: &str, content_len: u64, content_sha256: [u8; 32]) -> Self {
        Self { name: name.to_string(), content_len, content_sha256 }
    }
}

/// What to download, from where, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    /// The folder to write to; made if it is missing.
    pub dir: PathBuf,
    /// Addresses under which the files lie, tried in this order: `https://` or `http://`. An https
    /// address is never left for a http one by a redirect.
    pub mirrors: Vec<String>,
    /// The files.
    pub files: Vec<RemoteFile>,
    /// Longest time to resolve a name, and to connect.
    pub connect_timeout: Duration,
    /// Longest time without any byte from the server. A slow one may take as long as it likes.
    pub stall_timeout: Duration,
    /// How often to try a mirror for one file, at least once.
    pub attempts: u32,
    /// Time before the second attempt; doubled for each further one, up to 30 s.
    pub backoff: Duration,
    /// Replace files of the same name with other content, instead of [`FetchError::Exists`].
    pub overwrite: bool,
}

impl FetchOptions {
    /// The four files of Fashion-MNIST (31 MB) into a folder, from [`MIRRORS`].
    pub fn fashion_mnist(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            mirrors: MIRRORS.map(String::from).to_vec(),
            files: vec![
                RemoteFile::new("train-images-idx3-ubyte.gz", 47_040_016, TRAIN_IMAGES_SHA256),
                RemoteFile::new("train-labels-idx1-ubyte.gz", 60_008, TRAIN_LABELS_SHA256),
                RemoteFile::new("t10k-images-idx3-ubyte.gz", 7_840_016, TEST_IMAGES_SHA256),
                RemoteFile::new("t10k-labels-idx1-ubyte.gz", 10_008, TEST_LABELS_SHA256),
            ],
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(30),
            attempts: 4,
            backoff: Duration::from_secs(1),
            overwrite: false,
        }
    }

    /// [`FetchOptions::fashion_mnist`] into [`cache_dir`], where [`open`](super::open) finds it.
    ///
    /// # Errors
    ///
    /// [`FetchError::NoCacheDir`] if the user has no home folder.
    pub fn fashion_mnist_in_cache() -> Result<Self, FetchError> {
        cache_dir().map(Self::fashion_mnist).ok_or(FetchError::NoCacheDir)
    }
}

/// What a download is doing. `file` is [`RemoteFile::name`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The folder holds the file already, and its content is right.
    Kept {
        /// The file.
        file: &'a str,
        /// Where it lies.
        path: &'a Path,
    },
    /// Bytes came. Also sent at the start, where `done` is what an earlier attempt left.
    Received {
        /// The file.
        file: &'a str,
        /// Bytes of the (packed) file here so far.
        done: u64,
        /// Length of the (packed) file, if the server told.
        total: Option<u64>,
    },
    /// What had come was not the file and is removed.
    Removed {
        /// The file.
        file: &'a str,
        /// What was removed.
        path: &'a Path,
        /// Why.
        error: &'a FetchError,
    },
    /// An attempt failed; the next one follows.
    Retrying {
        /// The file.
        file: &'a str,
        /// Why it failed.
        error: &'a FetchError,
        /// Time until the next attempt.
        wait: Duration,
    },
    /// A mirror is given up; the next one follows, if there is one.
    GaveUp {
        /// The file.
        file: &'a str,
        /// The mirror's last error.
        error: &'a FetchError,
    },
    /// The file is complete, checked and in its place.
    Finished {
        /// The file.
        file: &'a str,
        /// Where it lies.
        path: &'a Path,
    },
}

/// Downloads the files and returns their paths, in the order of the options.
///
/// A file comes as `<name>.part`, is checked, synced and then renamed. What an interrupted download
/// left is continued. Files that are there with the right content are kept.
///
/// # Errors
///
/// [`FetchError::Exhausted`] with the last error of every mirror, or an error of the local file
/// system, which no mirror can mend.
pub fn fetch(
    options: &FetchOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<PathBuf>, FetchError> {
    let is_address =
        |mirror: &&String| mirror.starts_with("https://") || mirror.starts_with("http://");
    if let Some(mirror) = options.mirrors.iter().find(|mirror| !is_address(mirror)) {
        return Err(FetchError::BadMirror { mirror: mirror.clone() });
    }
    fs::create_dir_all(&options.dir)
        .map_err(|source| FetchError::local(&options.dir, "make the folder", source))?;
    let agent = agent(options.connect_timeout, options.stall_timeout);
    options.files.iter().map(|file| fetch_file(options, file, &agent, progress)).collect()
}

fn fetch_file(
    options: &FetchOptions,
    file: &RemoteFile,
    agent: &ureq::Agent,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, FetchError> {
    let path = options.dir.join(&file.name);
    match check(&path, file)? {
        Content::Right => {
            progress(Progress::Kept { file: &file.name, path: &path });
            return Ok(path);
        }
        Content::Wrong { found } if !options.overwrite => {
            return Err(FetchError::Exists { path, expected: hex(&file.content_sha256), found });
        }
        Content::Wrong { .. } | Content::Missing => {}
    }
    let part = options.dir.join(format!("{}.part", file.name));
    let mut failures = Vec::new();
    for mirror in &options.mirrors {
        let url = format!("{}/{}", mirror.trim_end_matches('/'), file.name);
        let stall_timeout = options.stall_timeout;
        let download = Download { agent, url: &url, file, part: &part, stall_timeout };
        match fetch_from(options, &download, progress) {
            Ok(()) => {
                publish(&part, &path)?;
                progress(Progress::Finished { file: &file.name, path: &path });
                return Ok(path);
            }
            Err(error) if error.is_local() => return Err(error),
            Err(error) => {
                progress(Progress::GaveUp { file: &file.name, error: &error });
                failures.push(error);
            }
        }
    }
    Err(FetchError::Exhausted { file: file.name.clone(), failures })
}

/// Tries one mirror until the part holds the file.
fn fetch_from(
    options: &FetchOptions,
    download: &Download<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), FetchError> {
    let file = download.file.name.as_str();
    let mut wait = options.backoff.min(LONGEST_WAIT);
    let mut attempt = 1;
    loop {
        let Err(error) = download.attempt(progress) else {
            return Ok(());
        };
        if error.spoils_part() {
            let path = download.part;
            remove(path)?;
            progress(Progress::Removed { file, path, error: &error });
        }
        if attempt >= options.attempts || !error.is_transient() {
            return Err(error);
        }
        progress(Progress::Retrying { file, error: &error, wait });
        thread::sleep(wait);
        wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        attempt += 1;
    }
}

/// Moves a complete part to its final name, so that no crash leaves a broken file there.
fn publish(part: &Path, path: &Path) -> Result<(), FetchError> {
    OpenOptions::new()
        .append(true)
        .open(part)
        .and_then(|file| file.sync_all())
        .map_err(|source| FetchError::local(part, "write to the disk", source))?;
    fs::rename(part, path).map_err(|source| FetchError::local(path, "rename to", source))?;
    // The new name lies in the folder. Only Unix can sync a folder, and not on all file systems;
    // without it a crash can at worst lose the file, not break it.
    #[cfg(unix)]
    if let Some(Ok(dir)) = path.parent().map(File::open) {
        let _ = dir.sync_all();
    }
    Ok(())
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), FetchError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|source| FetchError::local(path, "remove", source)),
    }
}

/// What a file on the disk holds.
pub(super) enum Content {
    /// What it should.
    Right,
    /// Something else: its hash, or why there is none.
    Wrong { found: String },
    /// There is no such file.
    Missing,
}

/// Compares the decompressed content of a file on the disk with what it should be.
pub(super) fn check(path: &Path, file: &RemoteFile) -> Result<Content, FetchError> {
    let failed = |source| FetchError::local(path, "read", source);
    let opened = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Missing),
        result => result.map_err(failed)?,
    };
    let (content, gzip) = idx::decoded(BufReader::new(opened)).map_err(failed)?;
    // One byte more than expected tells a longer content without reading all of it.
    let mut content = content.take(file.content_len.saturating_add(1));
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut length = 0;
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                length += count as u64;
                hash.update(buffer.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if gzip && idx::is_corruption(&error) => {
                let found = format!("none: the gzip stream is damaged after {length} bytes");
                return Ok(Content::Wrong { found });
            }
            Err(error) => return Err(failed(error)),
        }
    }
    let found = hash.finalize();
    if length > file.content_len {
        let found = format!("none: the content is longer than {} bytes", file.content_len);
        return Ok(Content::Wrong { found });
    }
    if found.as_slice() == file.content_sha256 {
        return Ok(Content::Right);
    }
    Ok(Content::Wrong { found: hex(&found) })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes written as 64 hexadecimal digits, checked when the crate is compiled.
const fn sha256(digits: &[u8; 64]) -> [u8; 32] {
    const fn value(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => panic!("not a lower-case hexadecimal digit"),
        }
    }
    let mut bytes = [0; 32];
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] = value(digits[2 * i]) << 4 | value(digits[2 * i + 1]);
        i += 1;
    }
    bytes
}
