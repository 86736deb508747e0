//! Reader of IDX files, the format of MNIST and of the sets made after it.
//!
//! An IDX file is two zero bytes, an element type, the number of dimensions, each dimension as a
//! big-endian `u32`, and the elements in row-major order. Read here: unsigned bytes (type 8) in
//!
//! - images: `(count, rows, columns)`, or `(count, rows, columns, channels)` with 1 or 3 channels;
//! - labels: `(count)`.
//!
//! A file may be compressed with gzip, which its first bytes tell, not its name. Headers are not
//! trusted: dimensions are multiplied with checks and compared with the file's length before
//! memory is asked for; where the length is unknown, memory grows with what is decoded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::RangeInclusive;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::{DataError, Images};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const UNSIGNED_BYTES: u8 = 0x08;
/// Deflate gives at most 258 bytes for 2 bits, so a gzip file cannot expand further than this.
const DEFLATE_MAX_RATIO: u64 = 1032;
/// Bytes before the labels: magic and one dimension.
pub(super) const LABELS_HEADER: u64 = 8;

/// Reads images of unsigned bytes, plain or gzip, of any size.
///
/// The result's pixels are `(count, height, width, channels)`.
///
/// # Errors
///
/// [`DataError`] with the file's name and the byte offset where it is not as expected.
pub fn read_images(path: &Path) -> Result<Images, DataError> {
    let (file, length) = open(path)?;
    images(BufReader::new(file), length, path)
}

/// Reads labels of unsigned bytes, plain or gzip. What numbers are allowed is the caller's to say.
///
/// # Errors
///
/// As [`read_images`].
pub fn read_labels(path: &Path) -> Result<Vec<u8>, DataError> {
    let (file, length) = open(path)?;
    labels(BufReader::new(file), length, path)
}

/// [`read_images`] from memory; `name` stands for the path in errors.
///
/// # Errors
///
/// As [`read_images`].
pub fn parse_images(bytes: &[u8], name: &Path) -> Result<Images, DataError> {
    images(bytes, Some(bytes.len() as u64), name)
}

/// [`read_labels`] from memory; `name` stands for the path in errors.
///
/// # Errors
///
/// As [`read_images`].
pub fn parse_labels(bytes: &[u8], name: &Path) -> Result<Vec<u8>, DataError> {
    labels(bytes, Some(bytes.len() as u64), name)
}

/// The file and its length, which is unknown for pipes and devices.
fn open(path: &Path) -> Result<(File, Option<u64>), DataError> {
    let failed = |source| DataError::Open { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok((file, metadata.is_file().then_some(metadata.len())))
}

fn images(input: impl BufRead, length: Option<u64>, path: &Path) -> Result<Images, DataError> {
    const NAMES: [&str; 4] =
        ["number of images", "number of rows", "number of columns", "number of channels"];
    let mut content = Content::open(input, length, path)?;
    let dims = content.header(3..=4, "3 (images) or 4 (images with channels)", &NAMES)?;
    let channels = dims.get(3).copied().unwrap_or(1);
    if channels != 1 && channels != 3 {
        let path = path.to_path_buf();
        return Err(DataError::UnsupportedChannels { path, offset: 16, found: channels });
    }
    let pixels = content.elements(&dims)?;
    // u32 fits usize wherever the pixels themselves did.
    let size = |i: usize| dims.get(i).map_or(0, |&dim| dim as usize);
    let (count, height, width) = (size(0), size(1), size(2));
    Ok(Images { count, height, width, channels: channels as usize, pixels })
}

fn labels(input: impl BufRead, length: Option<u64>, path: &Path) -> Result<Vec<u8>, DataError> {
    let mut content = Content::open(input, length, path)?;
    let dims = content.header(1..=1, "1 (labels)", &["number of labels"])?;
    content.elements(&dims)
}

/// The bytes of `input`, decompressed if they start as gzip does, and whether they do.
pub(super) fn decoded<'a>(mut input: impl BufRead + 'a) -> io::Result<(Box<dyn Read + 'a>, bool)> {
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    input.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start)?;
    let gzip = start == GZIP_MAGIC;
    let whole = io::Cursor::new(start).chain(input);
    Ok(if gzip { (Box::new(MultiGzDecoder::new(whole)), true) } else { (Box::new(whole), false) })
}

