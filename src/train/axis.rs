//! The range and the ticks of a plot's axis.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// Most ticks on an axis: more run into each other on a panel half the picture's width.
const MOST_TICKS: f64 = 12.0;
/// Most steps that a value axis is cut into; it has at least four.
const VALUE_STEPS: f64 = 9.0;
/// Free space beyond the lowest and the highest value, as a fraction of their distance.
const PADDING: f64 = 0.06;
/// A value axis spans at least this fraction of its largest value, so that a constant series has
/// an axis and the noise of a flat one does not fill the panel.
const LEAST_SPAN: f64 = 0.05;
/// Labels of values from here on are written with an exponent, ...
const LONG_LABEL: f64 = 1e5;
/// ... and so are those with more decimals than this.
const MOST_DECIMALS: i32 = 5;

/// An axis from `low` to `high`, which differ, with labelled ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<f64>,
    labels: Labels,
}

/// How an axis writes its labels.
#[derive(Debug, Clone, PartialEq)]
enum Labels {
    /// With this number of decimals.
    Decimals(usize),
    /// As in 2.5e8.
    Exponent,
    /// As the power of ten.
    Power,
    /// As given, from 0 on.
    Names(Vec<String>),
}

impl Axis {
    /// An axis of whole epochs.
    pub fn epochs(epochs: impl Iterator<Item = u32> + Clone) -> Self {
        let first = f64::from(epochs.clone().min().unwrap_or(1));
        let last = f64::from(epochs.max().unwrap_or(1));
        let step = nice(((last - first) / MOST_TICKS).max(1.0), &[1.0, 2.0, 5.0, 10.0]);
        let padding = (0.03 * (last - first)).max(0.15);
        let mut axis = Self::new(first - padding, last + padding, step, Labels::Decimals(0));
        axis.ticks.retain(|tick| (first..=last).contains(tick));
        axis
    }

    /// An axis of names, the first at 0 and the next ones at 1, 2, ...
    pub fn named(names: &[String]) -> Self {
        let last = names.len().saturating_sub(1) as f64;
        let ticks = (0..names.len()).map(|i| i as f64).collect();
        Self { low: -0.5, high: last + 0.5, ticks, labels: Labels::Names(names.to_vec()) }
    }

    /// An axis of powers of ten, from one decimal logarithm to another.
    pub fn decades(low: f64, high: f64) -> Self {
        let padding = 0.02 * (high - low).max(1e-3);
        let every = ((high - low) / MOST_TICKS).ceil().max(1.0);
        let mut axis = Self::new(low - padding, high + padding, every, Labels::Power);
        if axis.ticks.is_empty() {
            axis.ticks = vec![low, high];
        }
        axis
    }

    /// An axis for `values`, which are finite; from 0 to 1 if there are none. It spans
    /// `least_span` or more, in the unit of the values.
    pub fn values(values: impl Iterator<Item = f64>, least_span: f64) -> Self {
        let ends = values.fold(None, |ends: Option<(f64, f64)>, value| {
            Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        });
        let (low, high) = ends.unwrap_or((0.0, 1.0));
        let least = (LEAST_SPAN * low.abs().max(high.abs())).max(least_span);
        let widen = ((least - (high - low)) / 2.0).max(0.0) + PADDING * (high - low).max(least);
        // Losses and accuracies are never below zero, so nor is their axis.
        let bottom = if low >= 0.0 { (low - widen).max(0.0) } else { low - widen };
        let top = high + widen;
        let step = nice((top - bottom) / VALUE_STEPS, &[1.0, 2.0, 2.5, 5.0, 10.0]);
        // Enough decimals for the step, such as two for 0.25.
        let decimals = (0..=MOST_DECIMALS).find(|&decimals| {
            let scaled = step * 10f64.powi(decimals);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        });
        let labels = match decimals.and_then(|decimals| usize::try_from(decimals).ok()) {
            Some(decimals) if bottom.abs().max(top.abs()) < LONG_LABEL => {
                Labels::Decimals(decimals)
            }
            _ => Labels::Exponent,
        };
        Self::new(bottom, top, step, labels)
    }

    fn new(low: f64, high: f64, step: f64, labels: Labels) -> Self {
        let first = (low / step).ceil();
        let ticks = (0..20).map(|i| (first + f64::from(i)) * step).take_while(|&t| t <= high);
        Self { low, high, ticks: ticks.collect(), labels }
    }

