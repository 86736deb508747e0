//! The mistakes that a network is surest of.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use serde::Serialize;
use vgg_wgpu::train::{Tile, write_sheet};

use super::report::Measured;
use crate::cli::model;
use crate::cli::sets::Images;

/// Mistakes that are drawn and reported.
const MOST: usize = 24;

/// An image that is taken for what it is not.
#[derive(Debug, Clone, Serialize)]
pub struct Mistake {
    /// Its file, or its number in the set.
    pub image: String,
    pub class: String,
    pub taken_for: String,
    /// The probability of the class that it is taken for.
    pub probability: f64,
    /// Its place among the images.
    #[serde(skip)]
    pub place: usize,
}

/// The most confident mistakes, the worst first.
pub fn of(measured: &Measured<'_>, files: &[PathBuf]) -> Vec<Mistake> {
    let mistake = |(place, (row, label)): (usize, (&[f32], usize))| {
        let first = model::ranked(row)[0];
        let name = |class: usize| measured.classes[class].clone();
        (first != label).then(|| Mistake {
            image: files.get(place).map_or(format!("#{place}"), |file| file.display().to_string()),
            class: name(label),
            taken_for: name(first),
            probability: model::log_softmax(row)[first].exp(),
            place,
        })
    };
    let mut mistakes: Vec<_> = measured.each().enumerate().filter_map(mistake).collect();
    mistakes.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.place.cmp(&b.place)));
    mistakes.truncate(MOST);
    mistakes
}

/// Draws mistakes, each with its class, what it is taken for, and its name.
pub fn draw(mistakes: &[Mistake], images: &Images, title: &str, png: &Path) -> Result<()> {
    let set = images.set();
    let shape = set.shape();
    let read = |mistake: &Mistake| {
        let mut pixels = vec![0; shape.0 * shape.1 * shape.2];
        set.read(mistake.place, &mut pixels).map_err(Error::from_boxed)?;
        Ok(pixels)
    };
    let pictures = mistakes.iter().map(read).collect::<Result<Vec<_>>>()?;
    let tile = |(mistake, pixels)| Tile { shape, pixels, lines: lines(mistake) };
    let tiles: Vec<_> = mistakes.iter().zip(pictures.iter().map(Vec::as_slice)).map(tile).collect();
    Ok(write_sheet(&tiles, title, png)?)
}

/// Its name, its class, and what it is taken for.
fn lines(mistake: &Mistake) -> Vec<String> {
    let name = Path::new(&mistake.image).file_name().unwrap_or_default().to_string_lossy();
    let said = format!("as {} {:.0} %", mistake.taken_for, 100.0 * mistake.probability);
    vec![name.into_owned(), mistake.class.clone(), said]
}
