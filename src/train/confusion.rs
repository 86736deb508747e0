//! What the images of each class are taken for, counted and drawn.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::plot::{INK, PlotError, encode_png, printable, render, text};
use crate::files::write_beside;

/// Numbers stand in the cells of pictures of at most this many classes.
const MOST_NUMBERS: usize = 30;
/// Longest name of a class beside its row.
const LONGEST: usize = 18;

/// For each class how many of its images were taken for which class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// The names of the classes.
    pub classes: Vec<String>,
    /// `counts[class][taken_for]`, in images.
    pub counts: Vec<Vec<u64>>,
}

/// How well a class is told from the others. A share of nothing is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScores {
    /// Images of the class.
    pub images: u64,
    /// Images taken for it that are of it, as a share.
    pub precision: Option<f64>,
    /// Images of it that are taken for it, as a share.
    pub recall: Option<f64>,
    /// The harmonic mean of both.
    pub f1: Option<f64>,
    /// The other class that most of its images are taken for.
    pub confused_with: Option<usize>,
}

impl Confusion {
    /// Counts pairs of a class and what an image of it was taken for.
    pub fn count(classes: &[String], pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut counts = vec![vec![0; classes.len()]; classes.len()];
        for (class, taken_for) in pairs {
            counts[class][taken_for] += 1;
        }
        Self { classes: classes.to_vec(), counts }
    }

    /// The scores of each class (van Rijsbergen, "Information Retrieval", chapter 7; scikit-learn's
    /// `precision_recall_fscore_support`).
    pub fn scores(&self) -> Vec<ClassScores> {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let score = |class: usize| {
            let row = &self.counts[class];
            let (hits, images) = (row[class], row.iter().sum());
            let taken: u64 = self.counts.iter().map(|row| row[class]).sum();
            let others = row.iter().enumerate().filter(|&(other, &n)| other != class && n > 0);
            ClassScores {
                images,
                precision: share(hits, taken),
                recall: share(hits, images),
                f1: share(2 * hits, taken + images),
                confused_with: others
                    .max_by_key(|&(other, &n)| (n, usize::MAX - other))
                    .map(|(o, _)| o),
            }
        };
        (0..self.classes.len()).map(score).collect()
    }
}

/// Draws a matrix, classes down and what they are taken for across, darker for a larger share of a
/// class's images, and writes it to the files `svg` and `png`, each replaced as a whole.
///
/// # Errors
/// [`PlotError::Nothing`] without classes, [`PlotError::Write`] if a file cannot be written, the others
/// if drawing fails.
pub fn write_confusion(
    confusion: &Confusion,
    title: &str,
    svg: &Path,
    png: &Path,
) -> Result<(), PlotError> {
    let (drawing, size) = draw(confusion, title)?;
    let pixels = encode_png(&render(&drawing, size)?)?;
    for (path, bytes) in [(svg, drawing.as_bytes()), (png, pixels.as_slice())] {
        write_beside(path, bytes)
            .map_err(|source| PlotError::Write { path: path.to_owned(), source })?;
    }
    Ok(())
}

