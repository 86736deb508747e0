//! Writing the zip form of `torch.save`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use zip::result::ZipResult;
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime, System};

use super::super::write::{check, write_file};
use super::super::{Tensor, Values, WeightsError};
use super::opcode as op;

/// PyTorch aligns its records to this many bytes.
const ALIGNMENT: u16 = 64;
/// PyTorch's version of the format.
const VERSION: &[u8] = b"3\n";

/// Writes tensors as a state dict, in the zip form of `torch.save`: `torch.load` reads it, with
/// `weights_only=True` too, and gives an `OrderedDict` in the order of `tensors`. The same tensors
/// give the same bytes. The file replaces another one whole or not at all.
///
/// # Errors
/// [`WeightsError::Length`] and [`WeightsError::Twice`] of tensors that make no state dict,
/// [`WeightsError::Io`] if the file cannot be written.
pub fn write_pth(path: &Path, tensors: &[Tensor<'_>]) -> Result<(), WeightsError> {
    check(tensors)?;
    write_file(path, |file| write_archive(file, tensors).map_err(io::Error::from))
}

fn write_archive(file: &mut File, tensors: &[Tensor<'_>]) -> ZipResult<()> {
    let mut archive = ZipWriter::new(BufWriter::new(file));
    let mut record = |name: &str, bytes: &[u8]| {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .system(System::Unix)
            .large_file(u32::try_from(bytes.len()).is_err())
            .with_alignment(ALIGNMENT);
        archive.start_file(format!("archive/{name}"), options)?;
        archive.write_all(bytes)?;
        ZipResult::Ok(())
    };
    record("data.pkl", &pickle(tensors))?;
    record("byteorder", b"little")?;
    for (key, tensor) in tensors.iter().enumerate() {
        record(&format!("data/{key}"), &tensor.values.bytes())?;
    }
    record("version", VERSION)?;
    archive.finish()?.flush()?;
    Ok(())
}

/// The state dict, each tensor with a storage of its own, named by its place.
fn pickle(tensors: &[Tensor<'_>]) -> Vec<u8> {
    let mut pickle = Pickler(vec![op::PROTO, 2]);
    pickle.empty_ordered_dict();
    pickle.0.push(op::MARK);
    for (key, tensor) in tensors.iter().enumerate() {
        pickle.text(&tensor.name);
        pickle.tensor(tensor, &key.to_string());
    }
    pickle.0.extend([op::SETITEMS, op::STOP]);
    pickle.0
}

struct Pickler(Vec<u8>);

impl Pickler {
    /// `_rebuild_tensor_v2(storage, 0, shape, strides, requires_grad=False, hooks)`.
    fn tensor(&mut self, tensor: &Tensor<'_>, key: &str) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.0.push(op::MARK);
        self.0.push(op::MARK);
        self.text("storage");
        let storage = match tensor.values {
            Values::F32(_) => "FloatStorage",
            Values::I64(_) => "LongStorage",
        };
        self.global("torch", storage);
        self.text(key);
        self.text("cpu");
        self.int(tensor.values.len());
        self.0.extend([op::TUPLE, op::BINPERSID]);
        self.int(0);
        self.sizes(&tensor.shape);
        self.sizes(&strides(&tensor.shape));
        self.0.push(op::NEWFALSE);
        self.empty_ordered_dict();
        self.0.extend([op::TUPLE, op::REDUCE]);
    }

    fn empty_ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.0.extend([op::EMPTY_TUPLE, op::REDUCE]);
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.0.push(op::MARK);
        sizes.iter().for_each(|size| self.int(*size));
        self.0.push(op::TUPLE);
    }

    fn int(&mut self, value: usize) {
        if let Ok(value) = u8::try_from(value) {
            self.0.extend([op::BININT1, value]);
        } else if let Ok(value) = i32::try_from(value) {
            self.0.push(op::BININT);
            self.0.extend(value.to_le_bytes());
        } else {
            // No length in memory reaches the sign, the highest bit.
            self.0.extend([op::LONG1, 8]);
            self.0.extend((value as u64).to_le_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        if let Ok(length) = u32::try_from(text.len()) {
            self.0.push(op::BINUNICODE);
            self.0.extend(length.to_le_bytes());
        } else {
            self.0.push(op::BINUNICODE8);
            self.0.extend((text.len() as u64).to_le_bytes());
        }
        self.0.extend(text.as_bytes());
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.push(op::GLOBAL);
        self.0.extend(format!("{module}\n{name}\n").as_bytes());
    }
}

/// Of a row-major tensor.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        // As PyTorch counts a size of zero, so that strides stay positive.
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}
