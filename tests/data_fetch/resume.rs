//! What an attempt left is continued, or thrown away where it cannot be.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use vgg_wgpu::data::FetchError;

use super::server::{Answer, Server};
use super::{assert_fetched, failures, noise, options, part, run, sample};

#[test]
fn a_truncated_download_is_resumed() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    let answers = vec![Answer::Truncated(30_000), Answer::Truncated(20_000), Answer::Whole];
    let server = Server::start([("a.gz", sample.packed.clone())], answers);
    let events = assert_fetched(&options(dir.path(), &[&server], &sample.content), &sample.packed);
    assert_eq!(server.ranges(), ["", "bytes=30000-", "bytes=50000-"]);
    assert_eq!(events.iter().filter(|event| *event == "retrying a.gz").count(), 2);
    let total = sample.packed.len();
    assert!(events.contains(&format!("at 50000/{total}")), "{events:?}");
}

#[test]
fn what_an_earlier_run_left_is_resumed() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    fs::write(part(&dir), &sample.packed[..77]).unwrap();
    let server = Server::start([("a.gz", sample.packed.clone())], vec![Answer::Whole]);
    assert_fetched(&options(dir.path(), &[&server], &sample.content), &sample.packed);
    assert_eq!(server.ranges(), ["bytes=77-"]);
}

#[test]
fn a_truncated_download_is_kept_for_the_next_run() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    let server = Server::start([("a.gz", sample.packed.clone())], vec![Answer::Truncated(500)]);
    let mut options = options(dir.path(), &[&server], &sample.content);
    options.attempts = 1;
    let failures = failures(run(&options).0);
    assert!(
        matches!(failures[..], [FetchError::Interrupted { received: 500, total: Some(_), .. }]),
        "{failures:?}"
    );
    assert!(fs::read(part(&dir)).unwrap() == sample.packed[..500]);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    fs::write(part(&dir), noise(60_000, 9)).unwrap();
    let server = Server::start([("a.gz", sample.packed.clone())], vec![Answer::NoRanges]);
    let events = assert_fetched(&options(dir.path(), &[&server], &sample.content), &sample.packed);
    assert_eq!(server.ranges(), ["bytes=60000-"]);
    assert!(events[0].starts_with("at 0/"), "{events:?}");
}

#[test]
fn a_redirect_keeps_the_range() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    fs::write(part(&dir), &sample.packed[..1000]).unwrap();
    let server = Server::start([("a.gz", sample.packed.clone())], vec![Answer::Whole]);
    let entrance = Server::start([], vec![Answer::Redirect(server.url())]);
    assert_fetched(&options(dir.path(), &[&entrance], &sample.content), &sample.packed);
    assert_eq!(server.ranges(), ["bytes=1000-"]);
}

#[test]
fn a_complete_part_is_put_in_its_place() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    fs::write(part(&dir), &sample.packed).unwrap();
    let server = Server::start([("a.gz", sample.packed.clone())], vec![Answer::Whole]);
    assert_fetched(&options(dir.path(), &[&server], &sample.content), &sample.packed);
    // The one request was answered with 416.
    assert_eq!(server.ranges(), [format!("bytes={}-", sample.packed.len())]);
}

#[test]
fn a_part_longer_than_the_file_is_thrown_away() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    fs::write(part(&dir), noise(150_000, 9)).unwrap();
    let server = Server::start([("a.gz", sample.packed.clone())], vec![Answer::Whole]);
    assert_fetched(&options(dir.path(), &[&server], &sample.content), &sample.packed);
    assert_eq!(server.ranges(), ["bytes=150000-", ""]);
}

#[test]
fn a_part_of_another_file_is_removed_and_said_so() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    fs::write(part(&dir), noise(60_000, 9)).unwrap();
    let server = Server::start([("a.gz", sample.packed.clone())], vec![Answer::Whole]);
    let events = assert_fetched(&options(dir.path(), &[&server], &sample.content), &sample.packed);
    assert_eq!(server.ranges(), ["bytes=60000-", ""]);
    assert!(events.contains(&"removed a.gz".to_string()), "{events:?}");
}

#[test]
fn a_wrong_range_is_not_appended() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    fs::write(part(&dir), &sample.packed[..1000]).unwrap();
    let answers = vec![Answer::WrongRange, Answer::Whole];
    let server = Server::start([("a.gz", sample.packed.clone())], answers);
    let events = assert_fetched(&options(dir.path(), &[&server], &sample.content), &sample.packed);
    assert_eq!(events[..2], ["removed a.gz", "retrying a.gz"]);
    assert_eq!(server.ranges(), ["bytes=1000-", ""]);
}

#[test]
fn a_server_that_stalls_is_left_and_resumed() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    let answers = vec![Answer::Stall(40_000), Answer::Whole];
    let server = Server::start([("a.gz", sample.packed.clone())], answers);
    let mut options = options(dir.path(), &[&server], &sample.content);
    options.stall_timeout = Duration::from_secs(1);
    assert_fetched(&options, &sample.packed);
    assert_eq!(server.ranges(), ["", "bytes=40000-"]);
}

#[test]
fn a_range_sent_in_pieces_is_put_together() {
    let (dir, sample) = (TempDir::new().unwrap(), sample());
    fs::write(part(&dir), &sample.packed[..1000]).unwrap();
    let answers = vec![Answer::ShortRange(5000), Answer::Whole];
    let server = Server::start([("a.gz", sample.packed.clone())], answers);
    assert_fetched(&options(dir.path(), &[&server], &sample.content), &sample.packed);
    assert_eq!(server.ranges(), ["bytes=1000-", "bytes=6000-"]);
}