fn draw(confusion: &Confusion, title: &str) -> Result<(String, (u32, u32)), PlotError> {
    let Confusion { classes, counts } = confusion;
    let count = classes.len() as i32;
    if count == 0 {
        return Err(PlotError::Nothing);
    }
    // Cells shrink with their number, down to where a colour can still be told.
    let cell = (760 / count).clamp(6, 64);
    let letters = (cell * 3 / 5).clamp(5, 15);
    let names: Vec<String> = classes.iter().map(|name| cut(name)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) as i32;
    let (beside, above) = (longest * letters * 3 / 5 + 46, 46);
    let below = longest * letters * 3 / 5 + 40;
    let size = ((beside + count * cell + 24).max(420), above + count * cell + below);
    let mut svg = String::new();
    {
        let pixels = (size.0 as u32, size.1 as u32);
        let area = SVGBackend::with_string(&mut svg, pixels).into_drawing_area();
        area.fill(&WHITE)?;
        area.draw_text(&printable(title), &text(17, HPos::Left), (16, 22))?;
        for (row, counts) in (0..count).zip(counts) {
            let all = counts.iter().sum::<u64>().max(1);
            for (column, &n) in (0..count).zip(counts) {
                let share = n as f64 / all as f64;
                let (x, y) = (beside + column * cell, above + row * cell);
                let style = colour(share).filled();
                area.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], style))?;
                if n > 0 && classes.len() <= MOST_NUMBERS {
                    let ink = if share > 0.5 { WHITE } else { INK };
                    let fits = (cell * 8 / 5 / n.to_string().len().max(2) as i32).clamp(7, letters);
                    let style = text(fits, HPos::Center).color(&ink);
                    area.draw_text(&n.to_string(), &style, (x + cell / 2, y + cell / 2))?;
                }
            }
        }
        let frame = [(beside, above), (beside + count * cell, above + count * cell)];
        area.draw(&Rectangle::new(frame, INK.stroke_width(1)))?;
        let style = text(letters, HPos::Right);
        let turned = text(letters, HPos::Right)
            .transform(FontTransform::Rotate270)
            .pos(Pos::new(HPos::Right, VPos::Center));
        for (i, name) in (0..count).zip(&names) {
            let middle = cell / 2 + i * cell;
            area.draw_text(name, &style, (beside - 8, above + middle))?;
            area.draw_text(name, &turned, (beside + middle, above + count * cell + 8))?;
        }
        let across = (beside + count * cell / 2, size.1 - 14);
        area.draw_text("taken for", &text(14, HPos::Center), across)?;
        let down = text(14, HPos::Center).transform(FontTransform::Rotate270);
        area.draw_text("class", &down, (14, above + count * cell / 2))?;
        area.present()?;
    }
    Ok((svg, (size.0 as u32, size.1 as u32)))
}

/// From white to blue.
fn colour(share: f64) -> RGBColor {
    let share = share.clamp(0.0, 1.0).sqrt();
    let [r, g, b] = [(255.0, 0.0), (255.0, 84.0), (255.0, 140.0)]
        .map(|(from, to)| (from + (to - from) * share) as u8);
    RGBColor(r, g, b)
}

fn cut(name: &str) -> String {
    let plain = printable(name);
    match plain.chars().count() <= LONGEST {
        true => plain,
        false => plain.chars().take(LONGEST - 2).chain("..".chars()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("class {i}")).collect()
    }

    #[test]
    fn scores_are_those_of_their_definitions() {
        let pairs = [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (2, 0)];
        let confusion = Confusion::count(&names(4), pairs);
        assert_eq!(confusion.counts[0], [2, 1, 0, 0]);
        let scores = confusion.scores();
        let of = |class: usize| {
            let ClassScores { precision, recall, f1, .. } = scores[class];
            [precision, recall, f1]
        };
        assert_eq!(of(0), [Some(0.5), Some(2.0 / 3.0), Some(4.0 / 7.0)]);
        assert_eq!(of(1), [Some(0.5); 3]);
        assert_eq!(of(2), [None, Some(0.0), Some(0.0)]);
        assert_eq!(of(3), [None; 3]);
        assert_eq!(scores.iter().map(|s| s.images).collect::<Vec<_>>(), [3, 2, 1, 0]);
        let others: Vec<_> = scores.iter().map(|score| score.confused_with).collect();
        assert_eq!(others, [Some(1), Some(0), Some(0), None]);
    }

    #[test]
    fn matrices_of_any_size_are_drawn() {
        for count in [1, 2, 10, 300] {
            let pairs = (0..count).map(|i| (i, i * 7 % count));
            let confusion = Confusion::count(&names(count), pairs);
            let (svg, (width, height)) = draw(&confusion, "a < b & \u{1}").unwrap();
            assert!(svg.contains("class 0") && svg.contains("taken for"));
            assert!((200..4000).contains(&width) && (100..4000).contains(&height));
            let picture = render(&svg, (width, height)).unwrap();
            // The cell of a class taken for itself is dark.
            let dark = picture.pixels().filter(|pixel| pixel.0 == [0, 84, 140]).count();
            assert!(dark > 10, "{count}: {dark}");
        }
        let nothing = draw(&Confusion::count(&[], []), "x");
        assert!(matches!(nothing, Err(PlotError::Nothing)));
    }
}
