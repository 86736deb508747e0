//! What a pickle of a state dict is made of.

use safetensors::tensor::Dtype;

/// The place of a value among those of its pickle. Containers hold these, so nothing that is done
/// with values recurses, however deep a file nests them.
pub(super) type Id = usize;

/// A value of a pickle.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// One that no tensor depends on: nothing, a float, a large integer.
    Plain,
    Bool(bool),
    Int(i64),
    Str(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// A dictionary, ordered or not, in the order in which it was filled.
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(Rebuild),
}

/// The few names of modules that a state dict needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`, whose first four arguments agree.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`.
    RebuildParameter,
    /// `torch.Size`.
    Size,
    /// `torch.FloatStorage` and its like.
    Storage(Dtype),
    /// `torch.float32` and its like, which checkpoints have among their settings.
    Type,
}

/// A reference to numbers that are kept outside the pickle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    /// What its numbers are.
    pub dtype: Dtype,
    /// The name of its record.
    pub key: &'a str,
    /// How many numbers it has.
    pub count: i64,
}

/// The arguments that a tensor was to be rebuilt from, not looked at yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rebuild {
    pub storage: Id,
    pub offset: Id,
    pub size: Id,
    pub stride: Id,
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    /// All its values.
    pub values: Vec<Value<'a>>,
    /// The one that it stands for.
    pub root: Id,
    /// The byte after it.
    pub end: usize,
}

impl<'a> Pickle<'a> {
    /// The value that the pickle stands for.
    pub fn root(&self) -> &Value<'a> {
        &self.values[self.root]
    }
}

impl Value<'_> {
    /// What it is, in Python's words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Plain => "plain value",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Str(_) => "str",
            Self::Tuple(_) => "tuple",
            Self::List(_) => "list",
            Self::Dict(_) => "dict",
            Self::Global(_) => "global",
            Self::Storage(_) => "storage",
            Self::Tensor(_) => "tensor",
        }
    }
}

impl Global {
    /// The global of this name, `None` if it has no place in a state dict.
    pub fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::BF16),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Self::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Self::Storage(Dtype::BOOL),
            ("torch", "float64" | "float32" | "float16" | "bfloat16") => Self::Type,
            ("torch", "int64" | "int32" | "int16" | "int8" | "uint8" | "bool") => Self::Type,
            _ => return None,
        })
    }

    /// Its name, for errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderedDict => "collections.OrderedDict",
            Self::RebuildTensor => "torch._utils._rebuild_tensor",
            Self::RebuildParameter => "torch._utils._rebuild_parameter",
            Self::Size => "torch.Size",
            Self::Storage(_) => "a storage of torch",
            Self::Type => "a type of torch",
        }
    }
}
