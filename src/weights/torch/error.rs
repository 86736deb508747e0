use thiserror::Error;
use zip::result::ZipError;

/// Why a file of `torch.save` cannot be read.
#[derive(Debug, Error)]
pub enum TorchError {
    /// The zip archive cannot be read.
    #[error("its zip archive cannot be read")]
    Zip(#[from] ZipError),
    /// A record is compressed, or encrypted.
    #[error("record {record} is packed ({method}), and torch.save packs nothing: it is not opened")]
    Packed {
        /// The record.
        record: String,
        /// How it is packed.
        method: String,
    },
    /// A record's name could lead out of the archive.
    #[error("record {record} has a name that leads out of the archive")]
    Name {
        /// The record.
        record: String,
    },
    /// Records share bytes or names, or reach past the end of the file.
    #[error("its records overlap, reach past their archive, or share a name")]
    Overlap,
    /// A record is missing.
    #[error("its zip archive has no record {record}: torch.save did not write it")]
    NoRecord {
        /// The record.
        record: String,
    },
    /// A record's bytes are not those that were written.
    #[error("record {record} is damaged: its checksum is {found:08x}, expected {expected:08x}")]
    Checksum {
        /// The record.
        record: String,
        /// Of the bytes found.
        found: u32,
        /// As the archive says.
        expected: u32,
    },
    /// The file holds a program.
    #[error(
        "it is a TorchScript archive, which holds a program: save the state_dict() of \
         torch.jit.load(...) instead"
    )]
    TorchScript,
    /// The file was written on a machine of another byte order.
    #[error("its numbers are big-endian, which is not supported")]
    BigEndian,
    /// The pickle cannot be read.
    #[error("the pickle in it is refused")]
    Pickle(#[from] PickleError),
    /// The file without zip is not put together as `torch.save` does it.
    #[error("at byte {offset}, {what}")]
    Legacy {
        /// Where.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The pickle is no dictionary with tensors.
    #[error("it holds {found}, expected a dict of tensors, as state_dict() returns it")]
    NoStateDict {
        /// What it is instead.
        found: String,
    },
    /// A tensor is told of in a way that makes no sense.
    #[error("tensor {tensor}: {what}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The numbers of a tensor are not in the file.
    #[error("tensor {tensor}: the file has no storage {key}")]
    NoStorage {
        /// The tensor.
        tensor: String,
        /// The storage's key.
        key: String,
    },
    /// A storage has another length than the pickle says.
    #[error("tensor {tensor}: storage {key} has {found} bytes, expected {expected}")]
    StorageLength {
        /// The tensor.
        tensor: String,
        /// The storage's key.
        key: String,
        /// Its bytes.
        found: usize,
        /// What the pickle says; none if that overflows.
        expected: String,
    },
    /// A tensor reaches past its storage.
    #[error(
        "tensor {tensor}: shape {shape:?} with strides {strides:?} from {offset} reaches past its \
         storage of {count} values"
    )]
    Bounds {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// How many values apart its neighbours are, an axis.
        strides: Vec<usize>,
        /// Its first value.
        offset: usize,
        /// Values of its storage.
        count: usize,
    },
    /// The tensors would take far more memory than the file.
    #[error("tensor {tensor}: with it the tensors take more than eight times the file's length")]
    TooMuch {
        /// The tensor.
        tensor: String,
    },
}

/// What an unpickler that runs nothing does not take, and where.
#[derive(Debug, Error)]
#[error("at byte {offset} of it, {fault}")]
pub struct PickleError {
    /// The opcode's offset: in `data.pkl` of the zip form, else in the file.
    pub offset: usize,
    /// What is wrong.
    pub fault: PickleFault,
}

/// What an unpickler that runs nothing does not take.
#[derive(Debug, Error)]
pub enum PickleFault {
    /// It ends in the middle.
    #[error("it is cut off")]
    Truncated,
    /// It speaks another protocol.
    #[error("protocol {0} begins, known are 2 to 5")]
    Protocol(u8),
    /// An opcode that state dicts are not written with.
    #[error("stands opcode {opcode:#04x} ({name}), which no state dict needs")]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// Python's name of it.
        name: &'static str,
    },
    /// It names something that state dicts do not need.
    #[error(
        "it asks for {global}, which no state dict needs: nothing of it was run. Save \
         model.state_dict(), not the model or other objects"
    )]
    Global {
        /// Module and name.
        global: String,
    },
    /// A whole module was saved, in the form without zip.
    #[error("it holds a whole module, with its source: save model.state_dict() instead")]
    Module,
    /// It calls something in a way that `torch.save` does not.
    #[error("it calls {callable} in a way that torch.save does not")]
    Call {
        /// What is called.
        callable: &'static str,
    },
    /// It takes more than it has put.
    #[error("it takes a value that is not there")]
    Stack,
    /// It refers to something that it never noted.
    #[error("it refers to its note {0}, which was not taken")]
    Memo(u32),
    /// A value is of the wrong kind.
    #[error("it has a {found} for {wanted}")]
    Kind {
        /// What is there.
        found: &'static str,
        /// What is needed.
        wanted: &'static str,
    },
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// It is larger or deeper than any state dict.
    #[error("it has more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
}

/// A name from a file as errors show it: no control characters, and not too long.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 120;
    let mut shown: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}
