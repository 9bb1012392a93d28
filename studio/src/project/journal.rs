//! Entries and lines of a journal, as bytes.
//!
//! A line is a JSON object `{"crc":"1a2b3c4d","entry":ENTRY}`, with the CRC-32 of the bytes of ENTRY.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::label_files::Mark;
use crate::labels::{Edit, Labels, Patch};

/// The version that this program writes.
pub(super) const VERSION: u32 = 1;
const BEFORE: &[u8] = b"{\"crc\":\"";
const BETWEEN: &[u8] = b"\",\"entry\":";
const AFTER: &[u8] = b"}\n";

/// A label file and what it does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Base {
    /// The file; none where there is none.
    pub file: Option<Mark>,
    /// The next id.
    pub next: u32,
    /// Classes of instances that are not 1, also of absent ones.
    pub classes: Vec<(u32, u8)>,
}

impl Base {
    /// The base that a file with these labels is.
    pub fn of(labels: &Labels, file: Option<Mark>) -> Self {
        Self { file, next: labels.counter(), classes: labels.class_table() }
    }
}

/// An entry of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// The first: the labels before all others.
    Start { version: u32, size: [u32; 2], base: Base },
    /// An edit.
    Edit(Edit),
    /// The last step is undone.
    Undo,
    /// The step that was undone last is redone.
    Redo,
    /// A step from before the journal is undone or redone: nothing before it can be undone.
    Patch(Patch),
    /// A label file is about to be written: the labels after so many entries. It may not have been.
    Saving { after: u64, base: Base },
}

/// The line of an entry.
pub(super) fn line(entry: &Entry) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(entry).map_err(|e| e.to_string())?;
    let crc = format!("{:08x}", crc32fast::hash(&json));
    Ok([BEFORE, crc.as_bytes(), BETWEEN, &json, AFTER].concat())
}

/// How a journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Every line is whole.
    Whole,
    /// The last line, which starts there, is not complete: its process died while it wrote.
    Torn(usize),
    /// The line that starts there is damaged.
    Damaged(usize),
}

/// Reads the lines of a journal, each with its place, up to the first that is not whole.
pub(super) fn parse(bytes: &[u8]) -> (Vec<(Entry, Range<usize>)>, End) {
    let (mut entries, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Some(length) = bytes[at..].iter().position(|&b| b == b'\n') else { return (entries, End::Torn(at)) };
        let place = at..at + length + 1;
        let Some(entry) = entry(&bytes[place.clone()]) else { return (entries, End::Damaged(at)) };
        at = place.end;
        entries.push((entry, place));
    }
    (entries, End::Whole)
}

fn entry(line: &[u8]) -> Option<Entry> {
    let line = line.strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
    let (crc, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(BETWEEN)?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    if crc32fast::hash(json) != crc { None } else { serde_json::from_slice(json).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_and_damage_is_found() {
        let base = Base { file: Some(Mark::of(b"x")), next: 4, classes: vec![(2, 3)] };
        let entries = [
            Entry::Start { version: VERSION, size: [3, 2], base: base.clone() },
            Entry::Edit(Edit::Merge { ids: vec![1, 2] }),
            Entry::Undo,
            Entry::Saving { after: 3, base },
        ];
        let lines: Vec<Vec<u8>> = entries.iter().map(|e| line(e).unwrap()).collect();
        for line in &lines {
            assert!(serde_json::from_slice::<serde_json::Value>(line).unwrap()["entry"] != serde_json::Value::Null);
        }
        let whole = lines.concat();
        let (read, end) = parse(&whole);
        assert_eq!((read.iter().map(|e| &e.0).collect::<Vec<_>>(), end), (entries.iter().collect(), End::Whole));
        // Cut anywhere: the whole lines before are read, and the rest is torn.
        for cut in 0..whole.len() {
            let (read, end) = parse(&whole[..cut]);
            let complete = whole[..cut].iter().filter(|&&b| b == b'\n').count();
            let at = lines[..complete].iter().map(Vec::len).sum();
            assert_eq!((read.len(), end), (complete, if at == cut { End::Whole } else { End::Torn(at) }));
        }
        // Any changed bit is noticed.
        for bit in 0..8 * whole.len() {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let (read, end) = parse(&changed);
            let same_crc = read.len() == entries.len() && read.iter().map(|e| &e.0).eq(&entries);
            assert!(end != End::Whole || same_crc, "bit {bit}");
        }
    }
}
