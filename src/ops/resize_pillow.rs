//! Gathers a batch from a set of 8-bit images and resizes it as Pillow does.

use super::input::{self, Pictures};
use super::{Data, Op};
use crate::gpu::AdapterFacts;
use crate::kernel::{Access, Binding, Dim, Step, Variant, variant};
use crate::resample::{Axis, Order};
use crate::shape::Layout;

/// `x[i]` = image `order[sample_base + i]` of a set, resized to the bytes that Pillow's
/// `Image.resize` with `BILINEAR` gives (smoothed where it shrinks, see [`crate::resample`]), scaled
/// to `[0, 1]` and normalised.
#[derive(Debug, Clone, Copy)]
pub struct ResizePillow(pub Pictures);

impl ResizePillow {
    /// The weights of the columns, then of the rows: [`Axis::words`] of each.
    pub fn tables(&self) -> Vec<u32> {
        let [rows, columns] = self.axes();
        [columns.words(), rows.words()].concat()
    }

    /// The layout of [`ResizePillow::tables`].
    pub fn tables_layout(&self) -> Layout {
        let output = self.0.output;
        let [row, column] = self.strides();
        Layout::Words(output.width * column + output.height * row)
    }

    fn axes(&self) -> [Axis; 2] {
        let Pictures { source_height, source_width, output, .. } = self.0;
        [Axis::new(source_height, output.height), Axis::new(source_width, output.width)]
    }

    fn order(&self) -> Order {
        let Pictures { source_height, source_width, output, .. } = self.0;
        Order::of((source_height, source_width), (output.height, output.width))
    }

    /// Words of a row and of a column in the tables.
    fn strides(&self) -> [usize; 2] {
        let Pictures { source_height, source_width, output, .. } = self.0;
        [Axis::stride(source_height, output.height), Axis::stride(source_width, output.width)]
    }
}

impl Op for ResizePillow {
    fn name(&self) -> &'static str {
        "resize_pillow"
    }

    fn bindings(&self) -> Vec<Binding> {
        self.0.bindings(&[Binding::words("tables", self.tables_layout(), Access::Read)])
    }

    fn variants(&self, _facts: &AdapterFacts) -> Vec<Variant> {
        let [row, column] = self.strides();
        let more = [
            ("row_stride", Dim::U(row as u32)),
            ("column_stride", Dim::U(column as u32)),
            ("rows_first", Dim::U(u32::from(self.order() == Order::RowsFirst))),
        ];
        vec![variant! {
            "resize_pillow",
            constants: vec![],
            dims: self.0.dims(&more),
            grid: self.0.grid(),
            // The order of samples comes from outside.
            proven: false,
            supported: Ok(()),
        }]
    }

    fn bytes(&self, images: u64) -> u64 {
        self.0.bytes(images)
    }

    fn reference(&self, step: &Step, buffers: &mut [Data]) {
        let [order, pixels, _, x] = buffers else { unreachable!("four bindings") };
        let words = pixels.words();
        let [rows, columns] = self.axes();
        self.0.write(step, order.words(), x, |base, i, j, c| {
            let byte = |row, column| self.0.byte(words, base, row, column, c);
            f64::from(match self.order() {
                Order::ColumnsFirst => rows.byte(i, |row| columns.byte(j, |at| byte(row, at))),
                Order::RowsFirst => columns.byte(j, |column| rows.byte(i, |at| byte(at, column))),
            })
        });
    }

    /// That of a division and a multiply-add: the bytes are exact.
    fn tolerance(&self, _images: u64) -> f64 {
        6e-7
    }

    fn input(&self, name: &str, _step: &Step, random: &mut dyn FnMut() -> f64) -> Option<Data> {
        match name {
            "order" => Some(self.0.shard.any_order(random)),
            "tables" => Some(Data::U(self.tables())),
            _ => None,
        }
    }
}

pub(super) fn examples() -> Vec<Box<dyn Op>> {
    input::examples().into_iter().map(|pictures| Box::new(ResizePillow(pictures)) as _).collect()
}
