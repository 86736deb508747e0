//! Pictures on the command line, on their way to the network of a model: for `predict` and `explain`.

use std::io::{self, Read as _};
use std::path::PathBuf;

use anyhow::{Error, Result, bail, ensure};
use clap::Args;
use rayon::prelude::*;
use vgg_wgpu::data::{self, Images, PictureForm, PictureProblem, Split};
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

    /// Images at the size of the network's input, so many files at a time, with their names; a batch has one
    /// at least. What cannot be read is added to `unread`, or in a folder passed over.
    pub fn batches<'a>(
        &'a self,
        form: PictureForm,
        files: &'a [Named],
        at_once: usize,
        unread: &'a mut Unread,
    ) -> impl Iterator<Item = (Vec<PathBuf>, Split)> + 'a {
        files
            .chunks(at_once)
            .map(move |files| self.decode(form, files, unread))
            .filter(|(names, _)| !names.is_empty())
    }

    /// The labels stand for nothing.
    fn decode(
        &self,
        form: PictureForm,
        files: &[Named],
        unread: &mut Unread,
    ) -> (Vec<PathBuf>, Split) {
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
                Err(problem) if *itself => unread.0.push((path.clone(), problem)),
                Err(problem) => note(&format!("skipped   {}: {problem}", path.display())),
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

/// Pictures that were named and cannot be read. The others are still told of.
#[derive(Debug, Default)]
pub struct Unread(Vec<(PathBuf, PictureProblem)>);

impl Unread {
    /// An error if there are any.
    pub fn told(mut self) -> Result<()> {
        match self.0.len() {
            0 => Ok(()),
            1 => {
                let (path, problem) = self.0.remove(0);
                let what = format!("cannot read {} as an image", path.display());
                Err(Error::new(problem).context(what))
            }
            count => {
                let line = |(path, problem): &(PathBuf, PictureProblem)| {
                    format!("\n  {}: {problem}", path.display())
                };
                let lines: String = self.0.iter().map(line).collect();
                bail!("cannot read {count} files as images:{lines}")
            }
        }
    }
}
