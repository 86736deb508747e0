//! Which learning rates suit: the loss under a rate that rises from step to step (Smith, "Cyclical
//! Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3).

use std::path::Path;

use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::fit::{FitOptions, Next};
use super::plot::{
    LINE_WIDTH, PlotError, SIZE, TRAIN, VALIDATION, draw_axes, text, titled, write_drawing,
};
use super::trainer::{Seen, Swept, Watch, sweep};
use super::{TrainError, Trainer};
use crate::graph::Batch;

/// How much of the smoothed loss stays from step to step.
const SMOOTHING: f64 = 0.9;
/// A smoothed loss of so many times the least one ends a sweep.
const DIVERGED: f64 = 4.0;
/// A smoothed loss that fell by no more than this share has not fallen.
const LEAST_FALL: f64 = 0.02;
/// Losses of so many times the first are not drawn.
const HIGHEST: f64 = 1.5;

/// A sweep over learning rates, from step to step in even proportions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LrSweep {
    /// The first learning rate, above 0.
    pub from: f64,
    /// The last one, above the first.
    pub to: f64,
    /// Steps, at least 2; epochs follow one another until all are done.
    pub steps: u32,
}

/// A step of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct LrPoint {
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// The mean loss of its batch before the step, in nats.
    pub loss: f64,
    /// The exponentially weighted mean of the losses so far, the last weighing a tenth.
    pub smooth: f64,
}

impl LrSweep {
    /// The learning rate of a step, from 0.
    fn rate(&self, step: u32) -> f64 {
        let share = f64::from(step) / f64::from(self.steps.max(2) - 1);
        self.from * (self.to / self.from).powf(share)
    }
}

impl Trainer {
    /// Trains with a learning rate that rises from step to step, until the last one or until the smoothed
    /// loss is four times its least. `seen` gets each point as it is measured. What `options` say of
    /// epochs and of the learning rate has no part in it. The network is not worth much afterwards.
    ///
    /// # Errors
    /// [`TrainError::EmptyBatch`] of batches without images, [`TrainError::BatchTooLarge`], or
    /// [`TrainError::Graph`] if the device fails.
    pub fn find_learning_rate(
        &mut self,
        options: &FitOptions,
        rates: &LrSweep,
        seen: impl FnMut(&LrPoint),
    ) -> Result<Vec<LrPoint>, TrainError> {
        self.check_batch(options)?;
        let mut watch = Rising { rates, points: Vec::new(), submitted: 0, ended: false, seen };
        for epoch in 1.. {
            if options.shuffle {
                self.train.shuffle(self.network.gpu(), options.seed, epoch)?;
            }
            let first = watch.submitted;
            let numbered = |place: u32| {
                let number = first.wrapping_add(place);
                Batch {
                    number,
                    seed: options.seed as u32,
                    learning_rate: rates.rate(number) as f32,
                    label_smoothing: options.label_smoothing,
                    ..Batch::default()
                }
            };
            let from = (Swept::default(), &numbered as &dyn Fn(u32) -> Batch);
            sweep(&self.network, &self.train, options.batch, from, &mut watch)?;
            if watch.is_over() {
                break;
            }
        }
        Ok(watch.points)
    }
}

/// Takes down the losses of a sweep.
struct Rising<'a, F> {
    rates: &'a LrSweep,
    points: Vec<LrPoint>,
    /// Steps that the device was given.
    submitted: u32,
    /// True if the loss has gone out of hand.
    ended: bool,
    seen: F,
}

impl<F> Rising<'_, F> {
    fn is_over(&self) -> bool {
        self.ended || self.submitted >= self.rates.steps
    }
}

