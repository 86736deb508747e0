//! Tensors as files hold them.

use std::borrow::Cow;

use safetensors::tensor::{Dtype, View};

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: String,
    /// Its shape; empty for a single value.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Values<'a>,
}

/// The values of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Values<'a> {
    /// 32-bit floats; what a file holds in other widths is converted.
    F32(Cow<'a, [f32]>),
    /// Integers, such as counters and labels.
    I64(Cow<'a, [i64]>),
}

impl<'a> Tensor<'a> {
    /// A tensor of floats that are somebody else's.
    pub fn floats(name: impl Into<String>, shape: &[usize], values: &'a [f32]) -> Self {
        let values = Values::F32(Cow::Borrowed(values));
        Self { name: name.into(), shape: shape.to_vec(), values }
    }

    /// A single integer.
    pub fn integer(name: impl Into<String>, value: i64) -> Self {
        Self { name: name.into(), shape: vec![], values: Values::I64(Cow::Owned(vec![value])) }
    }
}

impl Values<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }

    /// True without values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values in little-endian bytes.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        let little = cfg!(target_endian = "little");
        match self {
            Self::F32(values) if little => Cow::Borrowed(bytemuck::cast_slice(values)),
            Self::I64(values) if little => Cow::Borrowed(bytemuck::cast_slice(values)),
            Self::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::I64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::F32(_) => Dtype::F32,
            Values::I64(_) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.bytes()
    }

    fn data_len(&self) -> usize {
        match &self.values {
            Values::F32(values) => size_of_val::<[f32]>(values),
            Values::I64(values) => size_of_val::<[i64]>(values),
        }
    }
}
