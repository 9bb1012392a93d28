//! A position in a TIFF file's chain of directories. Directories and values are read by [`Directories`].

use std::collections::HashSet;
use std::io::Result;

use crate::error;
use crate::infer::decode::Source;
use crate::infer::decode::directory::{Directories, Directory, damaged, failed};
use crate::io::Reader;

/// A TIFF file positioned at a directory, possibly one outside the chain.
pub(in crate::low_level::infer::decode) struct TiffDecoder {
    file: Directories<Reader>,
    /// Offsets of the directories of the chain found so far.
    chain: Vec<u64>,
    seen: HashSet<u64>,
    /// The directory entered last.
    current: Directory,
}

impl TiffDecoder {
    /// Reads the header and the first directory.
    pub(crate) fn new(source: &Source, reader: Reader) -> error::Result<Self> {
        let open = || {
            let mut file = Directories::new(reader)?;
            let first = file.header.first;
            let current = file.read(first)?;
            Ok(Self { file, chain: vec![first], seen: HashSet::from([first]), current })
        };
        open().map_err(|e| failed(source, e))
    }

    /// Goes to the file's first directory, which describes the whole file.
    pub(crate) fn enter_first(&mut self) -> Result<()> {
        self.current = self.file.read(self.file.header.first)?;
        Ok(())
    }

    /// Replaces the file's chain by these directories.
    pub(crate) fn follow(&mut self, offsets: Vec<u64>) {
        self.chain = offsets;
    }

    /// Goes to directory `index` of the chain.
    pub(crate) fn seek_to_image(&mut self, index: usize) -> Result<()> {
        while self.chain.len() <= index {
            let last = self.chain.last().copied().unwrap_or(0);
            self.current = self.file.read(last)?;
            let next = self.current.next;
            if next == 0 {
                return Err(damaged(format!("it has no directory {index}")));
            }
            if !self.seen.insert(next) {
                return Err(damaged("its directories form a circle"));
            }
            self.chain.push(next);
        }
        self.current = self.file.read(self.chain.get(index).copied().unwrap_or(0))?;
        Ok(())
    }

    /// Whether another directory follows this one.
    pub(crate) fn more_images(&self) -> bool {
        self.current.next != 0
    }

    /// Whether the directory has a tag.
    pub(crate) fn has(&self, tag: u16) -> bool {
        self.current.has(tag)
    }

    /// Number of values of a tag.
    pub(crate) fn count_of(&self, tag: u16) -> Option<usize> {
        self.current.count(tag).and_then(|n| usize::try_from(n).ok())
    }

    /// The only value of a tag, an unsigned integer; an error if it is anything else.
    pub(crate) fn unsigned<T: TryFrom<u64>>(&mut self, tag: u16) -> Result<Option<T>> {
        let Some(values) = self.file.unsigned(&self.current, tag)? else { return Ok(None) };
        let value = match values[..] {
            [value] => T::try_from(value).ok(),
            _ => None,
        };
        Ok(Some(value.ok_or_else(|| damaged(format!("tag {tag} has no valid value")))?))
    }

    /// The values of a tag, unsigned integers; an error if they are anything else.
    pub(crate) fn unsigned_list<T: TryFrom<u64>>(&mut self, tag: u16) -> Result<Option<Vec<T>>> {
        let Some(values) = self.file.unsigned(&self.current, tag)? else { return Ok(None) };
        let values = values.into_iter().map(T::try_from).collect::<std::result::Result<_, _>>();
        Ok(Some(values.map_err(|_| damaged(format!("tag {tag} has no valid values")))?))
    }

    /// Bytes; an error if the values are not bytes.
    pub(crate) fn bytes(&mut self, tag: u16) -> Result<Option<Vec<u8>>> {
        self.unsigned_list(tag)
    }

    /// Values of floats, `None` if they are anything else.
    pub(crate) fn floats(&mut self, tag: u16) -> Option<Vec<f64>> {
        self.file.floats(&self.current, tag)
    }

    /// Text up to its first zero, `None` if it is anything else.
    pub(crate) fn text(&mut self, tag: u16) -> Option<String> {
        self.file.text(&self.current, tag)
    }

    pub(crate) fn is_big_endian(&self) -> bool {
        self.file.header.big_endian
    }

    /// All directories, wherever the position is.
    pub(crate) fn directories(&mut self) -> &mut Directories<Reader> {
        &mut self.file
    }

    /// The underlying reader.
    pub(crate) fn inner(&mut self) -> &mut Reader {
        self.file.inner()
    }
}
