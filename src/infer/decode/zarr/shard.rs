//! Shards: files of many chunks, with an index of where each lies.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

use super::codec::crc32c;
use super::store::{named, numbers};
use crate::error::{Error, Result};
use crate::io::fs::File;

/// Chunks of a shard beyond this number are refused.
const MAX_CHUNKS: u64 = 1 << 22;
/// Bytes of indices that are kept.
const KEPT: usize = 32 << 20;
/// Bytes of an entry: position and length.
const ENTRY: usize = 16;

/// How shards are divided.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shards {
    /// Chunks along each axis.
    pub per: Vec<u64>,
    at_start: bool,
    checked: bool,
    big_endian: bool,
}

/// Indices of the latest shards.
#[derive(Debug, Default)]
pub(super) struct Indices {
    bytes: usize,
    kept: HashMap<Vec<u64>, Vec<[u64; 2]>>,
}

impl Shards {
    /// From the codec's configuration and the shape of a shard; also the shape of its chunks and their codecs.
    pub(super) fn parse<'a>(value: &'a Value, shard: &[u64]) -> Result<(Self, Vec<u64>, &'a [Value]), String> {
        let codec = "the codec `sharding_indexed`";
        let chunk = numbers(value.get("chunk_shape")).ok_or_else(|| format!("{codec} has no `chunk_shape`"))?;
        let fits = chunk.len() == shard.len() && shard.iter().zip(&chunk).all(|(s, &c)| c > 0 && *s > 0 && s % c == 0);
        if !fits {
            return Err(format!("{codec} divides shards of shape {shard:?} into chunks of shape {chunk:?}"));
        }
        let per: Vec<u64> = shard.iter().zip(&chunk).map(|(s, c)| s / c).collect();
        if per.iter().try_fold(1u64, |n, &side| n.checked_mul(side)).is_none_or(|n| n > MAX_CHUNKS) {
            return Err(format!("{codec} has more than {MAX_CHUNKS} chunks in a shard"));
        }
        let at_start = match value.get("index_location").and_then(Value::as_str) {
            None | Some("end") => false,
            Some("start") => true,
            Some(other) => return Err(format!("{codec} has its index at `{other}`")),
        };
        let (mut checked, mut big_endian) = (false, false);
        for item in value.get("index_codecs").and_then(Value::as_array).into_iter().flatten() {
            match named(item) {
                ("bytes", configuration) => {
                    big_endian = configuration.get("endian").and_then(Value::as_str) == Some("big")
                }
                ("crc32c", _) => checked = true,
                (other, _) => {
                    return Err(format!("{codec} has an index with the codec `{other}`, which is not supported"));
                }
            }
        }
        let codecs =
            value.get("codecs").and_then(Value::as_array).ok_or_else(|| format!("{codec} has no list `codecs`"))?;
        Ok((Self { per, at_start, checked, big_endian }, chunk, codecs))
    }

    fn read(&self, path: &Path, file: &mut File, bytes: u64) -> Result<Vec<[u64; 2]>> {
        let damaged = |what: &str| Error::file(path, format!("damaged: the index of its chunks {what}"));
        let count = self.per.iter().product::<u64>() as usize;
        let length = count * ENTRY + if self.checked { 4 } else { 0 };
        let Some(end) = bytes.checked_sub(length as u64) else { return Err(damaged("does not fit into the file")) };
        let mut raw = Vec::new();
        let start = if self.at_start { 0 } else { end };
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.take(length as u64).read_to_end(&mut raw));
        read.map_err(|e| Error::io(path, e))?;
        let table = raw.get(..count * ENTRY).ok_or_else(|| damaged("is truncated"))?;
        if self.checked && raw.last_chunk().map(|b| u32::from_le_bytes(*b)) != Some(crc32c(table)) {
            return Err(damaged("has a wrong checksum"));
        }
        let word = |b: &[u8; 8]| if self.big_endian { u64::from_be_bytes(*b) } else { u64::from_le_bytes(*b) };
        let words: Vec<u64> = table.as_chunks::<8>().0.iter().map(word).collect();
        Ok(words.as_chunks::<2>().0.to_vec())
    }
}

impl Indices {
    /// Position and length of a chunk in its shard; `None` if it is not stored.
    pub(super) fn place(
        &mut self,
        shards: &Shards,
        path: &Path,
        file: &mut File,
        bytes: u64,
        outer: Vec<u64>,
        index: &[u64],
    ) -> Result<Option<(u64, u64)>> {
        let number = index.iter().zip(&shards.per).fold(0, |n, (i, per)| n * per + i % per) as usize;
        if !self.kept.contains_key(&outer) {
            let table = shards.read(path, file, bytes)?;
            let more = table.len() * ENTRY;
            if self.bytes + more > KEPT {
                *self = Self::default();
            }
            self.bytes += more;
            self.kept.insert(outer.clone(), table);
        }
        match self.kept.get(&outer).and_then(|table| table.get(number)) {
            None | Some([u64::MAX, u64::MAX]) => Ok(None),
            Some(&[start, length]) if start.checked_add(length).is_some_and(|end| end <= bytes) => {
                Ok(Some((start, length)))
            }
            Some(_) => Err(Error::file(path, "damaged: a chunk lies beyond the end of the shard")),
        }
    }
}
