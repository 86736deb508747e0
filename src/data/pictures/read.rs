//! Whole sets of pictures, decoded on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::{BadPicture, Picture, PictureForm, PictureProblem};
use crate::data::{ImageSet, Images, ReadError, Split};

/// Pictures that are decoded as they are asked for.
#[derive(Debug)]
pub struct PictureSet {
    /// What their images look like.
    pub form: PictureForm,
    /// The files.
    pub pictures: Vec<Picture>,
}

impl ImageSet for PictureSet {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn shape(&self) -> (usize, usize, usize) {
        (self.form.height, self.form.width, self.form.channels)
    }

    fn label(&self, index: usize) -> u32 {
        self.pictures[index].label
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), ReadError> {
        let path = &self.pictures[index].path;
        let bad = |problem| BadPicture { path: path.clone(), problem }.to_string();
        pixels.copy_from_slice(&self.form.read(path).map_err(bad)?);
        Ok(())
    }
}

/// Decodes all pictures and keeps them in memory, in order, but for those that are none. `seen` gets the
/// number of files done, each time there are more, on any thread.
pub fn read_pictures(
    form: PictureForm,
    mut pictures: Vec<Picture>,
    seen: impl Fn(usize) + Sync,
) -> (Split, Vec<BadPicture>) {
    let len = form.image_len();
    let mut pixels = vec![0; len * pictures.len()];
    let done = AtomicUsize::new(0);
    let read = |(picture, pixels): (&Picture, &mut [u8])| {
        let read = form.read(&picture.path).map(|image| pixels.copy_from_slice(&image));
        seen(done.fetch_add(1, Ordering::Relaxed) + 1);
        read.err()
    };
    let problems: Vec<_> =
        pictures.par_iter().zip(pixels.par_chunks_mut(len.max(1))).map(read).collect();
    let good = problems.iter().enumerate().filter(|(_, problem)| problem.is_none());
    for (to, (from, _)) in good.enumerate() {
        pixels.copy_within(from * len..(from + 1) * len, to * len);
    }
    let bad = without_bad(&mut pictures, problems);
    pixels.truncate(len * pictures.len());
    let PictureForm { height, width, channels, .. } = form;
    let images = Images { count: pictures.len(), height, width, channels, pixels };
    (Split { images, labels: pictures.iter().map(|picture| picture.label).collect() }, bad)
}

/// Reads a whole set into memory, on all cores.
///
/// # Errors
/// Those of the set.
pub fn in_memory(set: &dyn ImageSet) -> Result<Split, ReadError> {
    let (height, width, channels) = set.shape();
    let (count, len) = (set.len(), height * width * channels);
    let mut pixels = vec![0; count * len];
    let each = pixels.par_chunks_mut(len.max(1)).enumerate();
    each.try_for_each(|(i, pixels)| set.read(i, pixels))?;
    let images = Images { count, height, width, channels, pixels };
    Ok(Split { images, labels: (0..count).map(|i| set.label(i)).collect() })
}

/// Decodes all pictures to see which are none, and keeps nothing of them but their names. `seen` as in
/// [`read_pictures`].
pub fn check_pictures(
    form: PictureForm,
    mut pictures: Vec<Picture>,
    seen: impl Fn(usize) + Sync,
) -> (PictureSet, Vec<BadPicture>) {
    let done = AtomicUsize::new(0);
    let check = |picture: &Picture| {
        let problem = form.read(&picture.path).err();
        seen(done.fetch_add(1, Ordering::Relaxed) + 1);
        problem
    };
    let problems = pictures.par_iter().map(check).collect();
    let bad = without_bad(&mut pictures, problems);
    (PictureSet { form, pictures }, bad)
}

/// Removes the pictures that have a problem.
pub(super) fn without_bad(
    pictures: &mut Vec<Picture>,
    problems: Vec<Option<PictureProblem>>,
) -> Vec<BadPicture> {
    let mut bad = Vec::new();
    let with_problems = std::mem::take(pictures).into_iter().zip(problems);
    for (picture, problem) in with_problems {
        match problem {
            Some(problem) => bad.push(BadPicture { path: picture.path, problem }),
            None => pictures.push(picture),
        }
    }
    bad
}
