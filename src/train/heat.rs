//! Heat maps, and pictures under them.

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::plot::{INK, PlotError, encode_png, printable, render, text};
use super::sheet::{Tile, picture};
use crate::files::write_beside;

/// The shorter side of a picture has at least this many pixels.
const LEAST_SIDE: u32 = 224;
/// Room about pictures.
const GAP: u32 = 16;
/// The scale of colours: its width, and the room for its labels.
const SCALE: u32 = 14;
const SCALE_LABELS: u32 = 56;
/// Height of the first line of text, and of the others.
const TITLE: u32 = 26;
const LINE: u32 = 18;
/// Pixels that a character takes of the first line and of the others: on average, and generously.
const TITLE_CHARACTER: u32 = 11;
const CHARACTER: u32 = 8;
/// How much of the picture the hottest place covers, and the coldest.
const COVER: (f32, f32) = (0.3, 0.65);

/// How much each place of an image counts.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Not negative, `(height, width)` row-major.
    pub values: Vec<f32>,
}

impl HeatMap {
    /// The same map with 1 at its hottest place; a map that is cold everywhere stays so.
    pub fn scaled(&self) -> Self {
        let most = self.values.iter().copied().fold(0.0, f32::max);
        let scale = if most > 0.0 { most } else { 1.0 };
        Self { values: self.values.iter().map(|value| value / scale).collect(), ..*self }
    }

    /// The map at another resolution, bilinear between the four values about each position, as PyTorch's
    /// `interpolate` with `mode="bilinear", align_corners=False`. Empty if the map is.
    pub fn resized(&self, height: usize, width: usize) -> Self {
        let (rows, columns) = (positions(self.height, height), positions(self.width, width));
        let row = |y: usize| self.values.get(y * self.width..).unwrap_or_default();
        let between = |a: f32, b: f32, share: f32| a + (b - a) * share;
        let value = |&(above, below, down): &(usize, usize, f32)| {
            let (above, below) = (row(above), row(below));
            let at = move |&(left, right, along): &(usize, usize, f32)| {
                let [above, below] =
                    [above, below].map(|row| between(row[left], row[right], along));
                between(above, below, down)
            };
            columns.iter().map(at).collect::<Vec<_>>()
        };
        Self { height, width, values: rows.iter().flat_map(value).collect() }
    }
}

/// For each of `wanted` positions over `size` values the two about it, and its share of the way from the
/// first to the second.
fn positions(size: usize, wanted: usize) -> Vec<(usize, usize, f32)> {
    let position = |i: usize| {
        let at = ((i as f64 + 0.5) * size as f64 / wanted as f64 - 0.5).max(0.0);
        let first = at as usize;
        (first, (first + 1).min(size - 1), (at - first as f64) as f32)
    };
    if size == 0 { Vec::new() } else { (0..wanted).map(position).collect() }
}

/// Pixels of the file that [`write_heat`] writes for a picture of `height` by `width` with so many lines:
/// width, then height.
pub fn heat_size(height: usize, width: usize, lines: usize) -> (u32, u32) {
    let enlarge = enlargement(height as u32, width as u32);
    let (height, width) = (height as u32 * enlarge, width as u32 * enlarge);
    let below = TITLE + LINE * (lines.max(1) as u32 - 1);
    (2 * width + 4 * GAP + SCALE + SCALE_LABELS, height + 2 * GAP + below + GAP / 2)
}

/// Draws a picture, and beside it the same picture under a heat map with a scale of its colours, and
/// writes them to a PNG file, which is replaced as a whole. Small pictures are enlarged to squares of
/// pixels; the colours are viridis', from dark blue, which is cold, to yellow. The tile's first line is
/// set larger than the others.
///
/// # Errors
/// [`PlotError::Nothing`] if picture or map have no pixels, [`PlotError::Write`] if the file cannot be
/// written, the others if drawing fails.
pub fn write_heat(tile: &Tile<'_>, heat: &HeatMap, png: &Path) -> Result<(), PlotError> {
    let picture = picture(tile).ok_or(PlotError::Nothing)?;
    if picture.width() * picture.height() == 0 || heat.values.is_empty() {
        return Err(PlotError::Nothing);
    }
    let enlarge = enlargement(picture.height(), picture.width());
    let (width, height) = (picture.width() * enlarge, picture.height() * enlarge);
    let picture = imageops::resize(&picture, width, height, FilterType::Nearest);
    let size = heat_size(tile.shape.0, tile.shape.1, tile.lines.len());
    let scale = (3 * GAP + 2 * width) as i32;
    let mut sheet = render(&frame(tile, size, (scale, height))?, size)?;
    let covered = covered(&picture, &heat.scaled().resized(height as usize, width as usize));
    imageops::replace(&mut sheet, &picture, i64::from(GAP), i64::from(GAP));
    imageops::replace(&mut sheet, &covered, i64::from(2 * GAP + width), i64::from(GAP));
    imageops::replace(&mut sheet, &colours(height), i64::from(scale), i64::from(GAP));
    write_beside(png, &encode_png(&sheet)?)
        .map_err(|source| PlotError::Write { path: png.to_owned(), source })
}

