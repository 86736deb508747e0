use std::ops::{Index, IndexMut};

/// A buffer on the host, for references: f32 buffers in f64, u32 buffers as they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Floating-point elements.
    F(Vec<f64>),
    /// Words.
    U(Vec<u32>),
}

impl Data {
    /// The words of a u32 buffer.
    ///
    /// # Panics
    /// If the buffer holds floating-point elements: a fault of the caller.
    pub fn words(&self) -> &[u32] {
        match self {
            Data::U(words) => words,
            Data::F(_) => panic!("a buffer of words is needed"),
        }
    }

    /// The words of a u32 buffer, to be written.
    ///
    /// # Panics
    /// If the buffer holds floating-point elements: a fault of the caller.
    pub fn words_mut(&mut self) -> &mut [u32] {
        match self {
            Data::U(words) => words,
            Data::F(_) => panic!("a buffer of words is needed"),
        }
    }
}

impl Index<usize> for Data {
    type Output = f64;

    fn index(&self, i: usize) -> &f64 {
        match self {
            Data::F(values) => &values[i],
            Data::U(_) => panic!("a buffer of floating-point elements is needed"),
        }
    }
}

impl IndexMut<usize> for Data {
    fn index_mut(&mut self, i: usize) -> &mut f64 {
        match self {
            Data::F(values) => &mut values[i],
            Data::U(_) => panic!("a buffer of floating-point elements is needed"),
        }
    }
}
