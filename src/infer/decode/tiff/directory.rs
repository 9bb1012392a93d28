//! The directories of a TIFF file. The crate reads their entries and values; which image they hold is our own business.

use std::collections::HashSet;
use std::io::{Cursor, Read, Seek, SeekFrom};

use ::tiff::decoder::ifd::Value;
use ::tiff::decoder::{Decoder, Limits};
use ::tiff::tags::{ByteOrder, IfdPointer, Tag};
use ::tiff::{Directory, TiffResult};

use super::error;
use crate::error::Result;
use crate::infer::decode::{SCRATCH, Source};
use crate::io::Reader;

/// A TIFF file at one of its directories. Its tags can be read whatever they say, also of directories outside the chain.
pub(in crate::infer::decode) struct TiffDecoder {
    decoder: Decoder<Switch>,
    /// Where the file's first directory begins.
    first: u64,
    /// Where the directories of the chain begin, as far as they are known.
    chain: Vec<u64>,
    seen: HashSet<u64>,
    /// The directory that was entered last.
    current: Directory,
}

/// The file; before that a tiny image, since the crate gives no tag of a file whose first directory it does not take for an image.
struct Switch {
    stand_in: Option<Cursor<Vec<u8>>>,
    file: Reader,
}

impl Read for Switch {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.stand_in {
            Some(bytes) => bytes.read(buffer),
            None => self.file.read(buffer),
        }
    }
}

impl Seek for Switch {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        match &mut self.stand_in {
            Some(bytes) => bytes.seek(to),
            None => self.file.seek(to),
        }
    }
}

/// A file of one pixel with the same byte order and size of offsets.
fn stand_in(big_endian: bool, wide: bool) -> Vec<u8> {
    let mut out = if big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    let put = |out: &mut Vec<u8>, value: u64, bytes: usize| {
        let all = value.to_le_bytes();
        let few = all.iter().take(bytes).copied();
        if big_endian { out.extend(few.rev()) } else { out.extend(few) }
    };
    let (word, head) = if wide { (8, 16) } else { (4, 8) };
    put(&mut out, if wide { 43 } else { 42 }, 2);
    if wide {
        put(&mut out, 8, 2);
        put(&mut out, 0, 2);
    }
    put(&mut out, head, word);
    // Width, length, photometric interpretation, where the strip is and its length.
    let tags = [256, 257, 262, 273, 279];
    put(&mut out, tags.len() as u64, if wide { 8 } else { 2 });
    for tag in tags {
        put(&mut out, tag, 2);
        put(&mut out, 3, 2);
        put(&mut out, 1, word);
        put(&mut out, 1, 2);
        put(&mut out, 0, word - 2);
    }
    put(&mut out, 0, word);
    out
}

impl TiffDecoder {
    /// Reads the header and the first directory.
    pub fn new(source: &Source, mut file: Reader) -> Result<Self> {
        let short = || source.error("the TIFF file is truncated");
        let mut head = [0; 16];
        let mut len = 0;
        while let Some(rest) = head.get_mut(len..).filter(|r| !r.is_empty()) {
            match file.read(rest).map_err(|e| crate::error::Error::io(source.path, e))? {
                0 => break,
                n => len += n,
            }
        }
        let big_endian = head.starts_with(b"MM");
        let number = |from: usize, bytes: usize| {
            let digits = head.get(from..from + bytes).unwrap_or_default().iter();
            let add = |n: u64, &byte: &u8| n << 8 | u64::from(byte);
            if big_endian { digits.fold(0, add) } else { digits.rev().fold(0, add) }
        };
        let wide = number(2, 2) == 43;
        if len < if wide { 16 } else { 8 } {
            return Err(short());
        }
        if wide && (number(4, 2), number(6, 2)) != (8, 0) {
            return Err(source.error("damaged BigTIFF file: its offsets are not of 8 bytes"));
        }
        let first = if wide { number(8, 8) } else { number(4, 4) };
        let stand_in = Some(Cursor::new(stand_in(big_endian, wide)));
        let mut decoder = Decoder::new(Switch { stand_in, file }).map_err(|e| error(source, e))?;
        decoder.inner().stand_in = None;
        let file_bytes = usize::try_from(source.bytes).unwrap_or(usize::MAX);
        let mut limits = Limits::default();
        // Bounds lists of values of the directory, which are at least a byte each in the file.
        limits.decoding_buffer_size = file_bytes.saturating_mul(size_of::<Value>());
        limits.ifd_value_size = file_bytes.min(SCRATCH as usize);
        let decoder = decoder.with_limits(limits);
        let mut out =
            Self { decoder, first, chain: vec![first], seen: HashSet::from([first]), current: Directory::empty() };
        out.enter(first).map_err(|e| error(source, e))?;
        Ok(out)
    }

    /// Goes to the directory that begins at byte `offset`.
    pub fn enter(&mut self, offset: u64) -> TiffResult<()> {
        self.current = self.decoder.read_directory(IfdPointer(offset))?;
        Ok(())
    }

    /// Goes to the file's first directory, which describes the whole file.
    pub fn enter_first(&mut self) -> TiffResult<()> {
        self.enter(self.first)
    }

    /// Takes these directories in place of the file's chain.
    pub fn follow(&mut self, offsets: Vec<u64>) {
        self.chain = offsets;
    }

    /// Goes to directory `index` of the chain.
    pub fn seek_to_image(&mut self, index: usize) -> TiffResult<()> {
        use ::tiff::{TiffError, TiffFormatError};
        while self.chain.len() <= index {
            let last = self.chain.last().copied().unwrap_or(0);
            self.enter(last)?;
            let next =
                self.current.next().ok_or(TiffError::FormatError(TiffFormatError::ImageFileDirectoryNotFound))?;
            if !self.seen.insert(next.0) {
                return Err(TiffError::FormatError(TiffFormatError::CycleInOffsets));
            }
            self.chain.push(next.0);
        }
        self.enter(self.chain.get(index).copied().unwrap_or(0))
    }

    /// Whether another directory follows this one.
    pub fn more_images(&self) -> bool {
        self.current.next().is_some()
    }

    pub fn find_tag(&mut self, tag: Tag) -> TiffResult<Option<Value>> {
        self.decoder.read_directory_tags(&self.current).find_tag(tag)
    }

    pub fn find_tag_unsigned<T: TryFrom<u64>>(&mut self, tag: Tag) -> TiffResult<Option<T>> {
        self.decoder.read_directory_tags(&self.current).find_tag_unsigned(tag)
    }

    pub fn find_tag_unsigned_vec<T: TryFrom<u64>>(&mut self, tag: Tag) -> TiffResult<Option<Vec<T>>> {
        self.decoder.read_directory_tags(&self.current).find_tag_unsigned_vec(tag)
    }

    /// How many values a tag has.
    pub fn count_of(&self, tag: Tag) -> Option<usize> {
        self.current.get(tag).and_then(|entry| usize::try_from(entry.count()).ok())
    }

    pub fn byte_order(&self) -> ByteOrder {
        self.decoder.byte_order()
    }

    /// The file itself.
    pub fn inner(&mut self) -> &mut Reader {
        &mut self.decoder.inner().file
    }
}
