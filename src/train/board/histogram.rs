//! Histograms with TensorFlow's buckets (tensorflow/core/lib/histogram/histogram.cc).

use std::sync::LazyLock;

use rayon::prelude::*;

use super::events::Histogram;

/// The right ends of all buckets, rising: 0, and to both sides 1e-12 and what grows from it by 10 % up to
/// 1e20, and the largest number.
static LIMITS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let grown = std::iter::successors(Some(1e-12), |limit| Some(limit * 1.1));
    let mut positive: Vec<f64> = grown.take_while(|&limit| limit < 1e20).collect();
    positive.push(f64::MAX);
    let negative = positive.iter().rev().map(|limit| -limit);
    negative.chain([0.0]).chain(positive.iter().copied()).collect()
});

/// Values that are counted on one thread.
const CHUNK: usize = 1 << 18;

/// What is known of values.
struct Counts {
    /// Values in each bucket: at least the limit before and less than its own.
    buckets: Vec<u64>,
    min: f64,
    max: f64,
    sum: f64,
    sum_squares: f64,
}

impl Counts {
    fn none() -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { buckets: vec![0; LIMITS.len()], min, max, sum: 0.0, sum_squares: 0.0 }
    }

    fn of(values: &[f32]) -> Self {
        let mut counts = Self::none();
        for value in values.iter().map(|&value| f64::from(value)).filter(|v| v.is_finite()) {
            let place = LIMITS.partition_point(|&limit| limit <= value);
            counts.buckets[place.min(LIMITS.len() - 1)] += 1;
            counts.min = counts.min.min(value);
            counts.max = counts.max.max(value);
            counts.sum += value;
            counts.sum_squares += value * value;
        }
        counts
    }

    fn and(mut self, other: &Self) -> Self {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(all, more)| *all += more);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.sum_squares += other.sum_squares;
        self
    }
}

/// The histogram of values; those that are no numbers are left out. Neighbouring empty buckets are one,
/// and none is before the first that is filled or after the last: readers take the least and the largest
/// value for their ends.
pub fn histogram(values: &[f32]) -> Histogram {
    // Collected, so that the sums are added in one order.
    let parts: Vec<Counts> = values.par_chunks(CHUNK).map(Counts::of).collect();
    let counts = parts.iter().fold(Counts::none(), Counts::and);
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    let filled = |count: &u64| *count > 0;
    let first = counts.buckets.iter().position(filled).unwrap_or(LIMITS.len() - 1);
    let last = counts.buckets.iter().rposition(filled).unwrap_or(first);
    for (&limit, &count) in LIMITS[first..=last].iter().zip(&counts.buckets[first..=last]) {
        match buckets.last_mut() {
            Some(last) if last.1 == 0 && count == 0 => last.0 = limit,
            _ => buckets.push((limit, count)),
        }
    }
    let num: u64 = counts.buckets.iter().sum();
    let (min, max) = if num > 0 { (counts.min, counts.max) } else { (0.0, 0.0) };
    Histogram {
        min,
        max,
        num: num as f64,
        sum: counts.sum,
        sum_squares: counts.sum_squares,
        bucket_limit: buckets.iter().map(|&(limit, _)| limit).collect(),
        bucket: buckets.iter().map(|&(_, count)| count as f64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_tensorflows() {
        // 774 powers of 1.1 lie between 1e-12 and 1e20: ln(1e32) / ln(1.1) = 773.1.
        assert_eq!(LIMITS.len(), 2 * (774 + 1) + 1);
        assert!(LIMITS.is_sorted_by(|a, b| a < b));
        assert_eq!(LIMITS[775], 0.0);
        assert_eq!((LIMITS[774], LIMITS[776], LIMITS[777]), (-1e-12, 1e-12, 1e-12 * 1.1));
    }

    #[test]
    fn every_value_lies_in_its_bucket() {
        let values = [0.0, 1.0, -1.0, 1e-30, 3e38, -3e38, 1.0, f32::NAN, f32::INFINITY];
        let found = histogram(&values);
        let largest = f64::from(3e38_f32);
        assert_eq!((found.min, found.max, found.num), (-largest, largest, 7.0));
        assert_eq!(found.sum, 1.0);
        assert_eq!(found.bucket.iter().sum::<f64>(), 7.0);
        let mut left = f64::NEG_INFINITY;
        for (&limit, &count) in found.bucket_limit.iter().zip(&found.bucket) {
            let inside = |&&value: &&f32| (left..limit).contains(&f64::from(value));
            assert_eq!(values.iter().filter(inside).count(), count as usize, "up to {limit}");
            left = limit;
        }
        assert!(found.bucket.windows(2).all(|pair| pair != [0.0, 0.0]));
    }

    #[test]
    fn many_values_are_counted_as_few_are() {
        let values: Vec<f32> =
            (0..3 * CHUNK + 7).map(|i| (i % 1000) as f32 / 500.0 - 1.0).collect();
        let (all, part) = (histogram(&values), Counts::of(&values));
        assert_eq!(all.num, values.len() as f64);
        assert_eq!((all.min, all.max), (part.min, part.max));
        assert!((all.sum_squares - part.sum_squares).abs() < 1e-6 * part.sum_squares);
        let full = part.buckets.iter().filter(|&&count| count > 0).map(|&count| count as f64);
        assert!(full.eq(all.bucket.iter().copied().filter(|&count| count > 0.0)));
    }

    #[test]
    fn without_values_there_is_one_empty_bucket() {
        let none = histogram(&[f32::NAN]);
        assert_eq!((none.num, none.min, none.max), (0.0, 0.0, 0.0));
        assert_eq!((none.bucket_limit, none.bucket), (vec![f64::MAX], vec![0.0]));
    }
}
