//! The curves of a run as a picture: loss on the left, accuracy on the right, over the epochs.
//!
//! The picture is drawn once, as SVG by `plotters`; the PNG is that SVG rendered by `resvg` with
//! the font in `assets/fonts`, so both show the same and no font need be installed.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError, RgbImage};
use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use resvg::{tiny_skia, usvg};
use thiserror::Error;

use super::axis::Axis;
use super::history::{EpochRecord, History};
use crate::files::write_beside;

/// Size of the picture in pixels: width, height.
pub const SIZE: (u32, u32) = (1200, 500);

/// DejaVu Sans, cut down to Latin, Greek and Cyrillic; its licence lies beside it.
const FONT: &[u8] = include_bytes!("../../assets/fonts/plot-sans.ttf");
/// The generic family: a browser has one, and the renderer of the PNG is given [`FONT`] for it.
const FONT_FAMILY: &str = "sans-serif";

// Blue and vermilion of Okabe and Ito's palette, which differ for every kind of colour vision;
// line style and marker differ as well, for prints in grey.
pub(super) const TRAIN: RGBColor = RGBColor(0, 114, 178);
pub(super) const VALIDATION: RGBColor = RGBColor(213, 94, 0);
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
pub(super) const GRID: RGBColor = RGBColor(222, 222, 222);

pub(super) const LINE_WIDTH: u32 = 2;
pub(super) const MARKER: i32 = 4;
const DASH: i32 = 9;
const GAP: i32 = 5;
const LEGEND_HEIGHT: i32 = 34;
const LEGEND_SAMPLE: i32 = 36;
const LEGEND_STEP: i32 = 130;
/// The middle of the legend, below the title.
pub(super) const LEGEND_Y: i32 = 40 + LEGEND_HEIGHT / 2;
pub(super) const NOTE_HEIGHT: i32 = 22;
/// More markers than this on one curve run into each other.
const MOST_MARKERS: usize = 24;
/// The loss axis shows any change that the history file keeps, ...
const LOSS_SPAN: f64 = 1e-6;
/// ... the accuracy axis spans a tenth, so that a few images more or less look like few.
const ACCURACY_SPAN: f64 = 0.1;
/// Values beyond this are not drawn: the axis would show nothing else, nor have room for its labels.
const HIGHEST_DRAWN: f64 = 1e12;
/// Longest title that fits the width.
const LONGEST_TITLE: usize = 90;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type DrawError = DrawingAreaErrorKind<io::Error>;
pub(super) type Value = fn(&EpochRecord) -> f64;

