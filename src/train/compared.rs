//! The curves of two runs in one picture.

use std::path::Path;

use super::history::{EpochRecord, History};
use super::plot::{
    LEGEND_Y, PlotError, Series, TRAIN, VALIDATION, Value, draw_legend, draw_panels, printable,
    titled, write_drawing,
};

/// Longest name of a run in the legend, whose four entries share the picture's width.
const LONGEST_NAME: usize = 14;
const LEGEND_STEP: i32 = 275;

/// A run with its name.
#[derive(Debug, Clone, Copy)]
pub struct NamedHistory<'a> {
    /// What it is called in the legend, where it is cut if it is long.
    pub name: &'a str,
    /// Its epochs.
    pub history: &'a History,
}

/// Draws the losses (left) and accuracies (right) of two runs under `title` to `path`: as PNG if its
/// name ends with `.png`, else as SVG, of [`super::plot::SIZE`]. A colour is a run; lines are of
/// training, dashes of validation. The runs may have different numbers of epochs. The file is replaced
/// as a whole or not at all.
///
/// ```
/// use vgg_wgpu::train::history::History;
/// use vgg_wgpu::train::plot::PlotError;
/// use vgg_wgpu::train::{NamedHistory, write_comparison};
///
/// let empty = NamedHistory { name: "empty", history: &History::default() };
/// let drawn = write_comparison([empty, empty], "nothing", "a.svg".as_ref());
/// assert!(matches!(drawn, Err(PlotError::NoEpochs)));
/// ```
///
/// # Errors
/// [`PlotError::NoEpochs`] if either history is empty, [`PlotError::Write`] if the file cannot be
/// written, the others if drawing fails.
pub fn write_comparison(
    runs: [NamedHistory<'_>; 2],
    title: &str,
    path: &Path,
) -> Result<(), PlotError> {
    let drawing = draw(runs, title)?;
    write_drawing(&drawing, path)
}

fn draw(runs: [NamedHistory<'_>; 2], title: &str) -> Result<String, PlotError> {
    if runs.iter().any(|run| run.history.epochs.is_empty()) {
        return Err(PlotError::NoEpochs);
    }
    let loss = curves(runs, [|r| r.train_loss, |r| r.val_loss]);
    let accuracy = curves(runs, [|r| r.train_acc, |r| r.val_acc]);
    let mut svg = String::new();
    {
        let area = titled(&mut svg, title)?;
        let [left, _] = draw_panels(&area, [&loss, &accuracy])?;
        // One legend for both panels: names are too long for one on each.
        draw_legend(&area, &loss, (left, LEGEND_Y), LEGEND_STEP)?;
        area.present()?;
    }
    Ok(svg)
}

/// Training and validation of the first run, then of the second.
fn curves<'a>(runs: [NamedHistory<'a>; 2], [train, validation]: [Value; 2]) -> Vec<Series<'a>> {
    let of_run = |(NamedHistory { name, history }, color): (NamedHistory<'a>, _)| {
        let epochs: &'a [EpochRecord] = &history.epochs;
        let curve = |what: &str, dashed, value| {
            let name = format!("{}, {what}", short(name));
            Series { name, color, dashed, epochs, value }
        };
        [curve("train", false, train), curve("validation", true, validation)]
    };
    runs.into_iter().zip([TRAIN, VALIDATION]).flat_map(of_run).collect()
}

/// A name as the legend has room for it.
fn short(name: &str) -> String {
    let name = printable(name);
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name,
    }
}
