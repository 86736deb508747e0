//! An unpickler that runs nothing: it knows the opcodes and names of a state dict, and refuses all
//! others. Values lie in one list and refer to each other by their places in it, so that memory is
//! bounded by the pickle's length, and no depth of nesting can exhaust the call stack.

use std::collections::HashMap;

use super::error::{PickleError, PickleFault, shown};
use super::opcode as op;
use super::value::{Global, Id, Pickle, Rebuild, Storage, Value};

/// Values, and references to them, in all. A tensor takes some 20.
const MOST_VALUES: usize = 1 << 20;
/// Marks that are open at a time: as deep as Python writes by default.
const DEEPEST: usize = 1000;

/// Reads the pickle that begins at byte `start`.
pub(super) fn unpickle(bytes: &[u8], start: usize) -> Result<Pickle<'_>, PickleError> {
    let mut machine = Machine {
        bytes,
        at: start,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
    };
    loop {
        let offset = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => {
                return Ok(Pickle { values: machine.values, root, end: machine.at });
            }
            Err(fault) => return Err(PickleError { offset, fault }),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    /// The next byte to read.
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack that may not be undercut.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Items that were copied from one container to another.
    copied: usize,
}

type Step<T> = Result<T, PickleFault>;

impl<'a> Machine<'a> {
    /// Does one opcode; gives the result at the last one.
    fn step(&mut self) -> Step<Option<Id>> {
        let opcode = self.array::<1>()?[0];
        if let Some(value) = self.literal(opcode)? {
            self.push_new(value)?;
            return Ok(None);
        }
        match opcode {
            op::STOP => return self.pop().map(Some),
            op::PROTO => match self.array::<1>()?[0] {
                2..=5 => {}
                other => return Err(PickleFault::Protocol(other)),
            },
            op::FRAME => {
                let length = self.array().map(u64::from_le_bytes)?;
                if length > (self.bytes.len() - self.at) as u64 {
                    return Err(PickleFault::Truncated);
                }
            }
            op::MARK => {
                within(self.marks.len(), DEEPEST, "levels")?;
                self.marks.push(self.stack.len());
            }
            op::TUPLE => {
                let items = self.pop_to_mark()?;
                self.push_new(Value::Tuple(items))?;
            }
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let mut items = vec![0; usize::from(opcode - op::TUPLE1) + 1];
                for item in items.iter_mut().rev() {
                    *item = self.pop()?;
                }
                self.push_new(Value::Tuple(items))?;
            }
            op::APPEND | op::APPENDS => self.append(opcode == op::APPEND)?,
            op::SETITEM | op::SETITEMS => self.set_items(opcode == op::SETITEM)?,
            op::BINGET | op::LONG_BINGET => {
                let key = self.memo_key(opcode == op::BINGET)?;
                self.push(*self.memo.get(&key).ok_or(PickleFault::Memo(key))?)?;
            }
            op::BINPUT | op::LONG_BINPUT => {
                let key = self.memo_key(opcode == op::BINPUT)?;
                self.remember(key)?;
            }
            // Bounded by MOST_VALUES, so it fits.
            op::MEMOIZE => self.remember(self.memo.len() as u32)?,
            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode == op::GLOBAL)?,
            op::REDUCE => self.reduce()?,
            op::BUILD => self.build()?,
            op::BINPERSID => self.persistent()?,
            _ => return Err(PickleFault::Opcode { opcode, name: op::refused(opcode) }),
        }
        Ok(None)
    }

    /// The value of an opcode that takes nothing from the stack.
    fn literal(&mut self, opcode: u8) -> Step<Option<Value<'a>>> {
        Ok(Some(match opcode {
            op::NONE => Value::Plain,
            op::BINFLOAT => self.array::<8>().map(|_| Value::Plain)?,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BININT => Value::Int(i32::from_le_bytes(self.array()?).into()),
            op::BININT1 => Value::Int(self.array::<1>()?[0].into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.array()?).into()),
            op::LONG1 => self.long()?,
            op::SHORT_BINSTRING | op::SHORT_BINUNICODE => {
                let length = self.array::<1>()?[0];
                Value::Str(self.text(length.into())?)
            }
            op::BINSTRING | op::BINUNICODE => {
                let length = u32::from_le_bytes(self.array()?);
                Value::Str(self.text(length.into())?)
            }
            op::BINUNICODE8 => {
                let length = u64::from_le_bytes(self.array()?);
                Value::Str(self.text(length)?)
            }
            op::EMPTY_TUPLE => Value::Tuple(Vec::new()),
            op::EMPTY_LIST => Value::List(Vec::new()),
            op::EMPTY_DICT => Value::Dict(Vec::new()),
            _ => return Ok(None),
        }))
    }

    /// An integer of up to 255 bytes, little-endian; no tensor depends on one of more than eight.
    fn long(&mut self) -> Step<Value<'a>> {
        let length = self.array::<1>()?[0];
        let bytes = self.take(length.into())?;
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        let Some(low) = wide.get_mut(..bytes.len()) else { return Ok(Value::Plain) };
        low.copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn append(&mut self, one: bool) -> Step<()> {
        let items = if one { vec![self.pop()?] } else { self.pop_to_mark()? };
        match self.top()? {
            Value::List(list) => list.extend(items),
            other => return Err(kind(other, "a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, one: bool) -> Step<()> {
        let items = if one {
            let value = self.pop()?;
            vec![self.pop()?, value]
        } else {
            self.pop_to_mark()?
        };
        let (pairs, rest) = items.as_chunks();
        if !rest.is_empty() {
            return Err(PickleFault::Stack);
        }
        match self.top()? {
            Value::Dict(dict) => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            other => return Err(kind(other, "a dict")),
        }
        Ok(())
    }

    /// Pushes something that a module holds, by name; the name may stand in the opcode's lines or
    /// on the stack.
    fn global(&mut self, in_lines: bool) -> Step<()> {
        let (module, name) = if in_lines {
            (self.line()?, self.line()?)
        } else {
            let name = self.pop()?;
            let module = self.pop()?;
            (self.str(module)?, self.str(name)?)
        };
        let unknown = || PickleFault::Global { global: shown(&format!("{module}.{name}")) };
        let found = Global::find(module, name).ok_or_else(unknown)?;
        self.push_new(Value::Global(found))
    }

    /// A call, of which only the result that is known beforehand is taken.
    fn reduce(&mut self) -> Step<()> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let callable = match &self.values[callable] {
            Value::Global(global) => *global,
            other => return Err(kind(other, "what is called")),
        };
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err(kind(&self.values[arguments], "arguments"));
        };
        match (callable, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.push_new(Value::Dict(Vec::new())),
            (Global::OrderedDict, &[items]) => self.dict_of_pairs(items),
            (Global::RebuildTensor, &[storage, offset, size, stride, ..]) => {
                self.push_new(Value::Tensor(Rebuild { storage, offset, size, stride }))
            }
            (Global::RebuildParameter, &[tensor, ..]) | (Global::Size, &[tensor]) => {
                self.push(tensor)
            }
            _ => Err(PickleFault::Call { callable: callable.name() }),
        }
    }

    /// `OrderedDict([[key, value], ...])`, as Python 2 pickles it.
    fn dict_of_pairs(&mut self, items: Id) -> Step<()> {
        let call = || PickleFault::Call { callable: Global::OrderedDict.name() };
        let Value::List(items) = &self.values[items] else { return Err(call()) };
        // The same list may be copied again and again.
        self.copied = self.copied.saturating_add(items.len());
        within(self.copied, MOST_VALUES, "copied values")?;
        let pair = |id: &Id| match &self.values[*id] {
            Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(call()),
        };
        let pairs = items.iter().map(pair).collect::<Step<_>>()?;
        self.push_new(Value::Dict(pairs))
    }

    /// Gives an object its attributes: those of a dictionary hold versions of layers, which are of
    /// no use here, and nothing else may have any.
    fn build(&mut self) -> Step<()> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            other => Err(kind(other, "a dict")),
        }
    }

    /// A reference to a storage:
    /// `("storage", type, key, device, count)`, and `None` in the form without zip.
    fn persistent(&mut self) -> Step<()> {
        let id = self.pop()?;
        let Value::Tuple(parts) = &self.values[id] else {
            return Err(kind(&self.values[id], "a reference to a storage"));
        };
        let parts: Vec<&Value> = parts.iter().take(7).map(|part| &self.values[*part]).collect();
        let storage = match parts.as_slice() {
            [Value::Str("module"), ..] => return Err(PickleFault::Module),
            [
                Value::Str("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Str(key),
                _,
                Value::Int(count),
            ]
            | [
                Value::Str("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Str(key),
                _,
                Value::Int(count),
                Value::Plain,
            ] => Storage { dtype: *dtype, key, count: *count },
            _ => return Err(PickleFault::Kind { found: "tuple", wanted: "a storage" }),
        };
        self.push_new(Value::Storage(storage))
    }

    fn push_new(&mut self, value: Value<'a>) -> Step<()> {
        within(self.values.len(), MOST_VALUES, "values")?;
        self.values.push(value);
        self.push(self.values.len() - 1)
    }

    fn push(&mut self, id: Id) -> Step<()> {
        within(self.stack.len(), MOST_VALUES, "values at a time")?;
        self.stack.push(id);
        Ok(())
    }

    /// Takes the topmost value, if it lies above the last mark.
    fn pop(&mut self) -> Step<Id> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(PickleFault::Stack);
        }
        self.stack.pop().ok_or(PickleFault::Stack)
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or(PickleFault::Stack)?;
        Ok(self.stack.split_off(mark))
    }

    /// The topmost value, left where it is.
    fn top(&mut self) -> Step<&mut Value<'a>> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(&mut self.values[id])
    }

    fn memo_key(&mut self, short: bool) -> Step<u32> {
        if short {
            self.array::<1>().map(|[key]| key.into())
        } else {
            self.array().map(u32::from_le_bytes)
        }
    }

    fn remember(&mut self, key: u32) -> Step<()> {
        within(self.memo.len(), MOST_VALUES, "notes")?;
        let id = self.pop()?;
        self.stack.push(id);
        self.memo.insert(key, id);
        Ok(())
    }

    fn str(&self, id: Id) -> Step<&'a str> {
        match &self.values[id] {
            Value::Str(text) => Ok(text),
            other => Err(kind(other, "a name")),
        }
    }

    fn take(&mut self, length: u64) -> Step<&'a [u8]> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let end = end.ok_or(PickleFault::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(PickleFault::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        self.take(N as u64)?.try_into().map_err(|_| PickleFault::Truncated)
    }

    fn text(&mut self, length: u64) -> Step<&'a str> {
        std::str::from_utf8(self.take(length)?).map_err(|_| PickleFault::Text)
    }

    /// Text up to the end of the line.
    fn line(&mut self) -> Step<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == b'\n').ok_or(PickleFault::Truncated)?;
        let line = self.text(length as u64)?;
        self.at += 1;
        Ok(line)
    }
}

fn kind(found: &Value<'_>, wanted: &'static str) -> PickleFault {
    PickleFault::Kind { found: found.kind(), wanted }
}

fn within(count: usize, limit: usize, what: &'static str) -> Step<()> {
    if count < limit { Ok(()) } else { Err(PickleFault::Limit { what, limit }) }
}