impl<F: FnMut(&LrPoint)> Watch for Rising<'_, F> {
    fn seen(&mut self, seen: Seen) -> Result<(), TrainError> {
        let step = self.points.len() as u32;
        if self.ended || step >= self.rates.steps {
            return Ok(());
        }
        let loss = seen.batch.loss();
        let before = self.points.iter().map(|point| point.loss);
        let smooth = smoothed(before.chain([loss]));
        let least = self.points.iter().map(|point| point.smooth).fold(f64::INFINITY, f64::min);
        if !smooth.is_finite() || smooth > DIVERGED * least {
            self.ended = true;
            return Ok(());
        }
        let point = LrPoint { learning_rate: self.rates.rate(step), loss, smooth };
        (self.seen)(&point);
        self.points.push(point);
        Ok(())
    }

    fn next(&mut self) -> Next {
        self.submitted += 1;
        if self.is_over() { Next::Stop } else { Next::GoOn }
    }
}

/// The exponentially weighted mean of losses, the last of which weighs most.
fn smoothed(losses: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut weight) = (0.0, 0.0);
    for loss in losses {
        sum = SMOOTHING * sum + (1.0 - SMOOTHING) * loss;
        weight = SMOOTHING * weight + (1.0 - SMOOTHING);
    }
    sum / weight
}

/// The learning rate to begin with: where the smoothed loss falls fastest over the logarithm of the rate,
/// by the slope of a line through a fifth of the points about it. `None` if it does not fall.
pub fn suggest_learning_rate(points: &[LrPoint]) -> Option<f64> {
    let least = points.iter().min_by(|a, b| a.smooth.total_cmp(&b.smooth))?;
    let (first, half) = (points.first()?, (points.len() / 10).max(2));
    if least.smooth > (1.0 - LEAST_FALL) * first.smooth || points.len() < 2 * half + 1 {
        return None;
    }
    let slope_at = |&i: &usize| slope(&points[i - half..=i + half]);
    let steepest = (half..points.len() - half)
        .filter(|&i| points[i].learning_rate <= least.learning_rate)
        .min_by(|a, b| slope_at(a).total_cmp(&slope_at(b)))?;
    (slope_at(&steepest) < 0.0).then(|| points[steepest].learning_rate)
}

/// The slope of the line nearest to the smoothed losses over the logarithms of the rates.
fn slope(points: &[LrPoint]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&LrPoint) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.learning_rate.ln()), mean(|point| point.smooth));
    let (mut products, mut squares) = (0.0, 0.0);
    for point in points {
        let distance = point.learning_rate.ln() - x;
        products += distance * (point.smooth - y);
        squares += distance * distance;
    }
    products / squares
}

/// Draws the losses of a sweep over their learning rates, with the one suggested, to `path`: as PNG if
/// its name ends with `.png`, else as SVG, of [`SIZE`]. The file is replaced as a whole or not at all.
///
/// # Errors
/// [`PlotError::Nothing`] of fewer than two points, [`PlotError::Write`] if the file cannot be written,
/// the others if drawing fails.
pub fn write_learning_rates(
    points: &[LrPoint],
    suggestion: Option<f64>,
    title: &str,
    path: &Path,
) -> Result<(), PlotError> {
    let drawing = draw(points, suggestion, title)?;
    write_drawing(&drawing, path)
}

