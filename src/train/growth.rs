//! How two measures change as a number grows, as a picture: one on the left, one on the right.

use std::path::Path;

use plotters::prelude::*;

use super::axis::Axis;
use super::plot::{
    LINE_WIDTH, MARKER, NOTE_HEIGHT, PlotError, SIZE, TRAIN, draw_axes, titled, write_drawing,
};

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// Above both panels.
    pub title: String,
    /// What the numbers below the panels count.
    pub axis: String,
    /// The numbers, from left to right; they stand at even distances.
    pub values: Vec<String>,
    /// The measures.
    pub panels: [Panel; 2],
}

/// A measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What it is, with its unit.
    pub name: String,
    /// One for each of [`Growth::values`], not below 0.
    pub values: Vec<f64>,
}

/// Draws `growth` to `path`: as PNG if its name ends with `.png`, else as SVG, of [`SIZE`]. The file is
/// replaced as a whole or not at all.
///
/// ```
/// use vgg_wgpu::train::growth::{Growth, Panel, write_growth};
///
/// let values = |name: &str, values: [f64; 2]| Panel { name: name.into(), values: values.into() };
/// let growth = Growth {
///     title: "an adapter".into(),
///     axis: "images in a batch".into(),
///     values: vec!["1".into(), "2".into()],
///     panels: [values("ms an image", [9.0, 7.5]), values("GFLOP/s", [20.0, 24.0])],
/// };
/// let file = std::env::temp_dir().join("growth-example.svg");
/// write_growth(&growth, &file)?;
/// assert!(std::fs::read_to_string(&file).is_ok_and(|svg| svg.contains("an adapter")));
/// # std::fs::remove_file(file).ok();
/// # Ok::<(), vgg_wgpu::train::plot::PlotError>(())
/// ```
///
/// # Errors
/// [`PlotError::Nothing`] without values, [`PlotError::Write`] if the file cannot be written, the
/// others if drawing fails.
pub fn write_growth(growth: &Growth, path: &Path) -> Result<(), PlotError> {
    let drawing = draw(growth)?;
    write_drawing(&drawing, path)
}

fn draw(growth: &Growth) -> Result<String, PlotError> {
    if growth.values.is_empty() {
        return Err(PlotError::Nothing);
    }
    let mut svg = String::new();
    {
        let area = titled(&mut svg, &growth.title)?;
        let (width, height) = (SIZE.0 as i32, SIZE.1 as i32);
        let halves = [0, width / 2]
            .map(|left| area.clone().shrink((left, 40), (width / 2, height - 40 - NOTE_HEIGHT)));
        for (panel, half) in growth.panels.iter().zip(&halves) {
            draw_panel(half, growth, panel)?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    growth: &Growth,
    panel: &Panel,
) -> Result<(), PlotError> {
    let points: Vec<_> = (0..growth.values.len()).map(|i| i as f64).zip(&panel.values).collect();
    let points = points.into_iter().filter(|(_, value)| value.is_finite());
    let points: Vec<(f64, f64)> = points.map(|(x, &y)| (x, y)).collect();
    // From 0: growth is seen best where nothing is cut off.
    let values = points.iter().map(|(_, y)| *y).chain([0.0]);
    let mut chart = ChartBuilder::on(area)
        .margin_left(10)
        .margin_right(16)
        .margin_top(16)
        .x_label_area_size(46)
        .y_label_area_size(72)
        .build_cartesian_2d(Axis::named(&growth.values), Axis::values(values, 1e-6))?;
    draw_axes(&mut chart, &growth.axis, &panel.name)?;
    chart.draw_series(LineSeries::new(points.clone(), TRAIN.stroke_width(LINE_WIDTH)))?;
    let marker = |&point: &(f64, f64)| Circle::new(point, MARKER, TRAIN.filled());
    chart.draw_series(points.iter().map(marker))?;
    Ok(())
}
