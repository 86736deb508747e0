//! From bytes of a file to the values of a tensor.

use std::borrow::Cow;

use half::{bf16, f16};
use safetensors::tensor::Dtype;

use super::Values;

/// A tensor's place in a row of numbers: value `(i, j, ...)` is number
/// `offset + i * strides[0] + j * strides[1] + ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// Product of the shape.
    len: usize,
}

impl View {
    /// A view of `count` numbers. `None` if it reaches past them, if strides are missing, or if its
    /// length overflows.
    pub fn new(
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
        count: usize,
    ) -> Option<Self> {
        let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size))?;
        if strides.len() != shape.len() {
            return None;
        }
        if len > 0 {
            let last = shape.iter().zip(&strides).try_fold(offset, |at, (&size, &stride)| {
                at.checked_add(stride.checked_mul(size - 1)?)
            })?;
            if last >= count {
                return None;
            }
        }
        Some(Self { offset, shape, strides, len })
    }

    /// All of a row-major tensor's numbers, `None` if their count overflows.
    pub fn contiguous(shape: Vec<usize>) -> Option<Self> {
        let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size))?;
        let mut strides = vec![0; shape.len()];
        let mut stride = 1usize;
        for (place, &size) in strides.iter_mut().zip(&shape).rev() {
            *place = stride;
            // With a size of zero nothing is read, and the others may be anything.
            stride = stride.wrapping_mul(size);
        }
        Some(Self { offset: 0, shape, strides, len })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The shape alone.
    pub fn into_shape(self) -> Vec<usize> {
        self.shape
    }

    /// The view's values of `bytes`, row-major; `None` for types that are not read: complex ones,
    /// those below eight bits, and unsigned ones of 64.
    ///
    /// # Panics
    /// If `bytes` hold fewer numbers than the view was made for.
    pub fn values(&self, dtype: Dtype, bytes: &[u8]) -> Option<Values<'static>> {
        let floats = |values| Some(Values::F32(Cow::Owned(values)));
        let integers = |values| Some(Values::I64(Cow::Owned(values)));
        match dtype {
            Dtype::F64 => floats(self.gather(bytes, |b| f64::from_le_bytes(b) as f32)),
            Dtype::F32 => floats(self.gather(bytes, f32::from_le_bytes)),
            Dtype::F16 => floats(self.gather(bytes, |b| f16::from_le_bytes(b).to_f32())),
            Dtype::BF16 => floats(self.gather(bytes, |b| bf16::from_le_bytes(b).to_f32())),
            Dtype::I64 => integers(self.gather(bytes, i64::from_le_bytes)),
            Dtype::I32 => integers(self.gather(bytes, |b| i32::from_le_bytes(b).into())),
            Dtype::I16 => integers(self.gather(bytes, |b| i16::from_le_bytes(b).into())),
            Dtype::I8 => integers(self.gather(bytes, |b| i8::from_le_bytes(b).into())),
            Dtype::U32 => integers(self.gather(bytes, |b| u32::from_le_bytes(b).into())),
            Dtype::U16 => integers(self.gather(bytes, |b| u16::from_le_bytes(b).into())),
            Dtype::U8 => integers(self.gather(bytes, |[b]| b.into())),
            Dtype::BOOL => integers(self.gather(bytes, |[b]| (b != 0).into())),
            _ => None,
        }
    }

    /// The numbers in the view's order, each made from its `N` bytes.
    fn gather<const N: usize, T>(&self, bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (numbers, _) = bytes.as_chunks::<N>();
        if self.is_row_major() {
            let first = if self.len == 0 { 0 } else { self.offset };
            return numbers[first..][..self.len].iter().map(|b| number(*b)).collect();
        }
        let mut values = Vec::with_capacity(self.len);
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        for _ in 0..self.len {
            values.push(number(numbers[at]));
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                // The stride of an axis of size one may be anything; what is added is taken back.
                at = at.wrapping_add(self.strides[axis]);
                if index[axis] < self.shape[axis] {
                    break;
                }
                at = at.wrapping_sub(self.strides[axis].wrapping_mul(index[axis]));
                index[axis] = 0;
            }
        }
        values
    }

    /// True if the values follow each other without gaps.
    fn is_row_major(&self) -> bool {
        let mut stride = 1;
        self.len == 0
            || self.shape.iter().zip(&self.strides).rev().all(|(&size, &found)| {
                let follows = size == 1 || found == stride;
                stride *= size;
                follows
            })
    }
}

