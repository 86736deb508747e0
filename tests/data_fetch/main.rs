//! Downloads from a local server that behaves well, badly, or not at all.

mod failures;
mod resume;
mod server;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use server::{Answer, Server};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vgg_wgpu::data::{
    FetchError, FetchOptions, Progress, RemoteFile, SYSTEM_DIR, fetch, permutation,
};

/// Bytes that do not compress.
fn noise(n: usize, seed: u64) -> Vec<u8> {
    permutation(n, seed, 0).into_iter().map(|x| (x.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A file of 100 kB as a mirror holds it.
struct Sample {
    packed: Vec<u8>,
    content: Vec<u8>,
}

fn sample() -> Sample {
    let content = noise(100_000, 3);
    Sample { packed: gzip(&content), content }
}

fn remote(name: &str, content: &[u8]) -> RemoteFile {
    RemoteFile {
        name: name.to_string(),
        content_len: content.len() as u64,
        content_sha256: Sha256::digest(content).into(),
    }
}

/// Options for one file, `a.gz`, without waiting between attempts.
fn options(dir: &Path, mirrors: &[&Server], content: &[u8]) -> FetchOptions {
    FetchOptions {
        dir: dir.to_path_buf(),
        mirrors: mirrors.iter().map(|server| server.url()).collect(),
        files: vec![remote("a.gz", content)],
        connect_timeout: Duration::from_secs(20),
        stall_timeout: Duration::from_secs(20),
        attempts: 4,
        backoff: Duration::ZERO,
        overwrite: false,
    }
}

/// Fetches, and returns what was reported with the result. Bytes come as `at done/total`, the first
/// and the last of each attempt.
fn run(options: &FetchOptions) -> (Result<Vec<PathBuf>, FetchError>, Vec<String>) {
    let mut events: Vec<String> = Vec::new();
    let mut last = 0;
    let result = fetch(options, &mut |progress| match progress {
        Progress::Received { done, total, .. } => {
            let event = format!("at {done}/{}", total.map_or("?".to_string(), |t| t.to_string()));
            if done > last && last > 0 && events.last().is_some_and(|e| e.starts_with("+")) {
                events.pop();
            }
            last = done;
            let more = events.last().is_some_and(|e| e.starts_with("at") || e.starts_with('+'));
            events.push(if more { format!("+{event}") } else { event });
        }
        Progress::Kept { file, .. } => events.push(format!("kept {file}")),
        Progress::Removed { file, .. } => events.push(format!("removed {file}")),
        Progress::Retrying { file, .. } => events.push(format!("retrying {file}")),
        Progress::GaveUp { file, .. } => events.push(format!("gave up {file}")),
        Progress::Finished { file, .. } => events.push(format!("finished {file}")),
        other => panic!("{other:?}"),
    });
    (result, events)
}

/// The last error of each mirror.
fn failures(result: Result<Vec<PathBuf>, FetchError>) -> Vec<FetchError> {
    match result.unwrap_err() {
        FetchError::Exhausted { failures, .. } => failures,
        error => panic!("{error:?}"),
    }
}

fn part(dir: &TempDir) -> PathBuf {
    dir.path().join("a.gz.part")
}

/// A download that has to end well with the mirror's bytes in place and nothing else.
fn assert_fetched(options: &FetchOptions, packed: &[u8]) -> Vec<String> {
    let (result, events) = run(options);
    let path = options.dir.join("a.gz");
    assert_eq!(result.unwrap(), std::slice::from_ref(&path));
    assert!(fs::read(&path).unwrap() == packed, "wrong bytes in {}", path.display());
    assert_eq!(fs::read_dir(&options.dir).unwrap().count(), 1, "a part is left");
    assert_eq!(events.last().unwrap(), "finished a.gz");
    events
}

#[test]
fn several_files_arrive_in_a_new_folder() {
    let dir = TempDir::new().unwrap();
    let contents = [noise(100_000, 1), noise(50, 2), noise(200_000, 4)];
    let names = ["a.gz", "b.gz", "c"];
    let served = [gzip(&contents[0]), gzip(&contents[1]), contents[2].clone()];
    let server = Server::start(names.into_iter().zip(served.clone()), vec![Answer::Whole]);
    let mut options = options(&dir.path().join("new/folder"), &[&server], &[]);
    options.files =
        names.iter().zip(&contents).map(|(name, content)| remote(name, content)).collect();
    let (result, events) = run(&options);
    let paths = result.unwrap();
    assert_eq!(paths, names.map(|name| options.dir.join(name)));
    for (path, bytes) in paths.iter().zip(&served) {
        assert!(fs::read(path).unwrap() == *bytes, "{}", path.display());
    }
    assert_eq!(fs::read_dir(&options.dir).unwrap().count(), 3);
    let total = served[0].len();
    let first = [format!("at 0/{total}"), format!("+at {total}/{total}"), "finished a.gz".into()];
    assert_eq!(events[..3], first);

    // Once more: everything is there, and the server is not asked.
    let (result, events) = run(&options);
    assert_eq!(result.unwrap(), paths);
    assert_eq!(events, ["kept a.gz", "kept b.gz", "kept c"]);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_slow_server_may_take_longer_than_the_stall_timeout() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    // Twelve pauses of 0.3 s, each far below the limit of 3 s, all of them above it.
    let slow = Answer::Slow { pieces: 12, pause: Duration::from_millis(300) };
    let server = Server::start([("a.gz", sample.packed.clone())], vec![slow]);
    let mut options = options(dir.path(), &[&server], &sample.content);
    options.stall_timeout = Duration::from_secs(3);
    options.attempts = 1;
    assert_fetched(&options, &sample.packed);
}

#[test]
fn a_file_unpacked_or_packed_otherwise_on_the_way_is_good() {
    let sample = sample();
    let mut renamed = sample.packed.clone();
    renamed[4..8].copy_from_slice(&1_503_604_800_u32.to_le_bytes());
    for bytes in [renamed, sample.content.clone()] {
        let dir = TempDir::new().unwrap();
        let server = Server::start([("a.gz", bytes.clone())], vec![Answer::Whole]);
        assert_fetched(&options(dir.path(), &[&server], &sample.content), &bytes);
    }
}

/// The hashes of the real files, by Debian's package of them; without it none is found.
#[test]
#[cfg(unix)]
fn the_real_files_are_known() {
    let dir = TempDir::new().unwrap();
    let mut options = FetchOptions::fashion_mnist(dir.path());
    options.mirrors.clear();
    let names: Vec<String> = options.files.iter().map(|file| file.name.clone()).collect();
    for name in &names {
        std::os::unix::fs::symlink(Path::new(SYSTEM_DIR).join(name), dir.path().join(name))
            .unwrap();
    }
    let (result, events) = run(&options);
    if Path::new(SYSTEM_DIR).is_dir() {
        assert_eq!(events, names.iter().map(|name| format!("kept {name}")).collect::<Vec<_>>());
    } else {
        assert_eq!(failures(result).len(), 0);
    }
}
