//! `history.csv`: what is written comes back, and a broken file is named with line and column.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use vgg_wgpu::train::history::{EpochRecord, History, HistoryError, HistoryWriter};

const HEADER: &str = "epoch,train_loss,train_acc,val_loss,val_acc,seconds,images_per_s\n";

fn record(epoch: u32) -> EpochRecord {
    let part = f64::from(epoch) / 64.0;
    EpochRecord {
        epoch,
        train_loss: 2.5 - part,
        train_acc: 0.125 + part,
        val_loss: 2.75 - part,
        val_acc: 0.0625 + part,
        seconds: 12.5,
        images_per_s: 4800.25,
    }
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("history.csv");
    (folder, path)
}

fn read_text(text: &str) -> Result<History, HistoryError> {
    let (_folder, path) = folder();
    fs::write(&path, text).expect("write");
    History::read(&path)
}

#[test]
fn rows_are_in_the_file_as_soon_as_they_are_appended() {
    let (_folder, path) = folder();
    let mut writer = HistoryWriter::create(&path).expect("create");
    for last in 1..=3 {
        writer.append(&record(last)).expect("append");
        let epochs = (1..=last).map(record).collect();
        assert_eq!(History::read(&path).expect("read"), History { epochs });
    }
}

#[test]
fn the_text_is_deterministic() {
    let (_folder, path) = folder();
    let mut writer = HistoryWriter::create(&path).expect("create");
    assert_eq!(fs::read_to_string(&path).expect("read"), "");
    writer.append(&record(1)).expect("append");
    let small = EpochRecord { train_loss: 1.25e-5, val_loss: 4e12, ..record(2) };
    writer.append(&small).expect("append");
    let rows = "1,2.484375,0.140625,2.734375,0.078125,12.500000,4800.250000\n\
                2,1.250000e-5,0.156250,4.000000e12,0.093750,12.500000,4800.250000\n";
    assert_eq!(fs::read_to_string(&path).expect("read"), format!("{HEADER}{rows}"));
}

#[test]
fn nan_and_infinity_come_back() {
    let (_folder, path) = folder();
    let mut writer = HistoryWriter::create(&path).expect("create");
    let wild = EpochRecord {
        train_loss: f64::NAN,
        val_loss: f64::INFINITY,
        val_acc: f64::NEG_INFINITY,
        ..record(1)
    };
    writer.append(&wild).expect("append");
    let back = History::read(&path).expect("read").epochs[0];
    assert!(back.train_loss.is_nan(), "{back:?}");
    assert_eq!((back.val_loss, back.val_acc), (f64::INFINITY, f64::NEG_INFINITY));
}

#[test]
fn create_replaces_an_older_history() {
    let (_folder, path) = folder();
    fs::write(&path, "something else entirely").expect("write");
    HistoryWriter::create(&path).expect("create").append(&record(1)).expect("append");
    assert_eq!(History::read(&path).expect("read").epochs, [record(1)]);
}

#[test]
fn resume_drops_later_epochs_and_a_row_cut_short() {
    let (_folder, path) = folder();
    let mut writer = HistoryWriter::create(&path).expect("create");
    for epoch in 1..=4 {
        writer.append(&record(epoch)).expect("append");
    }
    drop(writer);
    let mut text = fs::read_to_string(&path).expect("read");
    text.push_str("5,2.1");
    fs::write(&path, text).expect("write");
    assert!(History::read(&path).is_err(), "a reader must see that the last row is broken");

    let (mut writer, kept) = HistoryWriter::resume(&path, 2).expect("resume");
    assert_eq!(kept.epochs, [record(1), record(2)]);
    assert_eq!(History::read(&path).expect("read"), kept);
    writer.append(&record(3)).expect("append");
    assert_eq!(History::read(&path).expect("read").epochs, [record(1), record(2), record(3)]);
}

