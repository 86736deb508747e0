//! From a picture's file to an image of a set.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek, SeekFrom};
use std::path::Path;

use image::{
    DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits, RgbImage,
};
use thiserror::Error;

use crate::data::{PictureError, grey, resize_and_crop, resize_pillow};

/// The most bytes that a picture's file, and the decoded picture, may take: 178 million pixels of RGB.
const MOST_BYTES: u64 = 512 << 20;

/// What is wrong with a picture's file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PictureProblem {
    /// The system does not let it be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A folder that cannot be listed, or a link that leads back to a folder it lies in.
    #[error("{0}")]
    Folder(String),
    /// A file without content.
    #[error("is empty")]
    Empty,
    /// Neither of the formats that are read.
    #[error("is no PNG, JPEG, WebP, BMP, TIFF or GIF")]
    Unknown,
    /// A longer file than is read.
    #[error("is a file of {} MiB, more than {}", .0 >> 20, MOST_BYTES >> 20)]
    TooLong(u64),
    /// A JPEG without its end, whose last rows a decoder would make up.
    #[error("is cut off: the end of its JPEG data is missing")]
    CutOff,
    /// More pixels than are decoded.
    #[error("has {width}x{height} pixels, more than {} MiB", MOST_BYTES >> 20)]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Damaged, cut off, or of a kind that is not decoded.
    #[error("cannot be decoded: {0}")]
    Damaged(#[source] ImageError),
    /// What was wrong with it when a cache of pictures was written.
    #[error("{0}")]
    Before(String),
    /// It cannot be made an image of the set.
    #[error("cannot be resized: {0}")]
    Resize(#[from] PictureError),
}

/// What a set's images look like: pictures of any size become images of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureForm {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// The pixels that the shorter side gets before the middle is cut out; `None`: the picture is
    /// stretched to rows and columns.
    pub shorter: Option<usize>,
}

impl PictureForm {
    /// Bytes of an image.
    pub fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Decodes a file and resizes it, `(height, width, channels)`.
    ///
    /// Turned as its EXIF data say; of an animation the first picture; 16 bits, palettes, CMYK and grey
    /// become 8-bit RGB, and transparency is dropped, before the channels wanted are made. Resized as by
    /// Pillow, see [`resize_and_crop`] and [`resize_pillow`].
    ///
    /// # Errors
    /// [`PictureProblem`] if it is no picture, or too large a one.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, PictureProblem> {
        let file = File::open(path)?;
        match file.metadata()?.len() {
            0 => Err(PictureProblem::Empty),
            len if len > MOST_BYTES => Err(PictureProblem::TooLong(len)),
            _ => Ok(self.resized(&decode(BufReader::new(file))?)?),
        }
    }

    /// As [`PictureForm::read`], of a file's content.
    ///
    /// # Errors
    /// As [`PictureForm::read`].
    pub fn read_bytes(&self, bytes: &[u8]) -> Result<Vec<u8>, PictureProblem> {
        match bytes.len() {
            0 => Err(PictureProblem::Empty),
            _ => Ok(self.resized(&decode(Cursor::new(bytes))?)?),
        }
    }

    fn resized(&self, image: &RgbImage) -> Result<Vec<u8>, PictureError> {
        let shape = (image.height() as usize, image.width() as usize, self.channels);
        let grey = (self.channels == 1).then(|| grey(image.as_raw()));
        let pixels = grey.as_ref().unwrap_or(image.as_raw());
        let size = (self.height, self.width);
        match self.shorter {
            Some(shorter) => resize_and_crop(pixels, shape, shorter, size),
            None => resize_pillow(pixels, shape, size),
        }
    }
}

fn decode(content: impl BufRead + Seek) -> Result<RgbImage, PictureProblem> {
    let reader = ImageReader::new(content).with_guessed_format()?;
    let format = reader.format().ok_or(PictureProblem::Unknown)?;
    let mut content = reader.into_inner();
    if format == ImageFormat::Jpeg && !jpeg_is_whole(&mut content)? {
        return Err(PictureProblem::CutOff);
    }
    let mut reader = ImageReader::with_format(content, format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(problem)?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > MOST_BYTES {
        return Err(PictureProblem::TooLarge { width, height });
    }
    // Damaged EXIF data say nothing, but the picture may be whole.
    let orientation = decoder.orientation();
    let mut image = DynamicImage::from_decoder(decoder).map_err(problem)?;
    if let Ok(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    // Before resizing, so that 16-bit and palette pictures are treated alike.
    Ok(image.into_rgb8())
}

/// True if the end of the image (EOI) comes after all other segments of a JPEG (ITU-T T.81, B.1): its
/// decoder fills what is missing of a file that was cut off with grey, and says nothing. Leaves the content
/// at its beginning.
fn jpeg_is_whole(content: &mut (impl BufRead + Seek)) -> io::Result<bool> {
    let walked = to_end_of_image(content);
    content.rewind()?;
    match walked {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        walked => walked.map(|()| true),
    }
}

/// Walks from marker to marker, which are two bytes: 0xff, and one that is neither of these two ends.
fn to_end_of_image(content: &mut (impl BufRead + Seek)) -> io::Result<()> {
    let mut byte = [0];
    loop {
        content.skip_until(0xff)?;
        content.read_exact(&mut byte)?;
        while byte == [0xff] {
            content.read_exact(&mut byte)?;
        }
        match byte[0] {
            0xd9 => return Ok(()),
            // A byte of 0xff in the data of the image, and markers that have no segment: start, restarts.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            // The length of a segment counts its own two bytes. What may look like a marker in there, such
            // as those of a small picture in the EXIF data, is none.
            _ => {
                let mut length = [0; 2];
                content.read_exact(&mut length)?;
                let rest = i64::from(u16::from_be_bytes(length)) - 2;
                content.seek(SeekFrom::Current(rest.max(0)))?;
            }
        }
    }
}

fn problem(error: ImageError) -> PictureProblem {
    match error {
        // What the decoder misses at the end of a file is damage, not a failing disk.
        ImageError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            PictureProblem::Read(error)
        }
        error => PictureProblem::Damaged(error),
    }
}
