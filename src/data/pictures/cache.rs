//! Decoded pictures in one file, for runs that come later.
//!
//! The file: [`MAGIC`], the place of its index and the index's CRC-32 (u64 and u32, little-endian), from
//! [`FIRST`] on the images one after another, then the index in postcard's format. It is written beside
//! its name and renamed, so that a file is whole or not there. An image counts as that of a picture
//! whose path, length and time of change are those of the index.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::read::without_bad;
use super::{BadPicture, Picture, PictureForm, PictureProblem};
use crate::data::{DataError, ImageSet, ReadError};
use crate::files::write_beside_with;

const MAGIC: &[u8; 8] = b"vggpics1";
/// Bytes before the first image: a page.
const FIRST: usize = 4096;
/// Pictures decoded before they are written.
const AT_ONCE: usize = 256;

/// What is known of a cached image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    source: Source,
    crc: u32,
}

/// What tells whether a picture's file is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Source {
    path: String,
    bytes: u64,
    /// Nanoseconds since 1970.
    changed: u128,
}

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    /// Rows, columns, channels, and the pixels of the shorter side.
    form: (usize, usize, usize, Option<usize>),
    entries: Vec<Entry>,
    /// Pictures that are none, and why.
    bad: Vec<(Source, String)>,
}

/// A cache that is open.
#[derive(Debug)]
struct Cache {
    file: PathBuf,
    map: Mmap,
    index: Index,
}

/// Pictures whose images are read from a cache.
#[derive(Debug, Clone)]
pub struct CachedSet {
    cache: Arc<Cache>,
    form: PictureForm,
    /// The place of each image in the cache, and its class.
    images: Vec<(usize, u32)>,
}

/// What [`cached_pictures`] found and made.
#[derive(Debug)]
pub struct Cached {
    /// The sets, in the order of the parts.
    pub sets: Vec<CachedSet>,
    /// Pictures that are none.
    pub bad: Vec<BadPicture>,
    /// Images that were in the file before.
    pub reused: usize,
}

/// The images of the pictures of each part, from a cache in `file`. Pictures that are not in it, or have
/// changed since, are decoded; if there are some the file is written anew. `seen` gets the number of
/// pictures done, each time there are more, on any thread.
///
/// # Errors
/// [`DataError::Cache`] if the file is no cache or cannot be written.
pub fn cached_pictures(
    file: &Path,
    form: PictureForm,
    parts: Vec<Vec<Picture>>,
    seen: impl Fn(usize) + Sync,
) -> Result<Cached, DataError> {
    let failed = |source| DataError::Cache { path: file.to_owned(), source };
    let before = Cache::open(file).map_err(failed)?.filter(|cache| cache.index.form == key(form));
    let pictures: Vec<&Picture> = parts.iter().flatten().collect();
    let known = Known::of(&pictures, before.as_ref());
    let reused = known.iter().filter(|known| matches!(known, Known::Image(..))).count();
    let is_new = |known: &Known| matches!(known, Known::No(Some(_)));
    let (cache, problems) = match before {
        Some(cache) if !known.iter().any(is_new) => {
            seen(pictures.len());
            let problem = |(picture, known): (&&Picture, Known)| match known {
                Known::Image(..) => None,
                Known::Bad(_, problem) => Some(PictureProblem::Before(problem)),
                // It is not there.
                Known::No(_) => form.read(&picture.path).err(),
            };
            (cache, pictures.iter().zip(known).map(problem).collect())
        }
        before => {
            let mut problems = Vec::new();
            let write = |to: &mut File| {
                let known = (&known[..], before.as_ref());
                problems = write(to, form, &pictures, known, &seen)?;
                Ok(())
            };
            make_folder(file).and_then(|()| write_beside_with(file, write)).map_err(failed)?;
            let cache = Cache::open(file).map_err(failed)?;
            let gone = || failed(io::Error::other("it went away as it was written"));
            (cache.ok_or_else(gone)?, problems)
        }
    };
    let cache = Arc::new(cache);
    let places: HashMap<&str, usize> =
        cache.index.entries.iter().enumerate().map(|(i, e)| (&*e.source.path, i)).collect();
    let mut problems = problems.into_iter();
    let (mut sets, mut bad) = (Vec::new(), Vec::new());
    for mut part in parts {
        let of_part = problems.by_ref().take(part.len()).collect();
        bad.extend(without_bad(&mut part, of_part));
        let image = |picture: &Picture| {
            let place = places.get(&*picture.path.to_string_lossy()).copied()?;
            Some((place, picture.label))
        };
        let images = part.iter().filter_map(image).collect();
        sets.push(CachedSet { cache: Arc::clone(&cache), form, images });
    }
    Ok(Cached { sets, bad, reused })
}

