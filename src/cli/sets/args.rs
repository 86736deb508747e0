//! Flags that say which images a subcommand works on.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Error, Result, bail};
use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;
use vgg_wgpu::data::{self, BadPicture, CachedSet, DataError, Picture, PictureForm};
use vgg_wgpu::shape::FeatureMap;

use super::{Images, Opened, listed};
use crate::cli::progress::bar;

// Plain comments on these groups: clap would take doc comments for the help of the subcommand.

// Which images, and how pictures become images.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Data")]
pub struct SetArgs {
    /// Folder with a folder of pictures for each class, or with folders train, val and test that hold
    /// these; folder with the four IDX files, plain or gzip; or `embedded` for the images inside the
    /// program [default: $VGG_WGPU_DATA, the cache folder, /usr/share/datasets/fashion-mnist, then
    /// embedded]
    #[arg(long, value_name = "DIR|embedded")]
    pub data: Option<PathBuf>,
    /// CSV file that names pictures and their classes, in lines `path,label`; paths begin at --data, or
    /// at the file's own folder
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Share of the pictures of each class that a run is measured with, where no folder holds these
    /// [default: 0.2, or that of the run]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    val: Option<f64>,
    /// How a picture is given the shape of the network's input
    #[arg(long, value_enum, default_value_t = FitArg::Crop)]
    pub fit: FitArg,
    /// Pictures that may be unreadable and are passed over: a share such as 1%, or a number
    #[arg(long, value_name = "N|SHARE", default_value = "1%")]
    pub max_bad: MostBad,
    /// Pictures are decoded once and kept if they then take at most this; others are decoded anew in
    /// each epoch, ahead of the device
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = memory)]
    pub in_memory: u64,
    /// Keep decoded pictures in this file for later runs; those whose files changed are decoded anew
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,
}

/// How a picture is given the shape of the network's input, as flags name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FitArg {
    /// The shorter side is resized, and the middle cut out
    Crop,
    /// Both sides are resized, whatever the picture's shape
    Stretch,
}

/// The most bad pictures that are passed over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MostBad {
    Count(usize),
    /// Of all pictures, in percent.
    Percent(f64),
}

impl MostBad {
    fn of(self, all: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (all as f64 * percent / 100.0).floor() as usize,
        }
    }
}

impl FromStr for MostBad {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a number such as 3, or a share such as 1%".to_owned();
        match text.strip_suffix('%') {
            Some(percent) => match percent.trim().parse() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(expected()),
            },
            None => text.parse().map(Self::Count).map_err(|_| expected()),
        }
    }
}

impl SetArgs {
    /// The share set aside, where none is given that of the run, if there is one.
    pub fn val(&self, of_run: Option<f64>) -> f64 {
        self.val.or(of_run).unwrap_or(0.2)
    }

    /// Finds the images; reads them if they are no pictures.
    pub fn open(&self) -> Result<Opened, DataError> {
        if let Some(csv) = &self.csv {
            return data::pictures_of_csv(csv, self.data.as_deref()).map(Opened::Pictures);
        }
        let dir = match &self.data {
            Some(name) if name.as_os_str() == "embedded" => {
                return data::embedded().map(Opened::Idx);
            }
            dir => dir.as_deref(),
        };
        match (data::open(dir), dir) {
            // None of the four, and folders in their place.
            (Err(DataError::MissingFiles { missing, .. }), Some(dir))
                if missing.len() == 4 && has_folders(dir) =>
            {
                data::find_pictures(dir).map(Opened::Pictures)
            }
            (opened, _) => opened.map(Opened::Idx),
        }
    }

    /// How pictures become images of a network's input; `shorter` is what a model wants of them.
    pub fn form(&self, input: FeatureMap, shorter: Option<usize>) -> PictureForm {
        let FeatureMap { height, width, channels, .. } = input;
        let shorter = match self.fit {
            FitArg::Crop => Some(shorter.unwrap_or(height.max(width))),
            FitArg::Stretch => None,
        };
        PictureForm { height, width, channels, shorter }
    }