fn draw(points: &[LrPoint], suggestion: Option<f64>, title: &str) -> Result<String, PlotError> {
    let [first, .., last] = points else { return Err(PlotError::Nothing) };
    let highest = HIGHEST * first.smooth;
    let drawn = |value: f64| value <= highest;
    let of = |value: fn(&LrPoint) -> f64| {
        let places = points.iter().map(|point| (point.learning_rate.log10(), value(point)));
        places.filter(|(_, loss)| drawn(*loss)).collect::<Vec<_>>()
    };
    let (losses, smooth) = (of(|point| point.loss), of(|point| point.smooth));
    let values = losses.iter().chain(&smooth).map(|(_, loss)| *loss);
    let rates = Axis::decades(first.learning_rate.log10(), last.learning_rate.log10());
    let axis = Axis::values(values, 1e-6);
    let (bottom, top) = (axis.low, axis.high);
    let mut svg = String::new();
    {
        let area = titled(&mut svg, title)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .margin_top(44)
            .x_label_area_size(46)
            .y_label_area_size(72)
            .build_cartesian_2d(rates, axis)?;
        draw_axes(&mut chart, "learning rate", "loss: of each step (dots), smoothed (line)")?;
        let dot = |&point: &(f64, f64)| Circle::new(point, 2, TRAIN.mix(0.45).filled());
        chart.draw_series(losses.iter().map(dot))?;
        chart.draw_series(LineSeries::new(smooth, TRAIN.stroke_width(LINE_WIDTH)))?;
        if let Some(rate) = suggestion {
            let ends = [bottom, top].map(|loss| chart.backend_coord(&(rate.log10(), loss)));
            let line = DashedPathElement::new(ends, 9, 5, VALIDATION.stroke_width(LINE_WIDTH));
            area.draw(&line)?;
            let label = format!("falls fastest: {rate:.1e}");
            let (x, y) = ends[1];
            let right = x > SIZE.0 as i32 * 3 / 4;
            let (side, x) = if right { (HPos::Right, x - 8) } else { (HPos::Left, x + 8) };
            area.draw_text(&label, &text(17, side), (x, y + 12))?;
        }
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(losses: impl Iterator<Item = f64>) -> Vec<LrPoint> {
        let rates = LrSweep { from: 1e-6, to: 1.0, steps: 61 };
        let point =
            |(step, smooth)| LrPoint { learning_rate: rates.rate(step), loss: smooth, smooth };
        (0..61).zip(losses).map(point).collect()
    }

    #[test]
    fn rates_rise_in_even_proportions() {
        let rates = LrSweep { from: 1e-4, to: 1.0, steps: 5 };
        let found: Vec<_> = (0..5).map(|step| rates.rate(step)).collect();
        for (found, wanted) in found.iter().zip([1e-4, 1e-3, 1e-2, 1e-1, 1.0]) {
            assert!((found / wanted - 1.0).abs() < 1e-9, "{found}");
        }
    }

    #[test]
    fn a_mean_of_losses_leans_to_the_last() {
        assert!((smoothed([3.0].into_iter()) - 3.0).abs() < 1e-12);
        assert!((smoothed([2.0; 9].into_iter()) - 2.0).abs() < 1e-12);
        // (0.9 * 0.1 * 1 + 0.1 * 2) / 0.19
        assert!((smoothed([1.0, 2.0].into_iter()) - 0.29 / 0.19).abs() < 1e-12);
    }

    #[test]
    fn the_suggestion_is_where_the_loss_falls_fastest() {
        // A logistic fall about 1e-3, in the middle, and a rise at the end.
        let fall = |i: i32| 2.3 / (1.0 + (f64::from(i - 30) / 4.0).exp()) + 0.2;
        let curve = (0..61).map(|i| if i < 50 { fall(i) } else { f64::from(i - 40) });
        let rate = suggest_learning_rate(&points(curve)).unwrap();
        assert!((5e-4..2e-3).contains(&rate), "{rate}");
    }

    #[test]
    fn nothing_is_suggested_where_nothing_falls() {
        assert_eq!(suggest_learning_rate(&points((0..61).map(|_| 2.3))), None);
        assert_eq!(suggest_learning_rate(&points((0..61).map(|i| 2.3 + f64::from(i)))), None);
        assert_eq!(suggest_learning_rate(&[]), None);
        // Too few to tell.
        assert_eq!(suggest_learning_rate(&points([2.3, 1.0].into_iter())), None);
    }

    #[test]
    fn the_picture_tells_rates_and_suggestion() {
        let curve = points((0..61).map(|i| if i < 40 { 2.3 - 0.05 * f64::from(i) } else { 90.0 }));
        let svg = draw(&curve, Some(3.2e-4), "a <network>").unwrap();
        for part in ["learning rate", "falls fastest: 3.2e-4", "1e-3", "a &lt;network&gt;"] {
            assert!(svg.contains(part), "no {part} in {svg}");
        }
        assert!(matches!(draw(&curve[..1], None, ""), Err(PlotError::Nothing)));
    }
}