/// Why the curves could not be drawn or written.
#[derive(Debug, Error)]
pub enum PlotError {
    /// The history has no epoch to draw.
    #[error("the history has no epochs: nothing to draw")]
    NoEpochs,
    /// There are no values to draw.
    #[error("there are no values: nothing to draw")]
    Nothing,
    /// Drawing the SVG failed.
    #[error("cannot draw the curves")]
    Draw(#[from] DrawingAreaErrorKind<io::Error>),
    /// The drawn SVG could not be read back for the PNG.
    #[error("cannot render the curves as pixels")]
    Render(#[from] usvg::Error),
    /// There was no memory for the pixels.
    #[error("cannot allocate a picture of {width}x{height} pixels")]
    Pixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Encoding the PNG failed.
    #[error("cannot encode the curves as PNG")]
    Encode(#[from] ImageError),
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

/// Draws the curves of `history` under `title` and writes them to the files `svg` and `png`, both
/// of [`SIZE`]. Each file is replaced as a whole or not at all.
///
/// Values that are NaN, infinite or beyond 1e12 are left out, with a note in the picture; a title
/// longer than 90 characters is cut.
///
/// ```
/// use vgg_wgpu::train::history::History;
/// use vgg_wgpu::train::plot::{PlotError, write_curves};
///
/// let empty = write_curves(&History::default(), "run", "a.svg".as_ref(), "a.png".as_ref());
/// assert!(matches!(empty, Err(PlotError::NoEpochs)));
/// ```
///
/// # Errors
/// [`PlotError::NoEpochs`] of an empty history, [`PlotError::Write`] if a file cannot be written,
/// the others if drawing fails.
pub fn write_curves(
    history: &History,
    title: &str,
    svg: &Path,
    png: &Path,
) -> Result<(), PlotError> {
    let drawing = draw(history, title)?;
    let pixels = render_png(&drawing)?;
    for (path, bytes) in [(svg, drawing.as_bytes()), (png, pixels.as_slice())] {
        write_beside(path, bytes)
            .map_err(|source| PlotError::Write { path: path.to_owned(), source })?;
    }
    Ok(())
}

/// One curve: its name in the legend, its looks, and its values over the epochs.
pub(super) struct Series<'a> {
    pub name: String,
    pub color: RGBColor,
    pub dashed: bool,
    pub epochs: &'a [EpochRecord],
    pub value: Value,
}

impl<'a> Series<'a> {
    /// The curve of what was measured while training.
    fn train(epochs: &'a [EpochRecord], value: Value) -> Self {
        Self { name: "train".to_owned(), color: TRAIN, dashed: false, epochs, value }
    }

    /// The curve of what was measured after each epoch.
    fn validation(epochs: &'a [EpochRecord], value: Value) -> Self {
        Self { name: "validation".to_owned(), color: VALIDATION, dashed: true, epochs, value }
    }

    /// The value of an epoch, if it can be drawn.
    fn at(&self, record: &EpochRecord) -> Option<f64> {
        let value = (self.value)(record);
        can_draw(value).then_some(value)
    }

    /// Draws the curve's line through `points`, in pixels of `area`.
    fn draw_line(&self, area: &Area, points: Vec<(i32, i32)>) -> Result<(), DrawError> {
        let style = self.color.stroke_width(LINE_WIDTH);
        if self.dashed {
            area.draw(&DashedPathElement::new(points, DASH, GAP, style))
        } else {
            area.draw(&PathElement::new(points, style))
        }
    }

    /// Draws the curve's marker about `(x, y)`, in pixels of `area`: a disc, a square if dashed.
    fn draw_marker(&self, area: &Area, (x, y): (i32, i32)) -> Result<(), DrawError> {
        let style = self.color.filled();
        if self.dashed {
            let corners = [(x - MARKER, y - MARKER), (x + MARKER, y + MARKER)];
            area.draw(&Rectangle::new(corners, style))
        } else {
            area.draw(&Circle::new((x, y), MARKER, style))
        }
    }

    /// Draws the curve; `place` maps an epoch and a value to pixels of `area`.
    fn draw(&self, area: &Area, place: impl Fn(f64, f64) -> (i32, i32)) -> Result<(), DrawError> {
        let every = self.epochs.len().div_ceil(MOST_MARKERS).max(1);
        // A value that cannot be drawn leaves a gap: a line across it would claim values there.
        for stretch in self.drawable() {
            let points: Vec<_> = stretch
                .iter()
                .filter_map(|r| Some(place(f64::from(r.epoch), self.at(r)?)))
                .collect();
            for point in points.iter().step_by(every) {
                self.draw_marker(area, *point)?;
            }
            self.draw_line(area, points)?;
        }
        Ok(())
    }

    /// The stretches of epochs whose values can all be drawn.
    fn drawable(&self) -> impl Iterator<Item = &'a [EpochRecord]> {
        let value = self.value;
        self.epochs
            .chunk_by(move |a, b| can_draw(value(a)) == can_draw(value(b)))
            .filter(move |stretch| stretch.first().is_some_and(|r| can_draw(value(r))))
    }

    /// Says which epochs have no drawable value, as `train at 3-5, 9`; `None` if all have one.
    fn missing(&self) -> Option<String> {
        const MOST: usize = 2;
        let gaps: Vec<String> = self
            .epochs
            .chunk_by(|a, b| self.at(a).is_none() == self.at(b).is_none())
            .filter(|stretch| stretch.first().is_some_and(|r| self.at(r).is_none()))
            .filter_map(|gap| match (gap.first()?.epoch, gap.last()?.epoch) {
                (first, last) if first == last => Some(first.to_string()),
                (first, last) => Some(format!("{first}-{last}")),
            })
            .collect();
        let shown = gaps.get(..MOST).unwrap_or(&gaps).join(", ");
        let more = if gaps.len() > MOST { ", ..." } else { "" };
        (!gaps.is_empty()).then(|| format!("{} at {shown}{more}", self.name))
    }
}

fn can_draw(value: f64) -> bool {
    value.abs() <= HIGHEST_DRAWN
}

/// Draws both panels as an SVG document of [`SIZE`].
fn draw(history: &History, title: &str) -> Result<String, PlotError> {
    let epochs = history.epochs.as_slice();
    if epochs.is_empty() {
        return Err(PlotError::NoEpochs);
    }
    let loss =
        [Series::train(epochs, |r| r.train_loss), Series::validation(epochs, |r| r.val_loss)];
    let accuracy =
        [Series::train(epochs, |r| r.train_acc), Series::validation(epochs, |r| r.val_acc)];
    let mut svg = String::new();
    {
        let area = titled(&mut svg, title)?;
        let lefts = draw_panels(&area, [&loss, &accuracy])?;
        for (left, series) in lefts.into_iter().zip([&loss, &accuracy]) {
            draw_legend(&area, series, (left, LEGEND_Y), LEGEND_STEP)?;
        }
        area.present()?;
    }
    Ok(svg)
}

/// A picture of [`SIZE`] with nothing but its title.
pub(super) fn titled<'a>(svg: &'a mut String, title: &str) -> Result<Area<'a>, DrawError> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw_text(&printable(title), &text(24, HPos::Center), (SIZE.0 as i32 / 2, 22))?;
    Ok(area)
}