#[test]
fn a_resumed_file_has_the_bytes_of_an_unbroken_one() {
    let (_folder, path) = folder();
    let mut writer = HistoryWriter::create(&path).expect("create");
    for epoch in 1..=3 {
        writer.append(&record(epoch)).expect("append");
    }
    let unbroken = fs::read(&path).expect("read");
    let (mut writer, _) = HistoryWriter::resume(&path, 1).expect("resume");
    writer.append(&record(2)).expect("append");
    writer.append(&record(3)).expect("append");
    assert_eq!(fs::read(&path).expect("read"), unbroken);
}

#[test]
fn resume_without_a_file_or_rows_starts_with_the_header() {
    for text in [None, Some(""), Some(HEADER), Some("epoch,tra")] {
        let (_folder, path) = folder();
        if let Some(text) = text {
            fs::write(&path, text).expect("write");
        }
        let (mut writer, kept) = HistoryWriter::resume(&path, 7).expect("resume");
        assert_eq!(kept, History::default());
        writer.append(&record(1)).expect("append");
        assert_eq!(History::read(&path).expect("read").epochs, [record(1)], "{text:?}");
    }
}

#[test]
fn resume_refuses_a_file_that_is_no_history() {
    let (_folder, path) = folder();
    fs::write(&path, "a,b\n1,2\n").expect("write");
    assert!(matches!(HistoryWriter::resume(&path, 1), Err(HistoryError::Header { .. })));
    assert_eq!(fs::read_to_string(&path).expect("read"), "a,b\n1,2\n");
}

#[test]
fn reads_other_line_ends_spaces_and_no_last_line_end() {
    let row = "1, 2.484375,0.140625,2.734375,0.078125,12.5,4.80025e3";
    let text = format!("{}{row}", HEADER.replace('\n', "\r\n"));
    assert_eq!(read_text(&text).expect("read").epochs, [record(1)]);
}

#[test]
fn a_header_alone_is_an_empty_history() {
    assert_eq!(read_text(HEADER).expect("read"), History::default());
}

#[test]
fn errors_name_line_and_column() {
    let good = "1,2.0,0.5,2.0,0.5,1.0,10.0\n";
    let cases = [
        ("2,2.0,0.5,oops,0.5,1.0,10.0\n", ":3: column `val_loss` holds `oops`, expected a number"),
        ("2,2.0,0.5,,0.5,1.0,10.0\n", ":3: column `val_loss` holds ``, expected a number"),
        ("1.5,2.0,0.5,2.0,0.5,1.0,10.0\n", ":3: column `epoch` holds `1.5`, expected a whole"),
        ("0,2.0,0.5,2.0,0.5,1.0,10.0\n", ":3: column `epoch` holds `0`, expected a whole"),
        ("1,2.0,0.5,2.0,0.5,1.0,10.0\n", ":3: column `epoch` holds 1 after 1"),
        ("2,2.0,0.5\n", ":3: 3 values, expected 7"),
        ("2,2.0,0.5,2.0,0.5,1.0,10.0,9\n", ":3: 8 values, expected 7"),
    ];
    for (row, expected) in cases {
        let error = read_text(&format!("{HEADER}{good}{row}")).expect_err(row).to_string();
        assert!(error.contains("history.csv") && error.contains(expected), "{error}");
    }
}

#[test]
fn another_header_is_named() {
    for text in ["", "epoch,loss\n1,2\n", &HEADER.replace("val_loss", "test_loss")] {
        let error = read_text(text).expect_err(text);
        assert!(matches!(error, HistoryError::Header { .. }), "{error}");
    }
    let long = read_text(&"x".repeat(100_000)).expect_err("no history").to_string();
    assert!(long.len() < 400, "the message repeats the file: {} bytes", long.len());
}

#[test]
fn bytes_that_are_no_text_are_an_error() {
    let (_folder, path) = folder();
    let bytes = [HEADER.as_bytes(), b"1,\xff,0,0,0,0,0\n"].concat();
    fs::write(&path, bytes).expect("write");
    assert!(matches!(History::read(&path), Err(HistoryError::Csv { .. })));
}

#[test]
fn a_missing_file_is_named() {
    let (_folder, path) = folder();
    let error = History::read(&path).expect_err("no file").to_string();
    assert!(error.contains("cannot open") && error.contains("history.csv"), "{error}");
}
