//! Arrays: their metadata in versions 2 and 3, and their chunks.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::codec::{Codec, of_version_2, undo};
use super::samples::Type;
use super::shard::{Indices, Shards};
use super::store::{Format, Node, named, numbers};
use crate::error::{Error, Result};
use crate::io::fs::File;

/// Longer chunks are refused.
const MAX_CHUNK: u64 = 1 << 31;
/// Longest side of an array.
const MAX_SIDE: u64 = 1 << 48;

/// An array.
#[derive(Debug)]
pub(crate) struct Array {
    pub folder: PathBuf,
    pub shape: Vec<u64>,
    /// Shape of a chunk; of a sharded array, of an inner chunk.
    pub chunk: Vec<u64>,
    pub kind: Type,
    /// The bytes of a sample that no chunk has.
    pub fill: Vec<u8>,
    /// The axis of the array for each axis of a chunk as stored.
    order: Vec<usize>,
    codecs: Vec<Codec>,
    prefix: &'static str,
    separator: char,
    pub shards: Option<Shards>,
    indices: Indices,
}

impl Array {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let node = Node::open(folder)?;
        let Some(value) = &node.array else { return Err(Error::file(folder, "is no Zarr array")) };
        let file = if node.format == Format::V2 { ".zarray" } else { "zarr.json" };
        let read = if node.format == Format::V2 { Self::version_2 } else { Self::version_3 };
        let array = read(folder, value).map_err(|reason| Error::file(folder, format!("{file}: {reason}")))?;
        Ok(array)
    }

    fn version_2(folder: &Path, value: &Value) -> Result<Self, String> {
        let text = value.get("dtype").and_then(Value::as_str).ok_or("`dtype` is no type of numbers")?;
        if value.get("filters").and_then(Value::as_array).is_some_and(|f| !f.is_empty()) {
            return Err("`filters` are not supported".into());
        }
        let shape = numbers(value.get("shape")).ok_or("has no `shape`")?;
        let order = match value.get("order").and_then(Value::as_str) {
            Some("C") | None => (0..shape.len()).collect(),
            Some("F") => (0..shape.len()).rev().collect(),
            Some(other) => return Err(format!("`order` is {other}")),
        };
        let separator = match value.get("dimension_separator").and_then(Value::as_str) {
            None | Some(".") => '.',
            Some("/") => '/',
            Some(other) => return Err(format!("`dimension_separator` is `{other}`")),
        };
        Self {
            folder: folder.to_path_buf(),
            shape,
            chunk: numbers(value.get("chunks")).ok_or("has no `chunks`")?,
            kind: Type::parse(text).ok_or_else(|| unknown_type("dtype", text))?,
            fill: Vec::new(),
            order,
            codecs: of_version_2(value.get("compressor"))?,
            prefix: "",
            separator,
            shards: None,
            indices: Indices::default(),
        }
        .checked(value)
    }

    fn version_3(folder: &Path, value: &Value) -> Result<Self, String> {
        let text = value.get("data_type").and_then(Value::as_str).ok_or("`data_type` is no type of numbers")?;
        let shape = numbers(value.get("shape")).ok_or("has no `shape`")?;
        let (grid, configuration) = named(value.get("chunk_grid").unwrap_or(&Value::Null));
        if grid != "regular" {
            return Err(format!("the chunk grid `{grid}` is not supported (regular is)"));
        }
        let chunk = numbers(configuration.get("chunk_shape")).ok_or("has no `chunk_grid.configuration.chunk_shape`")?;
        if value.get("storage_transformers").and_then(Value::as_array).is_some_and(|t| !t.is_empty()) {
            return Err("`storage_transformers` are not supported".into());
        }
        let (encoding, configuration) = named(value.get("chunk_key_encoding").unwrap_or(&Value::Null));
        let (prefix, separator) = match encoding {
            "default" => ("c", '/'),
            "v2" => ("", '.'),
            other => return Err(format!("the chunk key encoding `{other}` is not supported")),
        };
        let separator = match configuration.get("separator").and_then(Value::as_str) {
            None => separator,
            Some("/") => '/',
            Some(".") => '.',
            Some(other) => return Err(format!("the separator `{other}` of chunk keys")),
        };
        let list = value.get("codecs").and_then(Value::as_array).ok_or("has no list `codecs`")?;
        let mut array = Self {
            folder: folder.to_path_buf(),
            order: (0..shape.len()).collect(),
            shape,
            chunk,
            kind: Type::parse(text).ok_or_else(|| unknown_type("data_type", text))?,
            fill: Vec::new(),
            codecs: Vec::new(),
            prefix,
            separator,
            shards: None,
            indices: Indices::default(),
        };
        array.kind.big_endian = false;
        array.set_codecs(list, false)?;
        array.checked(value)
    }

    /// Codecs of version 3; `inner` for those of a shard's chunks.
    fn set_codecs(&mut self, list: &[Value], inner: bool) -> Result<(), String> {
        let mut bytes = false;
        for item in list {
            let (name, configuration) = named(item);
            match name {
                "transpose" if !bytes => {
                    let order =
                        numbers(configuration.get("order")).ok_or("the codec `transpose` has no list `order`")?;
                    let mut sorted = order.clone();
                    sorted.sort_unstable();
                    if sorted != (0..self.order.len() as u64).collect::<Vec<_>>() {
                        return Err("the `order` of the codec `transpose` is no permutation of the axes".into());
                    }
                    self.order = order.iter().filter_map(|&i| self.order.get(i as usize).copied()).collect();
                }
                "bytes" | "endian" if !bytes => {
                    bytes = true;
                    self.kind.big_endian = configuration.get("endian").and_then(Value::as_str) == Some("big");
                }
                "sharding_indexed" if !bytes && !inner => {
                    if self.order.windows(2).any(|w| w[0] > w[1]) || list.len() > 1 {
                        return Err("the codec `sharding_indexed` beside others is not supported".into());
                    }
                    let (shards, chunk, codecs) = Shards::parse(configuration, &self.chunk)?;
                    self.chunk = chunk;
                    self.shards = Some(shards);
                    return self.set_codecs(codecs, true);
                }
                "transpose" | "bytes" | "sharding_indexed" => {
                    return Err(format!("the codec `{name}` at this place is not supported"));
                }
                name if bytes => self.codecs.push(Codec::named(name)?),
                name => {
                    Codec::named(name)?;
                    return Err(format!("the codec `{name}` stands before `bytes`"));
                }
            }
        }
        if bytes { Ok(()) } else { Err("`codecs` has no `bytes`".into()) }
    }

    fn checked(mut self, value: &Value) -> Result<Self, String> {
        let rank = self.shape.len();
        if rank == 0 || rank > 5 {
            return Err(format!("the array has {rank} dimensions; images have 2 to 5"));
        }
        if self.chunk.len() != rank || self.chunk.contains(&0) {
            return Err(format!("chunks of shape {:?} for an array of shape {:?}", self.chunk, self.shape));
        }
        if self.shape.iter().any(|&n| n == 0 || n > MAX_SIDE) {
            return Err(format!("an array of shape {:?} is no image", self.shape));
        }
        let bytes = self.chunk.iter().try_fold(self.kind.bytes as u64, |n, &side| n.checked_mul(side));
        if bytes.is_none_or(|b| b > MAX_CHUNK) {
            return Err(format!("chunks of shape {:?} are larger than {MAX_CHUNK} bytes", self.chunk));
        }
        let fill = value.get("fill_value");
        self.fill = self.kind.fill(fill).ok_or_else(|| {
            format!("`fill_value` {} is no {}", fill.map_or(String::new(), Value::to_string), self.kind.name())
        })?;
        Ok(self)
    }

    /// Bytes of a chunk.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        self.chunk.iter().fold(self.kind.bytes as u64, |n, &side| n.saturating_mul(side))
    }

    /// Distances in a chunk between neighbours along each axis, in samples.
    pub(crate) fn steps(&self) -> Vec<usize> {
        let mut steps = vec![0; self.chunk.len()];
        let mut step = 1;
        for &axis in self.order.iter().rev() {
            if let (Some(to), Some(&side)) = (steps.get_mut(axis), self.chunk.get(axis)) {
                *to = step;
                step *= side as usize;
            }
        }
        steps
    }

    /// How chunks are stored, in words.
    pub(crate) fn compression(&self) -> String {
        let names: Vec<_> = self.codecs.iter().map(|c| c.name()).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }

    fn path(&self, index: &[u64]) -> PathBuf {
        let parts = index.iter().map(u64::to_string);
        let parts: Vec<String> =
            (!self.prefix.is_empty()).then(|| self.prefix.to_string()).into_iter().chain(parts).collect();
        self.folder.join(parts.join(&self.separator.to_string()))
    }

    /// The bytes of a chunk; `None` if it is not stored.
    pub(crate) fn chunk(&mut self, index: &[u64]) -> Result<Option<Vec<u8>>> {
        let outer: Vec<u64> = match &self.shards {
            Some(shards) => index.iter().zip(&shards.per).map(|(i, n)| i / n).collect(),
            None => index.to_vec(),
        };
        let path = self.path(&outer);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, e)),
        };
        let bytes = file.metadata().map_err(|e| Error::io(&path, e))?.len();
        let place = match &self.shards {
            None => Some((0, bytes)),
            Some(shards) => self.indices.place(shards, &path, &mut file, bytes, outer, index)?,
        };
        let Some((start, length)) = place else { return Ok(None) };
        let len = self.chunk_bytes();
        // Data that do not compress are a little longer.
        if length > len.saturating_mul(2).saturating_add(1 << 16) {
            return Err(Error::file(path, format!("{length} bytes are too many for a chunk of {len}")));
        }
        let mut raw = Vec::new();
        raw.try_reserve_exact(length as usize).map_err(|_| Error::file(&path, "a chunk does not fit in memory"))?;
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.take(length).read_to_end(&mut raw));
        read.map_err(|e| Error::io(&path, e))?;
        undo(&self.codecs, raw, len as usize)
            .map(Some)
            .map_err(|reason| Error::file(path, format!("a chunk holds {reason}")))
    }
}

fn unknown_type(key: &str, text: &str) -> String {
    format!("`{key}` {text} is not supported (integers, floats and bool are)")
}