/// Draws losses on the left and accuracies on the right, below the place of a legend. Returns where
/// the axis of each begins.
pub(super) fn draw_panels(
    area: &Area,
    [loss, accuracy]: [&[Series]; 2],
) -> Result<[i32; 2], DrawError> {
    let (width, height) = (SIZE.0 as i32, SIZE.1 as i32);
    let (left, right) = (0..width / 2, width / 2..width);
    Ok([
        draw_panel(area, (left, 40..height), ("loss", LOSS_SPAN), loss)?,
        draw_panel(area, (right, 40..height), ("accuracy", ACCURACY_SPAN), accuracy)?,
    ])
}

/// Draws one panel into the part of `area` that spans `x` and `y`: axes, curves, note. Returns where
/// the axis of values begins.
fn draw_panel(
    area: &Area,
    (x, y): (Range<i32>, Range<i32>),
    (name, least_span): (&str, f64),
    series: &[Series],
) -> Result<i32, DrawError> {
    let values = series.iter().flat_map(|s| s.epochs.iter().filter_map(|r| s.at(r)));
    let value_axis = Axis::values(values, least_span);
    let epochs = series.iter().flat_map(|s| s.epochs.iter().map(|r| r.epoch));
    let epoch_axis = Axis::epochs(epochs);
    let panel = area.clone().shrink((x.start, y.start), (x.end - x.start, y.end - y.start));
    let mut chart = ChartBuilder::on(&panel)
        .margin_left(10)
        .margin_right(16)
        .margin_top(LEGEND_HEIGHT)
        .margin_bottom(NOTE_HEIGHT)
        .x_label_area_size(46)
        .y_label_area_size(72)
        .build_cartesian_2d(epoch_axis, value_axis)?;
    draw_axes(&mut chart, "epoch", name)?;
    for curve in series {
        curve.draw(area, |epoch, value| chart.backend_coord(&(epoch, value)))?;
    }
    let missing: Vec<String> = series.iter().filter_map(Series::missing).collect();
    if !missing.is_empty() {
        let note = format!("NaN or huge, not drawn: {}", missing.join("; "));
        area.draw_text(&note, &text(14, HPos::Left), (x.start + 12, y.end - NOTE_HEIGHT / 2))?;
    }
    Ok(chart.plotting_area().get_pixel_range().0.start)
}

