//! Winograd's minimal filtering in f64, by its matrices (Lavin and Gray, arXiv:1509.09308).

use super::conv::pixels;
use super::{Data, Tile};
use crate::shape::{FeatureMap, padded};

impl Tile {
    /// One tile of 3x3 sums in f64: `A^T (u * (B^T d B)) A`, summed over channels by the caller.
    fn matrices(self) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let rows = |text: &[&[f64]]| text.iter().map(|row| row.to_vec()).collect();
        match self {
            Self::Two => (
                rows(&[
                    &[1., 0., -1., 0.],
                    &[0., 1., 1., 0.],
                    &[0., -1., 1., 0.],
                    &[0., 1., 0., -1.],
                ]),
                rows(&[&[1., 1., 1., 0.], &[0., 1., -1., -1.]]),
            ),
            Self::Four => (
                rows(&[
                    &[4., 0., -5., 0., 1., 0.],
                    &[0., -4., -4., 1., 1., 0.],
                    &[0., 4., -4., -1., 1., 0.],
                    &[0., -2., -1., 2., 1., 0.],
                    &[0., 2., -1., -2., 1., 0.],
                    &[0., 4., 0., -5., 0., 1.],
                ]),
                rows(&[
                    &[1., 1., 1., 1., 1., 0.],
                    &[0., 1., -1., 2., -2., 0.],
                    &[0., 1., 1., 4., 4., 0.],
                    &[0., 1., -1., 8., -8., 1.],
                ]),
            ),
        }
    }

    /// The filter transform's matrix `G`.
    pub(super) fn filter_matrix(self) -> Vec<[f64; 3]> {
        match self {
            Self::Two => vec![[1., 0., 0.], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0., 0., 1.]],
            Self::Four => {
                let (a, b) = (1. / 6., 1. / 24.);
                vec![
                    [0.25, 0., 0.],
                    [-a, -a, -a],
                    [-a, a, -a],
                    [b, 2. * b, 4. * b],
                    [b, -2. * b, 4. * b],
                    [0., 0., 1.],
                ]
            }
        }
    }

    /// `B^T d B` of a tile of inputs, `d` by row and column.
    pub(super) fn transformed_input(self, d: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        both_sides(&self.matrices().0, d)
    }

    /// `A e A^T` of a tile of gradients, `e` by row and column.
    pub(super) fn transformed_gradient(self, e: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let (_, a) = self.matrices();
        let transposed = |point| a.iter().map(|row| row[point]).collect();
        both_sides(&(0..self.side()).map(transposed).collect::<Vec<_>>(), e)
    }

    /// The convolution of `x` with the transformed filters `u`, without bias: calls `put` with
    /// `(n, y, x, k)` and each sum.
    pub(super) fn convolve(
        self,
        maps: (FeatureMap, FeatureMap),
        images: u32,
        (x, u): (&Data, &Data),
        mut put: impl FnMut((usize, usize, usize, usize), f64),
    ) {
        let (source, target) = maps;
        let (side, m) = (self.side(), self.outputs());
        let (b, a) = self.matrices();
        let (stored_c, stored_k) = (padded(source.channels), padded(target.channels));
        let first_of_tile = |&(_, i, j, _): &(usize, usize, usize, usize)| i % m == 0 && j % m == 0;
        for (n, i, j, k) in pixels(images, target).filter(first_of_tile) {
            let mut sums = vec![0.0; side * side];
            for c in 0..source.channels {
                let value = |r: usize, s: usize| {
                    let (row, column) = (i + r, j + s);
                    let inside = row < source.rows() && column < source.columns();
                    let at = (row * source.columns() + column) * stored_c + c;
                    if inside { x[n * source.len() + at] } else { 0.0 }
                };
                let row =
                    |r: usize, q: usize| -> f64 { (0..side).map(|s| b[q][s] * value(r, s)).sum() };
                for q in 0..side {
                    let half: Vec<f64> = (0..side).map(|r| row(r, q)).collect();
                    for p in 0..side {
                        let v: f64 = b[p].iter().zip(&half).map(|(b, half)| b * half).sum();
                        let point = p * side + q;
                        sums[point] += v * u[(point * stored_c + c) * stored_k + k];
                    }
                }
            }
            for (y, z) in (0..m).flat_map(|y| (0..m).map(move |z| (y, z))) {
                if i + y < target.height && j + z < target.width {
                    let terms = (0..side * side).map(|e| a[y][e / side] * a[z][e % side] * sums[e]);
                    put((n, i + y, j + z, k), terms.sum());
                }
            }
        }
    }

    /// Transformed filters in `[-1, 1]`, those of padding zero.
    pub(super) fn any_filters(
        self,
        rows: usize,
        outputs: usize,
        random: &mut dyn FnMut() -> f64,
    ) -> Data {
        let value = |i: usize| {
            let (row, output) = (i / padded(outputs), i % padded(outputs));
            let is_bias = row == self.points() * padded(rows);
            let value = 2.0 * random() - 1.0;
            let used = is_bias || row % padded(rows) < rows;
            if used && output < outputs { value } else { 0.0 }
        };
        Data::F((0..self.filters(rows, outputs).len(1)).map(value).collect())
    }
}

/// `M d M^T`, row by row, for `M` by its rows.
fn both_sides(matrix: &[Vec<f64>], d: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let size = matrix[0].len();
    let row = |row: &[f64], r: usize| -> f64 { (0..size).map(|s| row[s] * d(r, s)).sum() };
    let point = |a: &[f64], b: &[f64]| -> f64 { (0..size).map(|r| a[r] * row(b, r)).sum() };
    matrix.iter().flat_map(|a| matrix.iter().map(|b| point(a, b))).collect()
}