impl ImageSet for CachedSet {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn shape(&self) -> (usize, usize, usize) {
        (self.form.height, self.form.width, self.form.channels)
    }

    fn label(&self, index: usize) -> u32 {
        self.images[index].1
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), ReadError> {
        let place = self.images[index].0;
        let image = self
            .cache
            .image(place, pixels.len())
            .filter(|image| crc32fast::hash(image) == self.cache.index.entries[place].crc);
        let file = self.cache.file.display();
        pixels.copy_from_slice(image.ok_or_else(|| format!("{file} is damaged; remove it"))?);
        Ok(())
    }
}

impl Cache {
    /// The cache in `file`; `None` if there is no file.
    fn open(file: &Path) -> io::Result<Option<Self>> {
        let opened = match File::open(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        // SAFETY: the file is only ever replaced as a whole, by a rename, so that what is mapped does not
        // change; if somebody else writes into it, checksums tell.
        let map = unsafe { Mmap::map(&opened)? };
        let index = parse(&map).ok_or_else(|| {
            io::Error::other("the file is no cache of pictures, or damaged; remove it")
        })?;
        Ok(Some(Self { file: file.to_owned(), map, index }))
    }

    fn image(&self, place: usize, len: usize) -> Option<&[u8]> {
        let start = FIRST.checked_add(place.checked_mul(len)?)?;
        self.map.get(start..start.checked_add(len)?)
    }
}

fn make_folder(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), fs::create_dir_all)
}

fn parse(map: &[u8]) -> Option<Index> {
    let place = u64::from_le_bytes(map.get(8..16)?.try_into().ok()?);
    let crc = u32::from_le_bytes(map.get(16..20)?.try_into().ok()?);
    let index = map.get(usize::try_from(place).ok()?..)?;
    let whole = map.starts_with(MAGIC) && crc32fast::hash(index) == crc;
    let index: Index = postcard::from_bytes(whole.then_some(index)?).ok()?;
    let (height, width, channels, _) = index.form;
    let images = height.checked_mul(width)?.checked_mul(channels)?;
    let end = images.checked_mul(index.entries.len())?.checked_add(FIRST)?;
    (end as u64 == place).then_some(index)
}

fn key(form: PictureForm) -> (usize, usize, usize, Option<usize>) {
    (form.height, form.width, form.channels, form.shorter)
}

impl Source {
    /// `None` if the file is not there.
    fn of(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        let changed = about.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = path.to_string_lossy().into_owned();
        Some(Self { path, bytes: about.len(), changed: changed.as_nanos() })
    }
}

/// What a cache tells of a picture.
enum Known {
    /// Its source, and the place of its image.
    Image(Source, usize),
    /// Its source, and what is wrong with it.
    Bad(Source, String),
    /// Nothing; its source if the file is there.
    No(Option<Source>),
}

impl Known {
    fn of(pictures: &[&Picture], cache: Option<&Cache>) -> Vec<Self> {
        let index = cache.map(|cache| &cache.index);
        let entries = index.iter().flat_map(|index| &index.entries).enumerate();
        let places: HashMap<&Source, usize> = entries.map(|(i, e)| (&e.source, i)).collect();
        let bad = index.iter().flat_map(|index| &index.bad);
        let bad: HashMap<&Source, &String> = bad.map(|(source, why)| (source, why)).collect();
        let known = |picture: &&Picture| match Source::of(&picture.path) {
            None => Self::No(None),
            Some(source) => match (places.get(&source), bad.get(&source)) {
                (Some(&place), _) => Self::Image(source, place),
                (None, Some(&problem)) => Self::Bad(source, problem.clone()),
                (None, None) => Self::No(Some(source)),
            },
        };
        pictures.par_iter().map(known).collect()
    }
}

