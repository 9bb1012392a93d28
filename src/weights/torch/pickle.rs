//! Pickles: the operations of Python's stack machine. No code is run; see `calls` for the few calls that are understood.

use std::collections::BTreeMap;

use super::calls;
use super::heap::{Heap, Id, Object};

/// Sizes of storages as a pickle tells them: elements and bytes of each.
pub(super) type Declared = BTreeMap<String, [usize; 2]>;

/// A pickle that has been read.
pub(super) struct Pickle {
    pub(super) heap: Heap,
    pub(super) root: Id,
    /// Storages that it names.
    pub(super) storages: Declared,
    /// Bytes from its first to its last.
    pub(super) length: usize,
}

/// Reads the pickle at the start of these bytes.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine {
        bytes,
        at: 0,
        heap: Heap::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        storages: BTreeMap::new(),
    };
    let root = machine.run()?;
    Ok(Pickle { heap: machine.heap, root, storages: machine.storages, length: machine.at })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    heap: Heap,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
    storages: Declared,
}

const ENDS: &str = "it ends within an operation";

impl Machine<'_> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            match self.byte()? {
                b'.' => return self.pop(),
                // Protocol and frame.
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,
                b'(' => self.marks.push(self.stack.len()),
                b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => self.stack.push(self.top()?),
                op @ (b'N' | 0x88 | 0x89 | b'I' | b'J' | b'K' | b'M' | b'L' | 0x8a | 0x8b | b'F' | b'G') => {
                    self.number(op)?;
                }
                op @ (b'S' | b'T' | b'U' | b'V' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96) => self.text(op)?,
                b']' | b')' | 0x8f => self.push(Object::List(Vec::new()))?,
                b'l' | b't' | 0x91 => {
                    let items = self.pop_mark()?;
                    self.push(Object::List(items))?;
                }
                op @ 0x85..=0x87 => {
                    let first = self.stack.len().checked_sub(usize::from(op - 0x84));
                    let first = first.filter(|first| self.marks.last().is_none_or(|mark| mark <= first));
                    let items = self.stack.split_off(first.ok_or("its stack is empty")?);
                    self.push(Object::List(items))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' | 0x90 => {
                    let items = self.pop_mark()?;
                    self.append(&items)?;
                }
                b'}' => self.push(Object::Dict(BTreeMap::new()))?,
                b'd' => {
                    let items = self.pop_mark()?;
                    self.push(Object::Dict(BTreeMap::new()))?;
                    self.set(&items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set(&items)?;
                }
                op @ (b'g' | b'h' | b'j') => {
                    let index = self.index(op == b'g', op == b'h')?;
                    let id = *self.memo.get(&index).ok_or("it remembers nothing of that number")?;
                    self.stack.push(id);
                }
                op @ (b'p' | b'q' | b'r') => {
                    let index = self.index(op == b'p', op == b'q')?;
                    self.memo.insert(index, self.top()?);
                }
                0x94 => drop(self.memo.insert(self.memo.len() as u32, self.top()?)),
                op => self.object(op)?,
            }
        }
    }

    /// Classes, calls, and what a file keeps apart.
    fn object(&mut self, op: u8) -> Result<(), String> {
        match op {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Class(module, name))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let [module, name] = [module, name].map(|id| self.heap.text(id).map(String::from));
                self.push(Object::Class(module?, name?))
            }
            b'Q' => {
                let id = self.pop()?;
                let (storage, size) = calls::storage(&self.heap, id)?;
                let key = storage.key.to_string();
                if self.storages.get(&key).is_some_and(|known| *known != size) {
                    return Err(format!("storage `{key}` has two sizes"));
                }
                self.storages.insert(key, size);
                self.push(Object::Storage(storage))
            }
            b'R' => {
                let (args, call) = (self.pop()?, self.pop()?);
                let result = calls::reduce(&mut self.heap, call, args)?;
                self.stack.push(result);
                Ok(())
            }
            0x81 => {
                let (args, class) = (self.pop()?, self.pop()?);
                self.unknown(class, &[args])
            }
            0x92 => {
                let (named, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.unknown(class, &[args, named])
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                let args = self.pop_mark()?;
                let class = self.heap.add(Object::Class(module, name))?;
                self.unknown(class, &args)
            }
            b'o' => {
                let items = self.pop_mark()?;
                let (&class, args) = items.split_first().ok_or("a call of nothing")?;
                self.unknown(class, args)
            }
            b'b' => {
                let (state, object) = (self.pop()?, self.top()?);
                calls::build(&mut self.heap, object, state)
            }
            op => Err(format!("its operation {op:#04x} is not known")),
        }
    }

    fn unknown(&mut self, class: Id, args: &[Id]) -> Result<(), String> {
        let object = calls::unknown(&mut self.heap, class, args)?;
        self.stack.push(object);
        Ok(())
    }

    fn number(&mut self, op: u8) -> Result<(), String> {
        let bad = |text: &str| format!("`{}` is no number", super::shown(text));
        let object = match op {
            b'N' => Object::None,
            0x88 | 0x89 => Object::Bool(op == 0x88),
            b'I' => match &*self.line()? {
                text @ ("00" | "01") => Object::Bool(text == "01"),
                text => Object::Int(text.parse().map_err(|_| bad(text))?),
            },
            b'J' => Object::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => Object::Int(self.byte()?.into()),
            b'M' => Object::Int(u16::from_le_bytes(self.array()?).into()),
            b'L' => {
                let line = self.line()?;
                // A number that no size can be is only looked at.
                line.trim_end_matches('L').parse().map_or_else(|_| Object::Other("int".into()), Object::Int)
            }
            0x8a | 0x8b => {
                let length = if op == 0x8a { self.byte()?.into() } else { u32::from_le_bytes(self.array()?) as usize };
                long(self.take(length)?)
            }
            b'F' => {
                let line = self.line()?;
                Object::Float(line.parse().map_err(|_| bad(&line))?)
            }
            _ => Object::Float(f64::from_be_bytes(self.array()?)),
        };
        self.push(object)
    }

    fn text(&mut self, op: u8) -> Result<(), String> {
        let object = match op {
            b'S' => {
                let line = self.line()?;
                let quoted = |q: char| line.strip_prefix(q)?.strip_suffix(q);
                Object::Text(plain(quoted('\'').or(quoted('"')).ok_or("a string without quotes")?)?)
            }
            b'V' => Object::Text(plain(&self.line()?)?),
            _ => {
                let length = match op {
                    b'U' | 0x8c | b'C' => self.byte()?.into(),
                    b'T' | b'X' | b'B' => u32::from_le_bytes(self.array()?) as usize,
                    _ => usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| ENDS)?,
                };
                let bytes = self.take(length)?;
                match (op, std::str::from_utf8(bytes)) {
                    (b'X' | 0x8c | 0x8d, Err(_)) => return Err("a string is not UTF-8".into()),
                    (b'X' | 0x8c | 0x8d | b'U' | b'T', Ok(text)) => Object::Text(text.into()),
                    _ => Object::Bytes(length),
                }
            }
        };
        self.push(object)
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        let list = self.top()?;
        // What is not understood may be a kind of list.
        if let Object::Other(_) = self.heap.get(list)
            && !self.heap.any_tensor(items)?
        {
            return Ok(());
        }
        let Object::List(list) = self.heap.get_mut(list) else {
            return Err("items are added to what is no list".into());
        };
        list.extend(items);
        Ok(())
    }

    /// Puts pairs into the dict at the top.
    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let dict = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a key has no value".into());
        }
        if let Object::Other(_) = self.heap.get(dict)
            && !self.heap.any_tensor(items)?
        {
            return Ok(());
        }
        let keys: Vec<String> = pairs.iter().map(|[key, _]| self.heap.key(*key)).collect::<Result<_, _>>()?;
        let Object::Dict(entries) = self.heap.get_mut(dict) else {
            return Err("items are put into what is no dict".into());
        };
        entries.extend(keys.into_iter().zip(pairs.iter().map(|pair| pair[1])));
        Ok(())
    }

    fn push(&mut self, object: Object) -> Result<(), String> {
        let id = self.heap.add(object)?;
        self.stack.push(id);
        Ok(())
    }

    fn top(&self) -> Result<Id, String> {
        let top = self.stack.last().filter(|_| self.marks.last() != Some(&self.stack.len()));
        top.copied().ok_or_else(|| "its stack is empty".into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or("its stack has no mark")?))
    }

    fn index(&mut self, text: bool, short: bool) -> Result<u32, String> {
        match (text, short) {
            (true, _) => self.line()?.parse().map_err(|_| "a memory without a number".into()),
            (_, true) => self.byte().map(u32::from),
            _ => self.array().map(u32::from_le_bytes),
        }
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let part = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end)).ok_or(ENDS)?;
        self.at += length;
        Ok(part)
    }

    fn skip(&mut self, length: usize) -> Result<(), String> {
        self.take(length).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| ENDS.into())
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array().map(|[byte]| byte)
    }

    fn line(&mut self) -> Result<String, String> {
        let length = self.bytes[self.at..].iter().position(|&b| b == b'\n').ok_or(ENDS)?;
        let line = std::str::from_utf8(self.take(length)?).map_err(|_| "a line is not UTF-8")?;
        let line = line.trim_end_matches('\r').to_string();
        self.skip(1)?;
        Ok(line)
    }
}

/// A string in a line of text.
fn plain(text: &str) -> Result<String, String> {
    if text.contains('\\') { Err("a string has escaped characters".into()) } else { Ok(text.into()) }
}

/// A number of any length, in two's complement.
fn long(bytes: &[u8]) -> Object {
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut eight = [fill; 8];
    let (low, high) = bytes.split_at(bytes.len().min(8));
    eight[..low.len()].copy_from_slice(low);
    if high.iter().any(|&b| b != fill) || (eight[7] ^ fill) & 0x80 != 0 {
        return Object::Other("int".into());
    }
    Object::Int(i64::from_le_bytes(eight))
}
