//! Between the layouts of the kernels and those of PyTorch.

use crate::shape::{FeatureMap, Layout, PANEL, TAPS, padded, panel_rows};

/// Outputs of a panel whose rows are walked together: one by one each line of the panel would be fetched for four
/// bytes, and all of them at once drive each other out of the cache where rows are a power of two apart.
const TOGETHER: usize = 8;

/// What the columns of a dense layer's weights stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// A feature map, flattened: stored as `(h, w, padded c)`, in PyTorch as `(c, h, w)`.
    Flattened(FeatureMap),
    /// The outputs of the dense layer before, stored with zeros up to a multiple of four.
    Features(usize),
}

impl Columns {
    /// Inputs of the layer as PyTorch counts them.
    pub fn features(&self) -> usize {
        match *self {
            Self::Flattened(map) => map.height * map.width * map.channels,
            Self::Features(count) => count,
        }
    }

    /// Inputs stored.
    pub fn stored(&self) -> usize {
        match *self {
            Self::Flattened(map) => map.flattened(),
            Self::Features(count) => padded(count),
        }
    }

    /// The stored place of each of PyTorch's columns, in their order.
    fn places(&self) -> Vec<usize> {
        match *self {
            Self::Flattened(FeatureMap { height, width, channels, .. }) => {
                let pixels = height * width;
                let place = |i| (i % pixels) * padded(channels) + i / pixels;
                (0..channels * pixels).map(place).collect()
            }
            Self::Features(count) => (0..count).collect(),
        }
    }
}

/// Stored filters of `c` inputs and `k` outputs ([`Layout::Filter`]) as PyTorch's weight
/// `(k, c, 3, 3)` and bias `(k)`.
///
/// # Panics
/// If `stored` has another length than the layout.
pub fn filter_to_torch(stored: &[f32], c: usize, k: usize) -> (Vec<f32>, Vec<f32>) {
    assert_eq!(stored.len(), Layout::Filter { c, k }.len(1), "the length of the filters");
    let mut weight = Vec::with_capacity(k * c * TAPS);
    for output in 0..k {
        for input in 0..c {
            let row = |tap| (tap * padded(c) + input) * padded(k);
            weight.extend((0..TAPS).map(|tap| stored[row(tap) + output]));
        }
    }
    let bias = TAPS * padded(c) * padded(k);
    (weight, stored[bias..bias + k].to_vec())
}

/// The inverse of [`filter_to_torch`]; paddings are zero.
///
/// # Panics
/// If `weight` or `bias` have other lengths than `(k, c, 3, 3)` and `(k)`.
pub fn filter_from_torch(weight: &[f32], bias: &[f32], c: usize, k: usize) -> Vec<f32> {
    assert_eq!((weight.len(), bias.len()), (k * c * TAPS, k), "the lengths of weight and bias");
    let mut stored = vec![0.0; Layout::Filter { c, k }.len(1)];
    for (i, &value) in weight.iter().enumerate() {
        let (output, input, tap) = (i / TAPS / c, i / TAPS % c, i % TAPS);
        stored[(tap * padded(c) + input) * padded(k) + output] = value;
    }
    let first = TAPS * padded(c) * padded(k);
    stored[first..first + k].copy_from_slice(bias);
    stored
}

/// Stored panels of `outputs` outputs ([`Layout::Panels`]) as PyTorch's weight
/// `(outputs, features)` and bias `(outputs)`.
///
/// # Panics
/// If `stored` has another length than the layout.
pub fn dense_to_torch(stored: &[f32], columns: Columns, outputs: usize) -> (Vec<f32>, Vec<f32>) {
    let inputs = columns.stored();
    assert_eq!(stored.len(), Layout::Panels { inputs, outputs }.len(1), "the length of the panels");
    let places = columns.places();
    let (mut weight, mut bias) = (vec![0.0; outputs * places.len()], vec![0.0; outputs]);
    let panels = stored.chunks_exact(panel_rows(inputs) * PANEL);
    let rows = weight.chunks_mut(PANEL * places.len()).zip(bias.chunks_mut(PANEL));
    for (panel, (weight, bias)) in panels.zip(rows) {
        let together = weight.chunks_mut(TOGETHER * places.len());
        for (first, rows) in (0..).step_by(TOGETHER).zip(together) {
            for (column, place) in places.iter().enumerate() {
                let stored = &panel[place * PANEL + first..][..TOGETHER];
                for (value, row) in stored.iter().zip(rows.chunks_exact_mut(places.len())) {
                    row[column] = *value;
                }
            }
        }
        bias.copy_from_slice(&panel[inputs * PANEL..][..bias.len()]);
    }
    (weight, bias)
}