/// Writes a cache of the pictures, and returns what is wrong with each. `known` is what the cache
/// `before` tells of them.
fn write(
    file: &mut File,
    form: PictureForm,
    pictures: &[&Picture],
    (known, before): (&[Known], Option<&Cache>),
    seen: &(impl Fn(usize) + Sync),
) -> io::Result<Vec<Option<PictureProblem>>> {
    let done = AtomicUsize::new(0);
    let read = |(picture, known): (&&Picture, &Known)| {
        let image = match known {
            Known::Image(_, place) => {
                before.and_then(|cache| cache.image(*place, form.image_len())).map(<[u8]>::to_vec)
            }
            _ => None,
        };
        let image = image.map_or_else(|| form.read(&picture.path), Ok);
        seen(done.fetch_add(1, Ordering::Relaxed) + 1);
        image
    };
    file.write_all(&[0; FIRST])?;
    let mut index = Index { form: key(form), entries: Vec::new(), bad: Vec::new() };
    let mut problems = Vec::new();
    for (pictures, known) in pictures.chunks(AT_ONCE).zip(known.chunks(AT_ONCE)) {
        let images: Vec<_> = pictures.par_iter().zip(known).map(read).collect();
        for (image, known) in images.into_iter().zip(known) {
            let (Known::Image(source, _) | Known::Bad(source, _) | Known::No(Some(source))) = known
            else {
                // It is not there, or was not a moment ago.
                problems.push(Some(image.err().unwrap_or(PictureProblem::Empty)));
                continue;
            };
            match &image {
                Ok(image) => {
                    file.write_all(image)?;
                    let crc = crc32fast::hash(image);
                    index.entries.push(Entry { source: source.clone(), crc });
                }
                Err(problem) => index.bad.push((source.clone(), problem.to_string())),
            }
            problems.push(image.err());
        }
    }
    let end = file.stream_position()?;
    let index = postcard::to_stdvec(&index).map_err(io::Error::other)?;
    file.write_all(&index)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(MAGIC)?;
    file.write_all(&end.to_le_bytes())?;
    file.write_all(&crc32fast::hash(&index).to_le_bytes())?;
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    use image::{GrayImage, Luma};

    const FORM: PictureForm = PictureForm { height: 3, width: 5, channels: 1, shorter: None };

    fn picture(folder: &Path, name: &str, value: u8) -> Picture {
        let path = folder.join(name);
        GrayImage::from_pixel(7, 4, Luma([value])).save(&path).unwrap();
        Picture { path, label: u32::from(value) % 3 }
    }

    fn values(set: &CachedSet) -> Vec<u8> {
        let value = |i| {
            let mut pixels = [0; 15];
            set.read(i, &mut pixels).unwrap();
            assert!(pixels.iter().all(|&pixel| pixel == pixels[0]));
            pixels[0]
        };
        (0..set.len()).map(value).collect()
    }

    #[test]
    fn pictures_are_decoded_once_and_again_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/cache");
        let path = folder.path();
        let bad = Picture { path: path.join("bad.png"), label: 2 };
        fs::write(&bad.path, "no picture").unwrap();
        let train = vec![picture(path, "a.png", 1), bad.clone(), picture(path, "b.png", 2)];
        let test = vec![picture(path, "c.png", 3)];
        let open = |form, parts: Vec<Vec<Picture>>| cached_pictures(&file, form, parts, |_| ());
        let parts = || vec![train.clone(), test.clone()];

        let first = open(FORM, parts()).unwrap();
        assert_eq!((first.reused, first.bad.len()), (0, 1));
        assert_eq!(first.bad[0].path, bad.path);
        let [train_set, test_set] = &first.sets[..] else { panic!("two parts") };
        assert_eq!((values(train_set), values(test_set)), (vec![1, 2], vec![3]));
        assert_eq!((train_set.label(1), train_set.shape()), (2, (3, 5, 1)));

        let again = open(FORM, parts()).unwrap();
        assert_eq!((again.reused, again.bad.len()), (3, 1));
        assert_eq!(values(&again.sets[0]), [1, 2]);
        // The parts may be cut in another way, and only some of the pictures wanted.
        let other = open(FORM, vec![test.clone(), train[..1].to_vec()]).unwrap();
        assert_eq!(
            (other.reused, values(&other.sets[0]), values(&other.sets[1])),
            (2, vec![3], vec![1])
        );

        // One changes, in length and content; sets that are open keep what they were.
        let changed = GrayImage::from_pixel(70, 40, Luma([9]));
        changed.save(&train[0].path).unwrap();
        let fresh = open(FORM, parts()).unwrap();
        assert_eq!((fresh.reused, values(&fresh.sets[0])), (2, vec![9, 2]));
        assert_eq!(values(&first.sets[0]), [1, 2]);

        // Another form is another cache.
        let wide = PictureForm { width: 4, height: 4, ..FORM };
        assert_eq!(open(wide, parts()).unwrap().reused, 0);
    }

    #[test]
    fn damage_is_an_error_and_never_another_image() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cache");
        let pictures = vec![picture(folder.path(), "a.png", 1), picture(folder.path(), "b.png", 2)];
        let open = || cached_pictures(&file, FORM, vec![pictures.clone()], |_| ());
        open().unwrap();
        let whole = fs::read(&file).unwrap();
        for damaged in [&b""[..], b"something else", &whole[..whole.len() - 1], &whole[..FIRST]] {
            fs::write(&file, damaged).unwrap();
            let error = open().unwrap_err().to_string();
            assert!(error.contains("cache"), "{error}");
        }
        let mut flipped = whole.clone();
        flipped[FIRST + 3] ^= 1;
        fs::write(&file, &flipped).unwrap();
        let cached = open().unwrap();
        let error = cached.sets[0].read(0, &mut [0; 15]).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
        assert!(cached.sets[0].read(1, &mut [0; 15]).is_ok());
    }
}
