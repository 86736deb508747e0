//! A contact sheet: small pictures in rows, each with lines below.

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{ImageBuffer, RgbImage};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::plot::{PlotError, encode_png, printable, render, text};
use crate::files::write_beside;

/// Pixels of a side of a picture.
const SIDE: u32 = 132;
/// Room about a picture.
const GAP: u32 = 14;
/// Height of a line below a picture.
const LINE: u32 = 17;
/// Height of the title.
const TITLE: u32 = 44;
/// Pictures in a row.
const COLUMNS: u32 = 6;
/// Longest line that fits below a picture.
const LONGEST: usize = 19;

/// A picture of a sheet.
#[derive(Debug, Clone)]
pub struct Tile<'a> {
    /// Rows, columns and channels: 1 (grey) or 3 (red, green, blue).
    pub shape: (usize, usize, usize),
    /// Values from 0 to 255, row-major.
    pub pixels: &'a [u8],
    /// What stands below it; longer ones than fit are cut.
    pub lines: Vec<String>,
}

/// Draws pictures in rows of six under a title, and writes them to a PNG file, which is replaced as a
/// whole. Small pictures are enlarged to squares of pixels, large ones made smaller; both keep their
/// shape.
///
/// # Errors
/// [`PlotError::Nothing`] without pictures, [`PlotError::Write`] if the file cannot be written, the
/// others if drawing fails.
pub fn write_sheet(tiles: &[Tile<'_>], title: &str, png: &Path) -> Result<(), PlotError> {
    let columns = COLUMNS.min(tiles.len() as u32).max(4);
    write_grid(tiles, columns, title, png)
}

/// As [`write_sheet`], in rows of `columns`.
///
/// # Errors
/// As [`write_sheet`].
pub fn write_grid(
    tiles: &[Tile<'_>],
    columns: u32,
    title: &str,
    png: &Path,
) -> Result<(), PlotError> {
    if tiles.is_empty() || columns == 0 {
        return Err(PlotError::Nothing);
    }
    let rows = (tiles.len() as u32).div_ceil(columns);
    let lines = tiles.iter().map(|tile| tile.lines.len() as u32).max().unwrap_or(0);
    let row_height = SIDE + lines * LINE + GAP;
    let size = (GAP + columns * (SIDE + GAP), TITLE + rows * row_height);
    let place = |i: u32| {
        let (row, column) = (i / columns, i % columns);
        (GAP + column * (SIDE + GAP), TITLE + row * row_height)
    };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        area.draw_text(&printable(title), &text(18, HPos::Left), (GAP as i32, TITLE as i32 / 2))?;
        for (i, tile) in (0..).zip(tiles) {
            let (x, y) = place(i);
            for (line, below) in tile.lines.iter().zip(0..) {
                let at = (x as i32, (y + SIDE + LINE * below + 11) as i32);
                area.draw_text(&cut(line), &text(13, HPos::Left), at)?;
            }
        }
        area.present()?;
    }
    let mut sheet = render(&svg, size)?;
    for (i, tile) in (0..).zip(tiles) {
        let (x, y) = place(i);
        let picture = fitted(tile).ok_or(PlotError::Nothing)?;
        let (left, above) = ((SIDE - picture.width()) / 2, (SIDE - picture.height()) / 2);
        imageops::replace(&mut sheet, &picture, i64::from(x + left), i64::from(y + above));
    }
    write_beside(png, &encode_png(&sheet)?)
        .map_err(|source| PlotError::Write { path: png.to_owned(), source })
}

/// The picture as it is. `None` if its pixels are not of its shape.
pub(super) fn picture(tile: &Tile<'_>) -> Option<RgbImage> {
    let (height, width, channels) = tile.shape;
    let rgb = match channels {
        1 => tile.pixels.iter().flat_map(|&value| [value; 3]).collect(),
        _ => tile.pixels.to_vec(),
    };
    ImageBuffer::from_raw(width as u32, height as u32, rgb)
}

/// The picture with its longer side as long as a tile's. `None` if its pixels are not of its shape.
fn fitted(tile: &Tile<'_>) -> Option<RgbImage> {
    let ((height, width, _), picture) = (tile.shape, picture(tile)?);
    let longer = width.max(height).max(1) as f64;
    let scaled = |side: usize| ((side as f64 * f64::from(SIDE) / longer).round() as u32).max(1);
    let filter = if longer < f64::from(SIDE) { FilterType::Nearest } else { FilterType::Triangle };
    Some(imageops::resize(&picture, scaled(width), scaled(height), filter))
}

/// A line that fits below a picture: of a long one its end, as names differ there.
fn cut(line: &str) -> String {
    let plain = printable(line);
    let count = plain.chars().count();
    match count <= LONGEST {
        true => plain,
        false => {
            let end = plain.chars().skip(count - LONGEST + 2);
            "..".chars().chain(end).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_shape_and_lines_their_end() {
        let pixels = [9; 12];
        let tile = |shape| Tile { shape, pixels: &pixels, lines: Default::default() };
        let size = |shape| fitted(&tile(shape)).map(|picture| (picture.width(), picture.height()));
        assert_eq!(size((2, 2, 3)), Some((132, 132)));
        assert_eq!(size((3, 4, 1)), Some((132, 99)));
        assert_eq!(size((12, 1, 1)), Some((11, 132)));
        assert_eq!(size((4, 4, 1)), None);
        assert_eq!(cut("short.png"), "short.png");
        assert_eq!(cut("a_very_long_name_0123456789.png"), "..me_0123456789.png");
    }
}