/// How many pixels a side each pixel becomes.
fn enlargement(height: u32, width: u32) -> u32 {
    LEAST_SIDE.div_ceil(height.min(width).max(1))
}

/// What is text, as SVG: the lines, and the labels of a scale at `(x, height)`.
fn frame(tile: &Tile<'_>, size: (u32, u32), (x, height): (i32, u32)) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        let labels = [("most", GAP + 7), ("none", GAP + height - 7)];
        for (label, y) in labels {
            let x = x + (SCALE + 6) as i32;
            area.draw_text(label, &text(14, HPos::Left).color(&INK), (x, y as i32))?;
        }
        let mut y = 2 * GAP + height;
        for (i, line) in tile.lines.iter().enumerate() {
            let (font, step, character) = match i {
                0 => (19, TITLE, TITLE_CHARACTER),
                _ => (14, LINE, CHARACTER),
            };
            let line = cut(line, ((size.0 - 2 * GAP) / character) as usize);
            area.draw_text(&line, &text(font, HPos::Left), (GAP as i32, (y + step / 4) as i32))?;
            y += step;
        }
        area.present()?;
    }
    Ok(svg)
}

/// The line as XML can hold it; of a long one its beginning.
fn cut(line: &str, most: usize) -> String {
    let plain = printable(line);
    match plain.chars().count() {
        count if count <= most => plain,
        _ => plain.chars().take(most.saturating_sub(2)).chain("..".chars()).collect(),
    }
}

/// The picture in grey under the colours of a map of its size.
fn covered(picture: &RgbImage, heat: &HeatMap) -> RgbImage {
    let mut covered = picture.clone();
    for (pixel, &heat) in covered.pixels_mut().zip(&heat.values) {
        let [r, g, b] = pixel.0.map(f32::from);
        let grey = 0.299 * r + 0.587 * g + 0.114 * b;
        let cover = COVER.0 + (COVER.1 - COVER.0) * heat;
        let mixed = colour(heat).map(|value| cover * f32::from(value) + (1.0 - cover) * grey);
        *pixel = Rgb(mixed.map(|value| value.round() as u8));
    }
    covered
}

/// The colours from the hottest to the coldest.
fn colours(height: u32) -> RgbImage {
    let last = height.max(2) - 1;
    RgbImage::from_fn(SCALE, height, |_, y| Rgb(colour(1.0 - y as f32 / last as f32)))
}

fn colour(heat: f32) -> [u8; 3] {
    let RGBColor(r, g, b) = ViridisRGB.get_color(heat.clamp(0.0, 1.0));
    [r, g, b]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_place_becomes_one_and_a_cold_map_stays_cold() {
        let map = |values: [f32; 4]| HeatMap { height: 2, width: 2, values: values.to_vec() };
        assert_eq!(map([0.0, 5.0, 2.5, 1.25]).scaled(), map([0.0, 1.0, 0.5, 0.25]));
        assert_eq!(map([0.0; 4]).scaled(), map([0.0; 4]));
    }

    /// torch.nn.functional.interpolate(torch.tensor([[[[1., 3.], [5., 9.]]]]), size=(3, 4),
    /// mode="bilinear", align_corners=False)
    #[test]
    fn a_map_is_enlarged_as_by_pytorch() {
        let map = HeatMap { height: 2, width: 2, values: vec![1.0, 3.0, 5.0, 9.0] };
        let wanted = [1.0, 1.5, 2.5, 3.0, 3.0, 3.75, 5.25, 6.0, 5.0, 6.0, 8.0, 9.0];
        let found = map.resized(3, 4);
        assert_eq!((found.height, found.width), (3, 4));
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
        assert!(found.values.iter().zip(&wanted).all(near), "{found:?}");
        assert_eq!(map.resized(2, 2), map);
        let one = HeatMap { height: 1, width: 1, values: vec![7.0] };
        assert_eq!(one.resized(2, 3).values, [7.0; 6]);
    }

    #[test]
    fn small_pictures_are_enlarged_to_whole_pixels_and_large_ones_kept() {
        assert_eq!([1, 32, 112, 224, 500].map(|side| enlargement(side, 600)), [224, 7, 2, 1, 1]);
        assert_eq!(heat_size(32, 32, 1), (2 * 224 + 4 * 16 + 14 + 56, 224 + 2 * 16 + 26 + 8));
    }

    #[test]
    fn hot_places_are_yellow_and_cold_ones_blue_over_grey() {
        let picture = RgbImage::from_pixel(2, 1, Rgb([200, 0, 0]));
        let heat = HeatMap { height: 1, width: 2, values: vec![0.0, 1.0] };
        let covered = covered(&picture, &heat);
        let [cold, hot] = [0, 1].map(|x| covered.get_pixel(x, 0).0);
        assert!(cold[2] > cold[1] && hot[0] > 150 && hot[2] < 60, "{cold:?} {hot:?}");
        assert_eq!(colours(50).get_pixel(0, 0).0, colour(1.0));
        assert_eq!(colours(50).get_pixel(3, 49).0, colour(0.0));
    }
}