/// True if a gzip decoder's error is about its input, not about the disk.
pub(super) fn is_corruption(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// The IDX content of a file.
struct Content<'a> {
    reader: Box<dyn Read + 'a>,
    gzip: bool,
    /// Bytes of content read so far.
    offset: u64,
    /// Length of the file, compressed or not, if it is known.
    length: Option<u64>,
    path: &'a Path,
}

impl<'a> Content<'a> {
    fn open(
        input: impl BufRead + 'a,
        length: Option<u64>,
        path: &'a Path,
    ) -> Result<Self, DataError> {
        let (reader, gzip) = decoded(input).map_err(|source| DataError::Read {
            path: path.to_path_buf(),
            offset: 0,
            source,
        })?;
        Ok(Self { reader, gzip, offset: 0, length, path })
    }

    /// Checks the header and returns the dimensions, `names` of which the errors use.
    fn header(
        &mut self,
        allowed: RangeInclusive<u8>,
        expected: &'static str,
        names: &[&'static str],
    ) -> Result<Vec<u32>, DataError> {
        let path = || self.path.to_path_buf();
        let found: [u8; 4] = self.array()?;
        let [zero_0, zero_1, element, count] = found;
        if (zero_0, zero_1) != (0, 0) {
            return Err(DataError::BadMagic { path: path(), found });
        }
        if element != UNSIGNED_BYTES {
            return Err(DataError::UnsupportedType { path: path(), found: element });
        }
        if !allowed.contains(&count) {
            return Err(DataError::UnsupportedDims { path: path(), expected, found: count });
        }
        let mut dims = Vec::with_capacity(usize::from(count));
        for &dimension in names.iter().take(usize::from(count)) {
            let offset = self.offset;
            let dim = u32::from_be_bytes(self.array()?);
            if dim == 0 {
                let path = self.path.to_path_buf();
                return Err(DataError::ZeroDimension { path, offset, dimension });
            }
            dims.push(dim);
        }
        Ok(dims)
    }

    /// The elements after a header of these dimensions, up to the end of the file.
    fn elements(&mut self, dims: &[u32]) -> Result<Vec<u8>, DataError> {
        let too_large =
            || DataError::TooLarge { path: self.path.to_path_buf(), dims: dims.to_vec() };
        let count = dims
            .iter()
            .try_fold(1_u64, |product, &dim| product.checked_mul(u64::from(dim)))
            .filter(|&count| isize::try_from(count).is_ok())
            .ok_or_else(too_large)?;
        let expected = self.offset.checked_add(count).ok_or_else(too_large)?;
        self.check_length(expected)?;
        let mut elements = Vec::new();
        if !self.gzip && self.length.is_some() {
            // The file is that long; one byte more lets the read below see its end.
            elements.try_reserve_exact(count as usize + 1).map_err(|_| too_large())?;
        }
        let read = self.reader.by_ref().take(count + 1).read_to_end(&mut elements);
        self.offset += elements.len() as u64;
        match read {
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Err(too_large()),
            Err(error) => Err(self.failed(error)),
            Ok(_) if self.offset < expected => Err(self.truncated(expected, self.offset, false)),
            Ok(_) if self.offset > expected => Err(self.trailing(expected)),
            Ok(_) => Ok(elements),
        }
    }

    /// Compares what the header promises with what a file of this length can hold.
    fn check_length(&self, expected: u64) -> Result<(), DataError> {
        let Some(length) = self.length else {
            return Ok(());
        };
        let most = if self.gzip { length.saturating_mul(DEFLATE_MAX_RATIO) } else { length };
        if expected > most {
            return Err(self.truncated(expected, most, self.gzip));
        }
        if !self.gzip && expected < length {
            return Err(self.trailing(expected));
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DataError> {
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            match self.reader.read(&mut bytes[filled..]) {
                Ok(0) => {
                    let found = self.offset + filled as u64;
                    return Err(self.truncated(self.offset + N as u64, found, false));
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.offset += N as u64;
        Ok(bytes)
    }

    fn truncated(&self, expected: u64, found: u64, at_most: bool) -> DataError {
        DataError::Truncated { path: self.path.to_path_buf(), expected, found, at_most }
    }

    fn trailing(&self, expected: u64) -> DataError {
        DataError::TrailingBytes { path: self.path.to_path_buf(), expected }
    }

    fn failed(&self, source: io::Error) -> DataError {
        let (path, offset) = (self.path.to_path_buf(), self.offset);
        if self.gzip && is_corruption(&source) {
            return DataError::Gzip { path, offset, source };
        }
        DataError::Read { path, offset, source }
    }
}
