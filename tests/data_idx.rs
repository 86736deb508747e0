//! IDX files, whole and broken in every way that the reader tells apart.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use vgg_wgpu::data::{
    DataError, Images, parse_images, parse_labels, permutation, read_images, read_labels,
};

/// An IDX file of unsigned bytes.
fn idx(dims: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend_from_slice(elements);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that do not compress.
fn noise(n: usize) -> Vec<u8> {
    permutation(n, 1, 0).into_iter().map(|x| (x.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// The error for these images in a plain file, in a gzip file, and from memory.
fn image_errors(bytes: &[u8]) -> [DataError; 3] {
    let folder = Folder::new();
    [
        read_images(&folder.file("plain", bytes)).unwrap_err(),
        read_images(&folder.file("packed", &gzip(bytes))).unwrap_err(),
        parse_images(bytes, Path::new("memory")).unwrap_err(),
    ]
}

macro_rules! assert_error {
    ($error:expr, $pattern:pat $(if $guard:expr)?, $text:literal) => {{
        let error = $error;
        assert!(matches!(&error, $pattern $(if $guard)?), "{error:?}");
        let message = error.to_string();
        assert!(message.contains($text), "{message:?} lacks {:?}", $text);
    }};
}

#[test]
fn images_of_any_size_are_read_plain_and_packed() {
    for dims in [&[1, 1, 1][..], &[3, 5, 7], &[2, 31, 1], &[4, 3, 2, 1], &[5, 7, 11, 3]] {
        let count: u32 = dims.iter().product();
        let pixels = noise(count as usize);
        let bytes = idx(dims, &pixels);
        let expected = Images {
            count: dims[0] as usize,
            height: dims[1] as usize,
            width: dims[2] as usize,
            channels: dims.get(3).map_or(1, |&c| c as usize),
            pixels,
        };
        let folder = Folder::new();
        // The name says the opposite of the content: only the content counts.
        let plain = folder.file("plain.gz", &bytes);
        let packed = folder.file("packed", &gzip(&bytes));
        assert_eq!(read_images(&plain).unwrap(), expected);
        assert_eq!(read_images(&packed).unwrap(), expected);
        assert_eq!(parse_images(&bytes, Path::new("memory")).unwrap(), expected);
        assert_eq!(parse_images(&gzip(&bytes), Path::new("memory")).unwrap(), expected);
    }
}

#[test]
fn one_image_is_a_slice_of_the_pixels() {
    let pixels = noise(2 * 3 * 4 * 3);
    let images = parse_images(&idx(&[2, 3, 4, 3], &pixels), Path::new("memory")).unwrap();
    assert_eq!(images.image_len(), 36);
    assert_eq!(images.image(0), Some(&pixels[..36]));
    assert_eq!(images.image(1), Some(&pixels[36..]));
    assert_eq!(images.image(2), None);
    assert_eq!(images.image(usize::MAX), None);
}

#[test]
fn labels_are_read_plain_and_packed() {
    let folder = Folder::new();
    let labels = noise(1000);
    let bytes = idx(&[1000], &labels);
    assert_eq!(read_labels(&folder.file("plain", &bytes)).unwrap(), labels);
    assert_eq!(read_labels(&folder.file("packed", &gzip(&bytes))).unwrap(), labels);
    assert_eq!(parse_labels(&bytes, Path::new("memory")).unwrap(), labels);
}

#[test]
fn a_gzip_file_may_have_several_members() {
    let bytes = idx(&[10, 10, 10], &noise(1000));
    let members = [gzip(&bytes[..300]), gzip(&bytes[300..])].concat();
    let images = parse_images(&members, Path::new("memory")).unwrap();
    assert_eq!(images.pixels, noise(1000));
}

#[test]
fn errors_name_the_file() {
    let folder = Folder::new();
    let path = folder.file("digits", b"GIF89a..");
    let message = read_images(&path).unwrap_err().to_string();
    assert!(message.starts_with(&path.display().to_string()), "{message}");
}

#[test]
fn a_missing_file_and_a_folder_cannot_be_opened() {
    let folder = Folder::new();
    let missing = folder.0.path().join("none");
    assert_error!(read_labels(&missing).unwrap_err(), DataError::Open { .. }, "cannot open");
    assert_error!(read_labels(folder.0.path()).unwrap_err(), DataError::Open { .. }, "cannot open");
}

#[test]
fn bad_magic() {
    for error in image_errors(b"\x89PNG\r\n\x1a\n") {
        assert_error!(error, DataError::BadMagic { found: [0x89, b'P', ..], .. }, "89 50 4e 47");
    }
    let bytes = [&[0, 1], &idx(&[1, 1, 1], &[0])[2..]].concat();
    for error in image_errors(&bytes) {
        assert_error!(error, DataError::BadMagic { found: [0, 1, 8, 3], .. }, "00 01 08 03");
    }
}

#[test]
fn unsupported_type() {
    let mut bytes = idx(&[1, 1, 1], &[0; 4]);
    bytes[2] = 0x0d;
    for error in image_errors(&bytes) {
        assert_error!(error, DataError::UnsupportedType { found: 0x0d, .. }, "0x0d at byte 2");
    }
}

#[test]
fn unsupported_dimensions() {
    for dims in [&[][..], &[6], &[2, 3], &[1, 1, 2, 1, 3]] {
        for error in image_errors(&idx(dims, &noise(6))) {
            let expected = dims.len() as u8;
            assert_error!(
                error,
                DataError::UnsupportedDims { found, .. } if *found == expected,
                "expected 3 (images)"
            );
        }
    }
    // Labels and images in each other's place.
    let labels = parse_labels(&idx(&[1, 2, 3], &noise(6)), Path::new("memory"));
    assert_error!(labels.unwrap_err(), DataError::UnsupportedDims { found: 3, .. }, "1 (labels)");
}

#[test]
fn unsupported_channels() {
    for channels in [2, 4, 256] {
        let bytes = idx(&[1, 1, 1, channels], &noise(channels as usize));
        for error in image_errors(&bytes) {
            assert_error!(
                error,
                DataError::UnsupportedChannels { found, offset: 16, .. } if *found == channels,
                "expected 1 or 3"
            );
        }
    }
}

#[test]
fn zero_dimensions() {
    let cases = [
        ([0, 2, 2, 1], 4, "number of images"),
        ([2, 0, 2, 1], 8, "number of rows"),
        ([2, 2, 0, 1], 12, "number of columns"),
        ([2, 2, 2, 0], 16, "number of channels"),
    ];
    for (dims, at, name) in cases {
        for error in image_errors(&idx(&dims, &[])) {
            assert_error!(
                error,
                DataError::ZeroDimension { offset, dimension, .. }
                    if *offset == at && *dimension == name,
                "expected at least 1"
            );
        }
    }
}

#[test]
fn truncated_at_every_byte() {
    let whole = idx(&[2, 3, 3], &noise(18));
    for end in 0..whole.len() {
        for error in image_errors(&whole[..end]) {
            assert_error!(
                error,
                DataError::Truncated { expected, found, at_most: false, .. }
                    if *found == end as u64 && *expected > end as u64,
                "truncated"
            );
        }
    }
}

#[test]
fn trailing_bytes() {
    for extra in [1, 1000] {
        let bytes = [idx(&[2, 3, 3], &noise(18)), noise(extra)].concat();
        for error in image_errors(&bytes) {
            assert_error!(error, DataError::TrailingBytes { expected: 34, .. }, "byte 34");
        }
    }
}

#[test]
fn a_gzip_file_truncated_at_every_byte_is_damaged() {
    let packed = gzip(&idx(&[4, 5, 5], &noise(100)));
    for end in 2..packed.len() {
        let error = parse_images(&packed[..end], Path::new("memory")).unwrap_err();
        // While the compressed file is tiny, its length alone shows that it cannot be whole.
        assert!(matches!(error, DataError::Gzip { .. } | DataError::Truncated { .. }), "{error:?}");
    }
    let error = parse_images(&packed[..packed.len() - 1], Path::new("memory")).unwrap_err();
    assert_error!(error, DataError::Gzip { offset: 116, .. }, "after 116 decompressed bytes");
}

#[test]
fn a_damaged_gzip_file_is_never_read_as_whole() {
    let bytes = idx(&[4, 5, 5], &noise(100));
    let packed = gzip(&bytes);
    // Bytes 4 to 9 hold the time, the level and the system; they do not matter.
    for at in (2..4).chain(10..packed.len()) {
        let mut damaged = packed.clone();
        damaged[at] ^= 0x41;
        match parse_images(&damaged, Path::new("memory")) {
            Err(_) => {}
            // Flags for an extra text or a header's end may change nothing in the content.
            Ok(images) => assert!(at == 3 && images.pixels == bytes[16..], "byte {at}"),
        }
    }
    let mut damaged = packed.clone();
    let checksum = packed.len() - 8;
    damaged[checksum] ^= 1;
    let error = parse_images(&damaged, Path::new("memory")).unwrap_err();
    assert_error!(error, DataError::Gzip { offset: 116, .. }, "gzip stream is damaged");
}

#[test]
fn bytes_after_the_gzip_stream_are_damage() {
    let packed = [gzip(&idx(&[4, 5, 5], &noise(100))), b"rubbish".to_vec()].concat();
    let error = parse_images(&packed, Path::new("memory")).unwrap_err();
    assert_error!(error, DataError::Gzip { .. }, "gzip stream is damaged");
}

#[test]
fn a_promise_of_four_billion_images_costs_no_memory() {
    // 2^62 bytes: no machine can allocate them, so trying to would be `TooLarge` or an abort.
    let bytes = idx(&[u32::MAX, 1 << 15, 1 << 15], &[1, 2, 3, 4]);
    assert_eq!(bytes.len(), 20);
    let [plain, packed, memory] = image_errors(&bytes);
    assert_error!(plain, DataError::Truncated { found: 20, at_most: false, .. }, "found 20");
    assert_error!(memory, DataError::Truncated { found: 20, at_most: false, .. }, "found 20");
    assert_error!(packed, DataError::Truncated { at_most: true, .. }, "found at most");
}

#[test]
fn dimensions_that_overflow() {
    for dims in [&[u32::MAX; 3][..], &[u32::MAX, u32::MAX, 2], &[u32::MAX, u32::MAX, u32::MAX, 3]] {
        for error in image_errors(&idx(dims, &[])) {
            assert_error!(error, DataError::TooLarge { dims: d, .. } if d == dims, "4294967295");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_pipe_is_read_although_its_length_is_unknown() {
    use std::os::fd::AsRawFd;

    let through_pipe = |bytes: &[u8]| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(bytes).unwrap();
        drop(writer);
        read_images(Path::new(&format!("/dev/fd/{}", reader.as_raw_fd())))
    };
    let bytes = idx(&[4, 5, 5], &noise(100));
    assert_eq!(through_pipe(&bytes).unwrap().pixels, noise(100));
    assert_eq!(through_pipe(&gzip(&bytes)).unwrap().pixels, noise(100));
    let promise = idx(&[u32::MAX, 1 << 15, 1 << 15], &[1, 2, 3, 4]);
    let error = through_pipe(&promise).unwrap_err();
    assert_error!(error, DataError::Truncated { found: 20, at_most: false, .. }, "found 20");
    let error = through_pipe(&[bytes, vec![0; 9]].concat()).unwrap_err();
    assert_error!(error, DataError::TrailingBytes { expected: 116, .. }, "byte 116");
}
