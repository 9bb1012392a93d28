//! Pixel layout of a TIFF directory: sizes, chunks and their places.

use std::sync::Arc;

use super::codes;
use crate::error::Result;
use crate::infer::decode::Source;
use crate::infer::image::Sample;

/// Conversion of a pixel's samples.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::low_level::infer::decode) enum Colour {
    /// None.
    Plain,
    /// White is zero: values are inverted, except extra samples.
    Inverted,
    /// Palette indices with 8-bit colours; one channel if all are grey.
    Palette8 { grey: bool, table: Arc<Vec<[u16; 3]>> },
    /// The same with 16-bit colours.
    Palette16 { grey: bool, table: Arc<Vec<[u16; 3]>> },
    /// 8-bit luma and chroma. `luma`: weights of red, green and blue; `range`: reference black and white per component.
    YCbCr { subsampling: [usize; 2], luma: [f64; 3], range: [f64; 6] },
}

/// Interpretation of a sample's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Unsigned,
    Signed,
    Float,
}

/// The transform to undo after decompression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    Horizontal,
    Float,
}

/// Pixel layout of a directory. Directories with equal layouts can be channels of one page.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::low_level::infer::decode) struct Page {
    pub width: usize,
    pub height: usize,
    /// Samples per pixel in the file.
    pub stored: usize,
    /// Channels per pixel as decoded, and how many of them are retained.
    pub decoded: usize,
    pub stored_channels: usize,
    pub bits: u8,
    pub format: Format,
    /// The type of the decoded samples.
    pub sample: Sample,
    pub planar: bool,
    /// Columns and rows of a chunk: a tile, a strip, or part of a large strip.
    pub chunk: [usize; 2],
    pub strips: bool,
    /// Rows per strip in the file.
    pub(super) rows: usize,
    /// `Compression`.
    pub compression: u16,
    pub predictor: Predictor,
    /// `PhotometricInterpretation`.
    pub photometric: u16,
    /// `ExtraSamples`.
    pub extra: Vec<u16>,
    pub colour: Colour,
    /// Bits of a byte run from lowest to highest.
    pub reversed: bool,
    pub big_endian: bool,
}

/// Locations of a directory's chunks, and what they share.
#[derive(Debug)]
pub(in crate::low_level::infer::decode) struct Places {
    pub(super) offsets: Vec<u64>,
    pub(super) lengths: Vec<u64>,
    /// `JPEGTables`.
    pub tables: Option<Vec<u8>>,
    /// Value of pixels that the file does not store.
    pub missing: f64,
    /// `T4Options`.
    pub fax: u32,
}

impl Page {
    /// Columns and rows that share a pair of chroma samples in a chunk.
    pub(super) fn subsampling(&self) -> [usize; 2] {
        match self.colour {
            Colour::YCbCr { subsampling, .. } if codes::is_bytes(self.compression) => subsampling,
            _ => [1, 1],
        }
    }

    /// Interleaved samples per pixel of a chunk.
    pub(super) fn together(&self) -> usize {
        if self.planar { 1 } else { self.stored }
    }

    /// Bytes per row of a chunk, decompressed.
    pub(super) fn row_bytes(&self) -> usize {
        (self.chunk[0].saturating_mul(self.together()).saturating_mul(usize::from(self.bits))).div_ceil(8)
    }

    /// Bytes of `rows` rows of a chunk, decompressed.
    pub(super) fn bytes_of_rows(&self, rows: usize) -> usize {
        match self.subsampling() {
            [1, 1] => self.row_bytes().saturating_mul(rows),
            [h, v] => self.chunk[0].div_ceil(h).saturating_mul(rows.div_ceil(v)).saturating_mul(h * v + 2),
        }
    }

    /// Rows of a chunk present in the file: strips end with the image, tiles do not.
    pub(super) fn rows_of(&self, number: usize) -> usize {
        if !self.strips {
            return self.chunk[1];
        }
        let row = number % self.down();
        self.chunk[1].min(self.height.saturating_sub(row * self.chunk[1]))
    }

    /// Rows per strip in the file.
    pub(super) fn strip_rows(&self) -> usize {
        self.rows
    }

    /// Number of chunks side by side.
    pub(super) fn across(&self) -> usize {
        self.width.div_ceil(self.chunk[0])
    }

    fn down(&self) -> usize {
        self.height.div_ceil(self.chunk[1])
    }

    /// Chunks per plane.
    pub(super) fn per_plane(&self) -> usize {
        self.across() * self.down()
    }

    /// Bytes of a strip or tile, decoded or decompressed, whichever is more.
    pub(super) fn chunk_bytes(&self) -> u64 {
        let [w, h] = self.chunk.map(|n| n as u64);
        let decoded = if self.planar { 1 } else { self.decoded } * self.sample.bytes();
        let stored = self.together() * usize::from(self.bits).div_ceil(8);
        w.saturating_mul(h).saturating_mul(decoded.max(stored) as u64)
    }

    /// Whether samples need no conversion.
    pub(super) fn is_plain(&self) -> bool {
        let exact = match self.format {
            Format::Unsigned => matches!(self.bits, 8 | 16),
            Format::Signed => false,
            Format::Float => self.bits == 32,
        };
        exact && self.colour == Colour::Plain && self.compression == codes::NONE && !self.reversed
    }

    /// Offset and length of chunk `number`; `None` if the file omits it. Chunks of further planes follow.
    pub(super) fn place(&self, source: &Source, places: &Places, number: usize) -> Result<Option<(u64, u64)>> {
        let plane = number / self.per_plane().max(1);
        let (strip, within) = if self.strips {
            let row = number % self.down() * self.chunk[1];
            let strip = plane * self.height.div_ceil(self.rows) + row / self.rows;
            (strip, (row % self.rows).saturating_mul(self.row_bytes()))
        } else {
            (number, 0)
        };
        let unlisted = || source.error(format!("damaged TIFF file: strip or tile {strip} is not listed"));
        let offset = *places.offsets.get(strip).ok_or_else(unlisted)?;
        let length = match places.lengths.get(strip) {
            Some(&length) => length,
            // Without lengths, uncompressed data, whose length is known, and a single strip can still be read.
            None if self.compression == codes::NONE => u64::MAX,
            None if places.offsets.len() == 1 => source.bytes.saturating_sub(offset),
            None => return Err(source.error("damaged TIFF file: it does not say how long its strips or tiles are")),
        };
        if offset == 0 || length == 0 {
            return Ok(None);
        }
        if self.compression == codes::NONE {
            let length = self.bytes_of_rows(self.rows_of(number)) as u64;
            return Ok(Some((offset.saturating_add(within as u64), length)));
        }
        Ok(Some((offset, length)))
    }
}

impl Places {
    /// Offsets of strips.
    pub(super) fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// Whether the file omits some strips or tiles.
    pub(super) fn is_sparse(&self) -> bool {
        self.offsets.contains(&0) || self.lengths.contains(&0)
    }
}
