//! Servers and folders that do not work.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vgg_wgpu::data::FetchError;

use super::server::{Answer, Server};
use super::{assert_fetched, failures, gzip, noise, options, part, run, sample};

#[test]
fn a_corrupt_download_is_removed_and_tried_again() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    let answers = vec![Answer::Corrupt, Answer::Whole];
    let server = Server::start([("a.gz", sample.packed.clone())], answers);
    let events = assert_fetched(&options(dir.path(), &[&server], &sample.content), &sample.packed);
    assert_eq!(events[2..4], ["removed a.gz", "retrying a.gz"]);
    assert_eq!(server.ranges(), ["", ""]);
}

#[test]
fn a_mirror_with_another_file_never_leaves_it_behind() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    // A well-formed file, but not the one that was asked for.
    let server = Server::start([("a.gz", gzip(&noise(100_000, 8)))], vec![Answer::Whole]);
    let options = options(dir.path(), &[&server], &sample.content);
    let (result, events) = run(&options);
    let error = result.unwrap_err();
    let hash: String =
        Sha256::digest(noise(100_000, 8)).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(error.to_string().contains(&hash), "{error}");
    let failures = failures(Err(error));
    assert!(matches!(failures[..], [FetchError::Corrupt { .. }]), "{failures:?}");
    assert_eq!(server.requests().len(), 4);
    assert_eq!(events.iter().filter(|event| *event == "removed a.gz").count(), 4);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_missing_file_is_asked_for_once_and_then_elsewhere() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    let missing = Server::start([], vec![Answer::Whole]);
    let server = Server::start([("a.gz", sample.packed.clone())], vec![Answer::Whole]);
    let both = options(dir.path(), &[&missing, &server], &sample.content);
    let events = assert_fetched(&both, &sample.packed);
    assert_eq!(events[0], "gave up a.gz");
    assert_eq!(missing.requests(), ["/data/a.gz"]);

    let dir = TempDir::new().unwrap();
    let (result, _) = run(&options(dir.path(), &[&missing], &sample.content));
    let message = result.as_ref().unwrap_err().to_string();
    assert!(message.contains("/data/a.gz: the server answered with status 404"), "{message}");
    let failures = failures(result);
    assert!(matches!(failures[..], [FetchError::Status { status: 404, .. }]), "{failures:?}");
}

#[test]
fn a_busy_server_is_asked_again() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    let answers = vec![Answer::Status(503), Answer::Status(429), Answer::Whole];
    let server = Server::start([("a.gz", sample.packed.clone())], answers);
    assert_fetched(&options(dir.path(), &[&server], &sample.content), &sample.packed);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_server_that_always_stalls_is_an_error() {
    for (sent, received) in [(Answer::Stall(40_000), 40_000), (Answer::Silence, 0)] {
        let (dir, sample) = (TempDir::new().unwrap(), sample());
        let server = Server::start([("a.gz", sample.packed.clone())], vec![sent]);
        let mut options = options(dir.path(), &[&server], &sample.content);
        options.stall_timeout = Duration::from_millis(200);
        options.attempts = 1;
        let failures = failures(run(&options).0);
        assert!(
            matches!(failures[..], [FetchError::Stalled { received: r, .. }] if r == received),
            "{failures:?}"
        );
        assert!(failures[0].to_string().contains("no byte for 0.2 s"), "{}", failures[0]);
    }
}

#[test]
fn an_endless_file_is_cut_off() {
    for answer in [Answer::Endless, Answer::Promise(1 << 40)] {
        let (dir, sample) = (TempDir::new().unwrap(), sample());
        let server = Server::start([("a.gz", sample.packed.clone())], vec![answer]);
        let failures = failures(run(&options(dir.path(), &[&server], &sample.content)).0);
        assert!(
            matches!(failures[..], [FetchError::TooLong { limit: 165_636, .. }]),
            "{failures:?}"
        );
        assert_eq!(server.requests().len(), 1);
        assert!(!part(&dir).exists());
    }
}

#[test]
fn a_file_of_other_content_is_not_overwritten_unasked() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    let path = dir.path().join("a.gz");
    fs::write(&path, b"mine").unwrap();
    let server = Server::start([("a.gz", sample.packed.clone())], vec![Answer::Whole]);
    let mut options = options(dir.path(), &[&server], &sample.content);
    let error = run(&options).0.unwrap_err();
    assert!(matches!(&error, FetchError::Exists { path: p, .. } if *p == path), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert_eq!(server.requests().len(), 0);
    options.overwrite = true;
    assert_fetched(&options, &sample.packed);
}

#[test]
fn a_refused_connection_names_the_address() {
    let dir = TempDir::new().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut options = options(dir.path(), &[], &[]);
    options.mirrors = vec![format!("http://127.0.0.1:{port}")];
    let (result, events) = run(&options);
    assert_eq!(events.iter().filter(|event| *event == "retrying a.gz").count(), 3);
    let message = result.as_ref().unwrap_err().to_string();
    assert!(message.contains(&format!("http://127.0.0.1:{port}/a.gz: ")), "{message}");
    let failures = failures(result);
    assert!(matches!(failures[..], [FetchError::Request { .. }]), "{failures:?}");
}

#[test]
fn a_mirror_is_an_http_address() {
    let dir = TempDir::new().unwrap();
    let mut options = options(dir.path(), &[], &[]);
    options.mirrors = vec!["https://127.0.0.1:1/".to_string(), "ftp://mirror/".to_string()];
    let error = run(&options).0.unwrap_err();
    assert!(
        matches!(&error, FetchError::BadMirror { mirror } if mirror == "ftp://mirror/"),
        "{error:?}"
    );
}

#[test]
fn a_folder_that_cannot_be_made_is_a_local_error() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    let file = dir.path().join("file");
    fs::write(&file, []).unwrap();
    let server = Server::start([("a.gz", sample.packed)], vec![Answer::Whole]);
    let error = run(&options(&file, &[&server], &sample.content)).0.unwrap_err();
    assert!(matches!(&error, FetchError::Local { path, .. } if *path == file), "{error:?}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_ends_the_download() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    // Every write to this device fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", part(&dir)).unwrap();
    let server = Server::start([("a.gz", sample.packed)], vec![Answer::Whole]);
    let error = run(&options(dir.path(), &[&server, &server], &sample.content)).0.unwrap_err();
    assert!(matches!(&error, FetchError::DiskFull { .. }), "{error:?}");
    assert!(error.to_string().contains("no space left on the disk"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn no_mirrors_fetch_nothing() {
    let dir = TempDir::new().unwrap();
    let error = run(&options(dir.path(), &[], &[])).0.unwrap_err();
    assert!(error.to_string().ends_with("none is given"), "{error}");
    assert_eq!(failures(Err(error)).len(), 0);
}