    fn label(&self, tick: f64) -> String {
        match &self.labels {
            Labels::Names(names) => names.get(tick.round() as usize).cloned().unwrap_or_default(),
            Labels::Power if tick.fract() == 0.0 => format!("1e{tick:.0}"),
            Labels::Power => format!("{:.1e}", 10f64.powf(tick)),
            Labels::Exponent => {
                // Rounded first: a tick is a multiple of its step, and may be off by one bit.
                let digits = format!("{tick:.3e}");
                digits.parse::<f64>().map_or(digits, |rounded| format!("{rounded:e}"))
            }
            Labels::Decimals(decimals) => format!("{tick:.0$}", *decimals),
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let part = (value - self.low) / (self.high - self.low);
        // A pixel within the picture fits; `as` saturates for values that no plot has.
        start + (part * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Light points are the grid between the labels, of which there is none.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

/// The smallest of `factors` times a power of ten that is not below `step`. The factors rise from
/// 1 to 10.
fn nice(step: f64, factors: &[f64]) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = factors.iter().find(|&&factor| factor * power >= step * (1.0 - 1e-9));
    factor.copied().unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|&tick| axis.label(tick)).collect()
    }

    #[test]
    fn epochs_are_whole_and_few() {
        assert_eq!(labels(&Axis::epochs(1..=1)), ["1"]);
        assert_eq!(labels(&Axis::epochs(1..=4)), ["1", "2", "3", "4"]);
        assert_eq!(labels(&Axis::epochs(1..=60)).first().map(String::as_str), Some("5"));
        for last in 1..=500 {
            let axis = Axis::epochs(1..=last);
            assert!((1..=13).contains(&axis.ticks.len()), "{last}: {:?}", axis.ticks);
            assert!(axis.ticks.iter().all(|tick| tick.fract() == 0.0), "{last}: {:?}", axis.ticks);
        }
    }

    #[test]
    fn decades_are_powers_of_ten() {
        assert_eq!(labels(&Axis::decades(-3.0, 0.0)), ["1e-3", "1e-2", "1e-1", "1e0"]);
        assert!(labels(&Axis::decades(-30.0, 30.0)).len() <= 13);
        // Where there is none within, the ends are told.
        assert_eq!(
            labels(&Axis::decades(0.02_f64.log10(), 0.09_f64.log10())),
            ["2.0e-2", "9.0e-2"]
        );
    }

    #[test]
    fn names_stand_at_even_distances() {
        let axis = Axis::named(&["1".to_owned(), "256".to_owned()]);
        assert_eq!(
            (labels(&axis), axis.low, axis.high),
            (vec!["1".into(), "256".into()], -0.5, 1.5)
        );
    }

    #[test]
    fn far_epochs_have_whole_labels() {
        assert_eq!(labels(&Axis::epochs([150_000, 150_001].into_iter())), ["150000", "150001"]);
    }

    #[test]
    fn values_have_distinct_labels() {
        let ranges = [(0.2, 2.3), (0.0, 0.0), (2.2, 2.2), (0.0, 1.0), (1e-9, 1e-8)];
        let far = [(1.0, 1e12), (3e11, 3e11), (-2.0, -1.0), (0.9991, 0.9999), (0.0, 3e5)];
        for (low, high) in ranges.into_iter().chain(far) {
            let axis = Axis::values([low, high].into_iter(), 1e-6);
            assert!(axis.low < axis.high, "{axis:?}");
            assert!(axis.low <= low && high <= axis.high, "{axis:?}");
            assert!((4..=10).contains(&axis.ticks.len()), "{axis:?}");
            let mut labels = labels(&axis);
            assert!(labels.iter().all(|label| label.len() <= 8), "{labels:?}");
            labels.dedup();
            assert_eq!(labels.len(), axis.ticks.len(), "{axis:?}");
        }
    }

    #[test]
    fn quarter_steps_have_two_decimals() {
        let axis = Axis::values([0.5, 2.2].into_iter(), 0.0);
        assert_eq!(labels(&axis), ["0.50", "0.75", "1.00", "1.25", "1.50", "1.75", "2.00", "2.25"]);
    }
}