/// Memory that the tensors of a file may take: a damaged or malicious one may tell of more than a
/// machine has, in few bytes.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    /// Eight times a file's length, which is what single bytes need that become 64-bit integers.
    pub fn of_file(bytes: usize) -> Self {
        Self(bytes.saturating_mul(8))
    }

    /// Takes what `count` values of up to eight bytes need, and a tensor of `axes` axes besides;
    /// `None` if not so much is left.
    pub fn take(&mut self, count: usize, width: usize, axes: usize) -> Option<()> {
        let bytes = count.checked_mul(width)?.checked_add(axes.checked_mul(size_of::<usize>())?)?;
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }
}

/// Bytes that a value of the type takes once it is read.
pub(super) fn width(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => size_of::<f32>(),
        _ => size_of::<i64>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(view: &View, numbers: &[f32]) -> Vec<f32> {
        match view.values(Dtype::F32, bytemuck::cast_slice(numbers)) {
            Some(Values::F32(values)) => values.into_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn views_follow_their_strides() {
        let numbers: Vec<f32> = (0..12u8).map(f32::from).collect();
        let view = |offset, shape: &[usize], strides: &[usize]| {
            let view = View::new(offset, shape.to_vec(), strides.to_vec(), 12).unwrap();
            floats(&view, &numbers)
        };
        assert_eq!(view(0, &[3, 4], &[4, 1]), numbers);
        assert_eq!(view(4, &[2, 3], &[4, 1]), [4.0, 5.0, 6.0, 8.0, 9.0, 10.0]);
        assert_eq!(view(0, &[2, 3], &[1, 4]), [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]);
        assert_eq!(view(7, &[2, 2], &[0, 1]), [7.0, 8.0, 7.0, 8.0]);
        assert_eq!(view(11, &[], &[]), [11.0]);
        assert_eq!(view(5, &[1, 2], &[usize::MAX, 1]), [5.0, 6.0]);
        assert_eq!(view(5, &[2, 1, 2], &[2, usize::MAX, 3]), [5.0, 8.0, 7.0, 10.0]);
        assert!(view(99, &[2, 0], &[9, 9]).is_empty());
    }

    #[test]
    fn views_stay_within_their_numbers() {
        let view = |offset, shape: &[usize], strides: &[usize]| {
            View::new(offset, shape.to_vec(), strides.to_vec(), 12)
        };
        assert_eq!(view(1, &[3, 4], &[4, 1]), None);
        assert_eq!(view(12, &[], &[]), None);
        assert_eq!(view(0, &[2], &[usize::MAX]), None);
        assert_eq!(view(2, &[2], &[usize::MAX - 1]), None);
        assert_eq!(view(0, &[usize::MAX, 2], &[0, 0]), None);
        assert_eq!(view(0, &[3, 4], &[4]), None);
    }

    #[test]
    fn every_type_of_numbers_is_converted() {
        let view = View::contiguous(vec![2]).unwrap();
        let floats = |dtype, bytes: &[u8]| view.values(dtype, bytes).unwrap();
        let expected = Values::F32(Cow::Owned(vec![1.5, -2.0]));
        assert_eq!(floats(Dtype::F64, bytemuck::cast_slice(&[1.5f64, -2.0])), expected);
        assert_eq!(floats(Dtype::F16, &[0x00, 0x3e, 0x00, 0xc0]), expected);
        assert_eq!(floats(Dtype::BF16, &[0xc0, 0x3f, 0x00, 0xc0]), expected);
        let expected = Values::I64(Cow::Owned(vec![1, -2]));
        assert_eq!(floats(Dtype::I32, bytemuck::cast_slice(&[1i32, -2])), expected);
        assert_eq!(floats(Dtype::I16, bytemuck::cast_slice(&[1i16, -2])), expected);
        assert_eq!(floats(Dtype::I8, bytemuck::cast_slice(&[1i8, -2])), expected);
        let expected = Values::I64(Cow::Owned(vec![0, 200]));
        assert_eq!(floats(Dtype::U8, &[0, 200]), expected);
        let expected = Values::I64(Cow::Owned(vec![0, 1]));
        assert_eq!(floats(Dtype::BOOL, &[0, 1]), expected);
        assert_eq!(view.values(Dtype::C64, &[0; 16]), None);
    }
}
