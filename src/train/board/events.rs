//! Files of events as TensorBoard reads them: TFRecord frames around messages of protobuf, with the
//! tags of tensorboard/compat/proto/{event,summary,histogram}.proto. Fields that are never written are
//! left out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::files::write_beside;

/// What the first event of a file has to say.
const FILE_VERSION: &str = "brain.Event:2";
/// TensorBoard reads files whose names contain this.
const IN_NAME: &str = "tfevents";

/// `Event`.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
}

/// `Summary`.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// `Summary.Value`; one of the last three.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    pub image: Option<Image>,
    #[prost(message, optional, tag = "5")]
    pub histo: Option<Histogram>,
}

/// `Summary.Image`.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    #[prost(int32, tag = "1")]
    pub height: i32,
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// Channels: 1 (grey) or 3 (RGB).
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// A PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded_image_string: Vec<u8>,
}

/// `HistogramProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    #[prost(double, tag = "1")]
    pub min: f64,
    #[prost(double, tag = "2")]
    pub max: f64,
    #[prost(double, tag = "3")]
    pub num: f64,
    #[prost(double, tag = "4")]
    pub sum: f64,
    #[prost(double, tag = "5")]
    pub sum_squares: f64,
    /// The right end of each bucket.
    #[prost(double, repeated, tag = "6")]
    pub bucket_limit: Vec<f64>,
    /// The values in it.
    #[prost(double, repeated, tag = "7")]
    pub bucket: Vec<f64>,
}

/// A file of events that grows.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Makes a new file in a folder, which is made too; files that are there stay.
    pub fn create(folder: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let in_folder = |source| (folder.to_owned(), source);
        fs::create_dir_all(folder).map_err(in_folder)?;
        let (seconds, process) = (now() as u64, std::process::id());
        let mut numbers = 0..;
        let (path, file) = loop {
            let number: u32 = numbers.next().unwrap_or_default();
            let name = format!("events.out.{IN_NAME}.{seconds:010}.vgg-wgpu.{process}.{number}");
            let path = folder.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err((path, error)),
                Ok(file) => break (path, file),
            }
        };
        let mut file = Self { path, file };
        let version = Event { file_version: Some(FILE_VERSION.to_owned()), ..Event::default() };
        file.append(version).map_err(|error| (file.path.clone(), error))?;
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an event with the time that it is.
    ///
    /// By one call, so that a run that is killed leaves at most a last frame that is cut short, which
    /// readers wait for and skip.
    pub fn append(&mut self, event: Event) -> io::Result<()> {
        let event = Event { wall_time: now(), ..event };
        self.file.write_all(&frame(&event.encode_to_vec()))
    }
}

/// The files of events in a folder; none where there is no folder.
pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().contains(IN_NAME));
    named.map(|entry| entry.path()).collect()
}

/// Rewrites a file with the events that are to be kept, and without a frame that is cut short.
pub fn retain(path: &Path, mut keep: impl FnMut(&Event) -> bool) -> io::Result<()> {
    let mut kept = Vec::new();
    for data in frames(&fs::read(path)?) {
        if Event::decode(data).is_ok_and(|event| keep(&event)) {
            kept.extend(frame(data));
        }
    }
    write_beside(path, &kept)
}

/// A TFRecord: length, its checksum, the data, their checksum; all little-endian.
fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let sums = [&length[..], data].map(|bytes| masked(bytes).to_le_bytes());
    [&length[..], &sums[0], data, &sums[1]].concat()
}

/// The data of the frames of a file, up to the first that is broken.
fn frames(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (head, after) = rest.split_first_chunk::<12>()?;
        let length = u64::from_le_bytes(*head.first_chunk()?);
        let (data, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        let (sum, after) = after.split_first_chunk::<4>()?;
        rest = after;
        (u32::from_le_bytes(*sum) == masked(data)).then_some(data)
    })
}

/// The checksum of TFRecords: CRC-32C, turned and shifted so that data may hold checksums.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What TensorBoard 2.21's `RecordWriter` and protobuf 7.36 made of these events.
    #[test]
    fn frames_are_those_of_tensorboards_own_writer() {
        let version = Event {
            wall_time: 1.5,
            file_version: Some(FILE_VERSION.to_owned()),
            ..Event::default()
        };
        assert_eq!(
            hex(&frame(&version.encode_to_vec())),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"
        );
        let histo = Histogram {
            min: -1.0,
            max: 2.0,
            num: 3.0,
            sum: 1.5,
            sum_squares: 6.0,
            bucket_limit: vec![-1.0, 0.0, 2.5],
            bucket: vec![0.0, 1.0, 2.0],
        };
        let image =
            Image { height: 2, width: 3, colorspace: 1, encoded_image_string: b"png".to_vec() };
        let value = |tag: &str| Value { tag: tag.to_owned(), ..Value::default() };
        let values = vec![
            Value { simple_value: Some(0.5), ..value("a/b") },
            Value { histo: Some(histo), ..value("h") },
            Value { image: Some(image), ..value("i") },
        ];
        let summary = Some(Summary { value: values });
        let event = Event { wall_time: 1.5, step: 300, summary, file_version: None };
        assert_eq!(
            hex(&frame(&event.encode_to_vec())),
            "9500000000000000d593a34609000000000000f83f10ac022a86010a0a0a03612f62150000003f0a660a01\
             682a6109000000000000f0bf11000000000000004019000000000000084021000000000000f83f29000000\
             00000018403218000000000000f0bf000000000000000000000000000004403a1800000000000000000000\
             00000000f03f00000000000000400a100a0169220b0802100318012203706e672592befd"
        );
    }

    #[test]
    fn frames_are_read_up_to_the_first_broken_one() {
        let two = [frame(b"one"), frame(b""), frame(b"three")].concat();
        assert_eq!(frames(&two).collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!(frames(&two[..two.len() - 1]).count(), 2);
        let mut broken = two.clone();
        broken[12] ^= 1;
        assert_eq!(frames(&broken).count(), 0);
        // A length that no file has.
        assert_eq!(frames(&[0xff; 40]).count(), 0);
        assert_eq!(frames(b"").count(), 0);
    }
}
