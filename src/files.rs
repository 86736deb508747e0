//! Replacing a file so that a reader, or a crash, sees the old content or the new, never a part.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `bytes` to a file beside `path`, syncs it and renames it over `path`.
///
/// # Errors
/// The first failing step's error; the file beside is removed and `path` is left as it was.
pub(crate) fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside_with(path, |file| file.write_all(bytes))
}

/// As [`write_beside`], with what `write` puts into the file.
///
/// # Errors
/// Those of [`write_beside`], and the one of `write`.
pub(crate) fn write_beside_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let beside = beside(path)?;
    let written = write_synced(&beside, write).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to report; a leftover file beside is only litter.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// The path of the file beside: in the same folder, as a rename across file systems is a copy, and
/// with the process id, so that two processes do not write into one file.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a file name")
    })?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn write_synced(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = File::create(path)?;
    write(&mut file)?;
    file.sync_all()
}