/// Draws the axes of a chart with what they show, and a grid.
pub(super) fn draw_axes(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<Axis, Axis>>,
    x: &str,
    y: &str,
) -> Result<(), DrawError> {
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .label_style(text(17, HPos::Left))
        .axis_desc_style(text(19, HPos::Left))
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()
}

/// Draws a row of line samples and names from `(x, y)` to the right, `step` pixels apart. It stands
/// above the plot, since any corner within may be where a curve runs.
pub(super) fn draw_legend(
    area: &Area,
    series: &[Series],
    (x, y): (i32, i32),
    step: i32,
) -> Result<(), DrawError> {
    for (index, curve) in (0..).zip(series) {
        let x = x + index * step;
        curve.draw_line(area, vec![(x, y), (x + LEGEND_SAMPLE, y)])?;
        curve.draw_marker(area, (x + LEGEND_SAMPLE / 2, y))?;
        area.draw_text(&curve.name, &text(17, HPos::Left), (x + LEGEND_SAMPLE + 8, y))?;
    }
    Ok(())
}

pub(super) fn text(size: i32, horizontal: HPos) -> TextStyle<'static> {
    let anchor = Pos::new(horizontal, VPos::Center);
    TextStyle::from((FONT_FAMILY, size).into_font()).color(&INK).pos(anchor)
}

/// True of a file whose name ends as a PNG's.
pub(super) fn is_png(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"))
}

/// The title as XML can hold it, without control characters, and cut to the picture's width.
pub(super) fn printable(title: &str) -> String {
    let plain = title.chars().map(|c| match c {
        c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => ' ',
        c => c,
    });
    let mut cut: String = plain.clone().take(LONGEST_TITLE).collect();
    if plain.count() > LONGEST_TITLE {
        cut.push_str("...");
    }
    cut
}

/// Writes a drawn SVG of [`SIZE`] to a file: as PNG if its name ends with `.png`, else as it is.
pub(super) fn write_drawing(svg: &str, path: &Path) -> Result<(), PlotError> {
    let png = is_png(path).then(|| render_png(svg)).transpose()?;
    write_beside(path, png.as_deref().unwrap_or(svg.as_bytes()))
        .map_err(|source| PlotError::Write { path: path.to_owned(), source })
}

/// Renders a drawn SVG of [`SIZE`] to a PNG.
pub(super) fn render_png(svg: &str) -> Result<Vec<u8>, PlotError> {
    encode_png(&render(svg, SIZE)?)
}

/// Renders a drawn SVG to pixels, width and height, with text in [`FONT`] alone.
pub(super) fn render(svg: &str, (width, height): (u32, u32)) -> Result<RgbImage, PlotError> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = usvg::Options { fontdb: Arc::new(fonts), ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options)?;

    let no_memory = PlotError::Pixels { width, height };
    let Some(mut pixels) = tiny_skia::Pixmap::new(width, height) else { return Err(no_memory) };
    resvg::render(&tree, tiny_skia::Transform::identity(), &mut pixels.as_mut());
    // The background is opaque, so the alpha channel says nothing.
    let rgb = pixels.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
    RgbImage::from_raw(width, height, rgb).ok_or(no_memory)
}

pub(super) fn encode_png(pixels: &RgbImage) -> Result<Vec<u8>, PlotError> {
    let (width, height) = pixels.dimensions();
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(pixels, width, height, ExtendedColorType::Rgb8)?;
    Ok(png)
}