/// The inverse of [`dense_to_torch`], to `stored`, whose memory is used again; paddings are zero.
///
/// # Panics
/// If `weight` has another length than `(bias.len(), features)`.
pub fn dense_from_torch(weight: &[f32], bias: &[f32], columns: Columns, stored: &mut Vec<f32>) {
    let (inputs, outputs) = (columns.stored(), bias.len());
    let places = columns.places();
    assert_eq!(weight.len(), outputs * places.len(), "the length of the weight");
    stored.clear();
    stored.resize(Layout::Panels { inputs, outputs }.len(1), 0.0);
    let panels = stored.chunks_exact_mut(panel_rows(inputs) * PANEL);
    let rows = weight.chunks(PANEL * places.len()).zip(bias.chunks(PANEL));
    for (panel, (weight, bias)) in panels.zip(rows) {
        for (first, rows) in (0..).step_by(TOGETHER).zip(weight.chunks(TOGETHER * places.len())) {
            for (column, place) in places.iter().enumerate() {
                let stored = &mut panel[place * PANEL + first..][..TOGETHER];
                for (value, row) in stored.iter_mut().zip(rows.chunks_exact(places.len())) {
                    *value = row[column];
                }
            }
        }
        panel[inputs * PANEL..][..bias.len()].copy_from_slice(bias);
    }
}

/// Stored scale and shift of a batch normalisation of `c` channels ([`Layout::Norm`]) as PyTorch's
/// weight and bias.
///
/// # Panics
/// If `stored` has another length than the layout.
pub fn norm_to_torch(stored: &[f32], c: usize) -> (Vec<f32>, Vec<f32>) {
    assert_eq!(stored.len(), Layout::Norm { c }.len(1), "the length of scale and shift");
    (stored[..c].to_vec(), stored[padded(c)..][..c].to_vec())
}

/// Rows of one value a channel, each padded with zeros to a multiple of four: the inverse of
/// [`norm_to_torch`] for two rows.
pub fn norm_from_torch(rows: &[&[f32]]) -> Vec<f32> {
    let mut stored = Vec::new();
    for row in rows {
        stored.extend_from_slice(row);
        stored.resize(stored.len().next_multiple_of(4), 0.0);
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Different numbers, none of them zero.
    fn numbers(count: usize) -> Vec<f32> {
        (1..=count).map(|i| i as f32).collect()
    }

    #[test]
    fn filters_go_there_and_back() {
        for (c, k) in [(1, 1), (3, 5), (4, 8), (7, 2)] {
            let (weight, bias) = (numbers(k * c * TAPS), numbers(k));
            let stored = filter_from_torch(&weight, &bias, c, k);
            assert_eq!(filter_to_torch(&stored, c, k), (weight, bias), "{c} to {k}");
            let used = stored.iter().filter(|value| **value != 0.0).count();
            assert_eq!(used, k * c * TAPS + k, "{c} to {k}");
            let layout = Layout::Filter { c, k };
            assert!((0..stored.len()).all(|i| (stored[i] == 0.0) == layout.is_padding(i)));
        }
    }

    #[test]
    fn scale_and_shift_go_there_and_back() {
        for c in [1, 4, 5, 31] {
            let (weight, bias) = (numbers(c), numbers(c).iter().map(|x| -x).collect::<Vec<_>>());
            let stored = norm_from_torch(&[&weight, &bias]);
            assert_eq!(norm_to_torch(&stored, c), (weight, bias), "{c}");
            let layout = Layout::Norm { c };
            assert!((0..stored.len()).all(|i| (stored[i] == 0.0) == layout.is_padding(i)));
        }
    }

    #[test]
    fn a_tap_lands_in_its_row() {
        // weight[k = 1, c = 2, r = 2, s = 0] of (k, c) = (2, 3): tap 6.
        let weight = numbers(2 * 3 * TAPS);
        let stored = filter_from_torch(&weight, &[0.0; 2], 3, 2);
        assert_eq!(stored[(6 * 4 + 2) * 4 + 1], weight[(3 + 2) * TAPS + 6]);
    }

    #[test]
    fn dense_weights_go_there_and_back() {
        let maps = [FeatureMap::new(2, 3, 5), FeatureMap::new(1, 1, 4)].map(Columns::Flattened);
        let mut stored = Vec::new();
        for columns in maps.into_iter().chain([1, 6, 8].map(Columns::Features)) {
            for outputs in [70, 1, 32, 33] {
                let (weight, bias) = (numbers(outputs * columns.features()), numbers(outputs));
                dense_from_torch(&weight, &bias, columns, &mut stored);
                let back = dense_to_torch(&stored, columns, outputs);
                assert_eq!(back, (weight, bias), "{columns:?} to {outputs}");
                // Nothing is left of what was there before.
                let layout = Layout::Panels { inputs: columns.stored(), outputs };
                assert!((0..stored.len()).all(|i| !layout.is_padding(i) || stored[i] == 0.0));
            }
        }
    }

    #[test]
    fn flattened_columns_are_permuted() {
        // Channel 3 of pixel (1, 2) of a (2, 3, 5) map.
        let map = FeatureMap::new(2, 3, 5);
        let weight = numbers(30);
        let mut stored = Vec::new();
        dense_from_torch(&weight, &[0.0], Columns::Flattened(map), &mut stored);
        let place = (3 + 2) * 8 + 3;
        assert_eq!(stored[place * PANEL], weight[(3 * 2 + 1) * 3 + 2]);
    }
}
