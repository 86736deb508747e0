//! Parsed shaders on disk. Parsing the long, unrolled ones takes longer than all the rest of a start:
//! naga's time grows with the square of a function's expressions.
//!
//! A file holds the SHA-256 of what follows and naga's module in postcard's format; its name is the
//! SHA-256 of the source. A file that is damaged or cannot be read is as good as none, one that cannot
//! be written is not kept. What is read is validated by wgpu like any other module.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use naga::front::wgsl::{ParseError, parse_str};
use sha2::{Digest as _, Sha256};

use super::Source;

/// Part of each name: modules of another version of this crate or of naga are not read.
const VERSION: &str = concat!("vgg-wgpu ", env!("CARGO_PKG_VERSION"), ", naga 30, postcard 1\n");
/// A shorter source is parsed in less than a millisecond.
const LONG: usize = 8 << 10;
/// The most files kept: several times what a network needs.
const MOST_FILES: usize = 64;
const SUM_BYTES: usize = 32;

/// The module of `source`, from the cache in `folder` if there is one.
pub(super) fn module(source: &Source, folder: Option<&Path>) -> Result<naga::Module, ParseError> {
    let folder = folder.filter(|_| source.code.len() >= LONG);
    let Some(folder) = folder else { return parse_str(&source.wgsl) };
    let path = folder.join(name(&source.code));
    if let Some(module) = fs::read(&path).ok().and_then(|bytes| decode(&bytes)) {
        return Ok(module);
    }
    let module = parse_str(&source.wgsl)?;
    // A cache that cannot be written costs time and nothing else.
    let _ = write(&path, &module);
    Ok(module)
}

/// True of a long source that is not in the cache in `folder`.
pub(super) fn is_new(source: &Source, folder: Option<&Path>) -> bool {
    let folder = folder.filter(|_| source.code.len() >= LONG);
    folder.is_some_and(|folder| !folder.join(name(&source.code)).exists())
}

fn name(code: &str) -> String {
    let sum = Sha256::new().chain_update(VERSION).chain_update(code).finalize();
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(bytes: &[u8]) -> Option<naga::Module> {
    let (sum, module) = bytes.split_at_checked(SUM_BYTES)?;
    if Sha256::digest(module).as_slice() != sum {
        return None;
    }
    postcard::from_bytes(module).ok()
}

/// Writes beside and renames, so that another process reads a whole file or none.
fn write(path: &Path, module: &naga::Module) -> Option<()> {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let module = postcard::to_stdvec(module).ok()?;
    let bytes = [Sha256::digest(&module).as_slice(), &module].concat();
    let folder = path.parent()?;
    fs::create_dir_all(folder).ok()?;
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let mut beside = OsString::from(path);
    beside.push(format!(".{}-{number}", process::id()));
    let beside = PathBuf::from(beside);
    let renamed = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        fs::remove_file(&beside).ok()?;
    }
    prune(folder)
}

/// Removes the oldest files where there are too many.
fn prune(folder: &Path) -> Option<()> {
    let written = |entry: &fs::DirEntry| entry.metadata().and_then(|about| about.modified()).ok();
    let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| Some((written(&entry)?, entry.path())))
        .collect();
    files.sort();
    let spare = files.len().saturating_sub(MOST_FILES);
    files[..spare].iter().try_for_each(|(_, path)| fs::remove_file(path).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(value: u32) -> Source {
        let wgsl = format!(
            "@group(0) @binding(0) var<storage, read_write> x: array<u32>;\n\
             @compute @workgroup_size(1) fn main() {{ x[0] = {value}u; {} }}",
            "x[0] = x[0] + 1u;".repeat(LONG / 17)
        );
        Source { name: "test", code: wgsl.clone(), wgsl }
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Modules compared by what they print, less where in the source things stood.
    fn same(a: &naga::Module, b: &naga::Module) -> bool {
        postcard::to_stdvec(a).unwrap() == postcard::to_stdvec(b).unwrap()
    }

    #[test]
    fn a_module_is_kept_and_read_again_whatever_happened_to_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("not made yet");
        let parsed = parse_str(&source(1).wgsl).unwrap();
        assert!(same(&module(&source(1), Some(&folder)).unwrap(), &parsed));
        let [path] = &files(&folder)[..] else { panic!("one file") };
        let whole = fs::read(path).unwrap();
        assert!(same(&decode(&whole).unwrap(), &parsed));

        let mut flipped = whole.clone();
        flipped[SUM_BYTES + whole.len() / 2] ^= 1;
        for damaged in [&[], &whole[..7], &whole[..whole.len() - 1], &flipped] {
            fs::write(path, damaged).unwrap();
            assert!(decode(damaged).is_none());
            assert!(same(&module(&source(1), Some(&folder)).unwrap(), &parsed));
            assert_eq!(fs::read(path).unwrap(), whole, "it was written anew");
        }
    }

    #[test]
    fn what_is_in_the_cache_is_taken_and_other_sources_have_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (source(1), source(2));
        let second = parse_str(&two.wgsl).unwrap();
        write(&folder.path().join(name(&one.code)), &second).unwrap();
        assert!(same(&module(&one, Some(folder.path())).unwrap(), &second));
        assert_ne!(name(&one.code), name(&two.code));
    }

    #[test]
    fn without_a_folder_that_can_be_written_a_module_is_parsed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for folder in [None, Some(file.path())] {
            assert!(module(&source(3), folder).is_ok());
        }
    }

    #[test]
    fn the_oldest_files_make_room() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MOST_FILES + 3 {
            let path = folder.path().join(number.to_string());
            fs::write(&path, []).unwrap();
            let age = std::time::Duration::from_secs(1000 - number as u64);
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        prune(folder.path()).unwrap();
        assert_eq!(files(folder.path()).len(), MOST_FILES);
        assert!(!folder.path().join("2").exists() && folder.path().join("3").exists());
    }
}
