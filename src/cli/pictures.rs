//! Pictures on the command line, on their way to the network of a model: for `predict` and `explain`.

use std::io::{self, Read as _};
use std::path::PathBuf;

use anyhow::{Error, Result, bail, ensure};
use clap::Args;
use rayon::prelude::*;
use vgg_wgpu::data::{self, BadPicture, Images, PictureForm, Split};
use vgg_wgpu::shape::FeatureMap;
use vgg_wgpu::train;
use vgg_wgpu::weights::{Description, ImportOptions, Model};

use super::model;
use super::report::note;

// A model, and pictures for it.
#[derive(Debug, Args)]
pub struct PictureArgs {
    /// Run folder, model.safetensors, or any file that `import` reads
    #[arg(value_name = "RUN|FILE")]
    pub model: PathBuf,
    /// Image files (PNG, JPEG, WebP, GIF, BMP or TIFF), folders of them, or - for an image on the
    /// standard input
    #[arg(value_name = "IMAGE|DIR|-", required = true)]
    pub images: Vec<PathBuf>,
    /// File with the names of the classes, one a line [default: those in the model]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Exchange light and dark
    #[arg(long)]
    pub invert: bool,
}

/// What the flags name, before a picture is read.
#[derive(Debug)]
pub struct Asked {
    /// The model.
    pub model: Model,
    /// The names of its classes.
    pub names: Vec<String>,
    /// What its network sees of a picture.
    pub form: PictureForm,
    /// The files of the pictures.
    pub files: Vec<Named>,
}

/// A picture's file.
#[derive(Debug)]
pub struct Named {
    /// Where it is; `-` on the standard input.
    pub path: PathBuf,
    /// True if it was named itself, and not a folder that it lies in: then it has to be one.
    itself: bool,
}

/// Images at the size of a network's input, one at least, and their files. Labels stand for nothing.
pub type Decoded = (Vec<PathBuf>, Split);

impl PictureArgs {
    /// Reads the model and finds the pictures.
    pub fn asked(&self) -> Result<Asked> {
        let model = model::read(&self.model, &ImportOptions::default())?.model;
        let description = &model.description;
        let input = train::architecture_of(description)?.input();
        let FeatureMap { height, width, channels, .. } = input;
        let shorter = description.preprocessing.resize;
        let form = PictureForm { height, width, channels, shorter };
        let (names, files) = (self.names(description)?, self.files()?);
        Ok(Asked { model, names, form, files })
    }

    /// The names of the model's classes.
    fn names(&self, description: &Description) -> Result<Vec<String>> {
        let classes = &description.classes;
        let Some(path) = &self.labels else { return Ok(classes.clone()) };
        let names = model::class_names(path)?;
        model::check_names(&names, classes.len(), Some(path))?;
        Ok(names)
    }

    /// The images that were named, and those in folders.
    fn files(&self) -> Result<Vec<Named>> {
        let mut files = Vec::new();
        for path in &self.images {
            if !path.is_dir() {
                files.push(Named { path: path.clone(), itself: true });
                continue;
            }
            let (found, bad) = data::pictures_under(path);
            bad.iter().for_each(|bad| note(&format!("skipped   {bad}")));
            ensure!(!found.is_empty(), "{}: no pictures", path.display());
            files.extend(found.into_iter().map(|path| Named { path, itself: false }));
        }
        Ok(files)
    }

    /// Decodes the pictures, so many files at a time, and hands them to `tell`; without calling it if there
    /// are none. What cannot be read is passed over in folders.
    ///
    /// # Errors
    /// Those of `tell`; then, of files that were named themselves, those that cannot be read.
    pub fn decoded(
        &self,
        Asked { form, files, .. }: &Asked,
        at_once: usize,
        tell: impl FnOnce(&mut dyn Iterator<Item = Decoded>) -> Result<()>,
    ) -> Result<()> {
        let mut unread = Vec::new();
        {
            let batches = files.chunks(at_once).map(|files| self.decode(*form, files, &mut unread));
            let mut batches = batches.filter(|(names, _)| !names.is_empty()).peekable();
            if batches.peek().is_some() {
                tell(&mut batches)?;
            }
        }
        match unread.len() {
            0 => Ok(()),
            1 => {
                let BadPicture { path, problem } = unread.remove(0);
                let what = format!("cannot read {} as an image", path.display());
                Err(Error::new(problem).context(what))
            }
            count => {
                let lines: String = unread.iter().map(|bad| format!("\n  {bad}")).collect();
                bail!("cannot read {count} files as images:{lines}")
            }
        }
    }

    fn decode(&self, form: PictureForm, files: &[Named], unread: &mut Vec<BadPicture>) -> Decoded {
        let read = |file: &Named| match file.path.as_os_str() == "-" {
            true => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes)?;
                form.read_bytes(&bytes)
            }
            false => form.read(&file.path),
        };
        let images: Vec<_> = files.par_iter().map(read).collect();
        let (mut names, mut pixels) = (Vec::new(), Vec::new());
        for (Named { path, itself }, image) in files.iter().zip(images) {
            match image {
                Ok(image) => {
                    names.push(path.clone());
                    pixels.extend(image);
                }
                Err(problem) => {
                    let bad = BadPicture { path: path.clone(), problem };
                    match itself {
                        true => unread.push(bad),
                        false => note(&format!("skipped   {bad}")),
                    }
                }
            }
        }
        if self.invert {
            pixels.iter_mut().for_each(|value| *value = 255 - *value);
        }
        let PictureForm { height, width, channels, .. } = form;
        let (count, labels) = (names.len(), vec![0; names.len()]);
        (names, Split { images: Images { count, height, width, channels, pixels }, labels })
    }
}