    /// Decodes pictures, or only looks whether they can be decoded. Fails if too many cannot.
    pub fn read(
        &self,
        form: PictureForm,
        parts: Vec<Vec<Picture>>,
        mut bad: Vec<BadPicture>,
    ) -> Result<(Vec<Images>, Vec<BadPicture>)> {
        let found: usize = parts.iter().map(Vec::len).sum();
        let all = found + bad.len();
        let keeps = (form.image_len() as u64).saturating_mul(found as u64) <= self.in_memory;
        let bar = bar("reading {bar:30} {pos}/{len} pictures, {eta} left");
        bar.set_length(found as u64);
        let (images, more) = match &self.cache {
            Some(file) => cached(file, form, parts, keeps, &bar)?,
            None => decoded(form, parts, keeps, &bar),
        };
        bar.finish_and_clear();
        bad.extend(more);
        let most = self.max_bad.of(all);
        if bad.len() > most {
            let (count, list) = (bad.len(), listed(&bad));
            bail!(
                "{count} of {all} pictures cannot be read, and {most} are allowed:{list}\n  \
                 --max-bad allows more"
            );
        }
        Ok((images, bad))
    }

    /// Where pictures were found, in words.
    pub fn place(&self) -> String {
        let path = self.csv.as_deref().or(self.data.as_deref()).unwrap_or(Path::new(""));
        format!("from {}", path.display())
    }
}

/// The images of a cache.
fn cached(
    file: &Path,
    form: PictureForm,
    parts: Vec<Vec<Picture>>,
    keeps: bool,
    bar: &ProgressBar,
) -> Result<(Vec<Images>, Vec<BadPicture>)> {
    let seen = |done| bar.set_position(done as u64);
    let cached = data::cached_pictures(file, form, parts, seen)?;
    let images = |set: CachedSet| match keeps {
        true => Ok(Images::Whole(data::in_memory(&set).map_err(Error::from_boxed)?)),
        false => Ok(Images::Read(Arc::new(set))),
    };
    Ok((cached.sets.into_iter().map(images).collect::<Result<_>>()?, cached.bad))
}

/// The images of the pictures themselves.
fn decoded(
    form: PictureForm,
    parts: Vec<Vec<Picture>>,
    keeps: bool,
    bar: &ProgressBar,
) -> (Vec<Images>, Vec<BadPicture>) {
    let mut bad = Vec::new();
    let images = |pictures| {
        let seen = |_| bar.inc(1);
        let (images, more) = match keeps {
            true => {
                let (split, bad) = data::read_pictures(form, pictures, seen);
                (Images::Whole(split), bad)
            }
            false => {
                let (set, bad) = data::check_pictures(form, pictures, seen);
                (Images::Read(Arc::new(set)), bad)
            }
        };
        bad.extend(more);
        images
    };
    (parts.into_iter().map(images).collect(), bad)
}

fn has_folders(dir: &Path) -> bool {
    let mut entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.any(|entry| entry.path().is_dir())
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("expected a number between 0 and 1, such as 0.2".to_owned()),
    }
}

fn memory(text: &str) -> Result<u64, String> {
    let parsed: Result<ByteSize, _> = text.trim().parse();
    parsed
        .map(|size| size.0)
        .map_err(|_| "expected bytes or a number with a unit, such as 500MB or 3GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_on_bad_pictures_is_a_number_or_a_share() {
        let of = |text: &str, all| text.parse::<MostBad>().map(|most| most.of(all));
        assert_eq!(of("1%", 250), Ok(2));
        assert_eq!(of("0.4 %", 1000), Ok(4));
        assert_eq!(of("100%", 7), Ok(7));
        assert_eq!(of("12", 7), Ok(12));
        for bad in ["", "%", "-1", "101%", "-1%", "NaN%", "few", "1.5"] {
            assert!(bad.parse::<MostBad>().is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_may_be_none() {
        assert_eq!(memory("0"), Ok(0));
        assert_eq!(memory("2 GiB"), Ok(2 << 30));
        assert!(memory("much").is_err());
    }
}
