//! Pixel layout of a TIFF directory, and whether it can be read.

use super::colour::{self, Colour};
use super::directory::TiffDecoder;
use super::{RAW_STRIP, compression, failed, tag};
use crate::error::Result;
use crate::infer::decode::MAX_CHANNELS;
use crate::infer::decode::Source;
use crate::infer::image::Sample;

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
    rows: usize,
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
    offsets: Vec<u64>,
    lengths: Vec<u64>,
    /// `JPEGTables`.
    pub tables: Option<Vec<u8>>,
    /// Value of pixels that the file does not store.
    pub missing: f64,
    /// `T4Options`.
    pub fax: u32,
}

impl Page {
    /// Reads and checks the decoder's current directory.
    pub fn read(source: &Source, decoder: &mut TiffDecoder) -> Result<Self> {
        let mut number = |t, default: u32| -> Result<u32> {
            Ok(decoder.unsigned(t).map_err(|e| failed(source, e))?.unwrap_or(default))
        };
        let (width, height) = (number(tag::WIDTH, 0)?, number(tag::HEIGHT, 0)?);
        source.check_size(width, height)?;
        let compression = number(tag::COMPRESSION, 1)? as u16;
        let stored = number(tag::SAMPLES_PER_PIXEL, 1)? as usize;
        let planar = match number(tag::PLANAR, 1)? {
            1 => false,
            2 => stored > 1,
            n => return Err(source.error(format!("damaged TIFF file: planar configuration {n}"))),
        };
        let predictor = number(tag::PREDICTOR, 1)?;
        let reversed = number(tag::FILL_ORDER, 1)? == 2;
        let strip_rows = number(tag::ROWS_PER_STRIP, u32::MAX)?;
        let tile = [number(tag::TILE_WIDTH, 0)?, number(tag::TILE_HEIGHT, 0)?].map(|n| n as usize);
        let photometric: Option<u16> = decoder.unsigned(tag::PHOTOMETRIC).map_err(|e| failed(source, e))?;
        if stored == 0 || stored > MAX_CHANNELS {
            return Err(source.error(format!("{stored} channels are not 1 to the {MAX_CHANNELS} that are supported")));
        }
        compression::check(source, compression)?;
        let (bits, format) = samples(source, decoder)?;
        let photometric = match photometric {
            Some(p) => p,
            // libtiff's default.
            None => {
                log::warn!(
                    "{}: the TIFF file does not say what its samples are; read as they are",
                    source.path.display()
                );
                if stored == 3 { 2 } else { 1 }
            }
        };
        let extra: Vec<u16> =
            decoder.unsigned_list(tag::EXTRA_SAMPLES).map_err(|e| failed(source, e))?.unwrap_or_default();
        let predictor = match predictor {
            1 => Predictor::None,
            _ if matches!(compression, compression::JPEG | compression::FAX3 | compression::FAX4)
                || compression::is_jpeg2000(compression) =>
            {
                Predictor::None
            }
            2 | 3 if !compression::takes_predictor(compression) => {
                let name = compression::name(compression);
                return Err(
                    source.error(format!("a TIFF predictor with {name}, on which readers disagree, is not supported"))
                );
            }
            2 if matches!(bits, 8 | 16 | 32 | 64) => Predictor::Horizontal,
            3 if format == Format::Float => Predictor::Float,
            n => return Err(source.error(format!("TIFF predictor {n} of {bits}-bit samples is not supported"))),
        };
        let tiled = tile != [0, 0];
        let (width, height) = (width as usize, height as usize);
        let rows = (strip_rows as usize).min(height);
        let mut chunk = if tiled { tile } else { [width, rows] };
        // A tile far larger than the image would waste memory.
        let beyond = |n: usize, side: usize| n == 0 || n > side.max(1 << 13);
        if beyond(chunk[0], width) || beyond(chunk[1], height) {
            let [w, h] = chunk;
            return Err(source.error(format!("damaged TIFF file: an image of {width}x{height} in tiles of {w}x{h}")));
        }
        let fields = colour::ColourFields { photometric, stored, bits, format, planar, compression };
        let colour = colour::of(source, decoder, &fields)?;
        let (decoded, sample) = colour.output(&fields);
        let mut page = Self {
            width,
            height,
            stored,
            decoded,
            stored_channels: decoded,
            bits,
            format,
            sample,
            planar,
            chunk,
            strips: !tiled,
            rows,
            compression,
            predictor,
            photometric,
            extra,
            colour,
            reversed,
            big_endian: decoder.is_big_endian(),
        };
        // Large strips with locatable rows are read in pieces.
        if page.strips && compression == compression::NONE && page.subsampling() == [1, 1] {
            let row = page.row_bytes();
            if row.saturating_mul(rows) > RAW_STRIP {
                let fitting = ((1 << 20) / row.max(1)).clamp(1, rows);
                let whole = rows == height;
                chunk[1] = (1..=fitting).rev().find(|n| whole || rows.is_multiple_of(*n)).unwrap_or(1);
                page.chunk = chunk;
            }
        }
        source.check_bytes(page.chunk_bytes())?;
        Ok(page)
    }

    /// Columns and rows that share a pair of chroma samples in a chunk.
    pub fn subsampling(&self) -> [usize; 2] {
        match self.colour {
            Colour::YCbCr { subsampling, .. } if compression::is_bytes(self.compression) => subsampling,
            _ => [1, 1],
        }
    }

    /// Interleaved samples per pixel of a chunk.
    pub fn together(&self) -> usize {
        if self.planar { 1 } else { self.stored }
    }

    /// Bytes per row of a chunk, decompressed.
    pub fn row_bytes(&self) -> usize {
        (self.chunk[0].saturating_mul(self.together()).saturating_mul(usize::from(self.bits))).div_ceil(8)
    }

    /// Bytes of `rows` rows of a chunk, decompressed.
    pub fn bytes_of_rows(&self, rows: usize) -> usize {
        match self.subsampling() {
            [1, 1] => self.row_bytes().saturating_mul(rows),
            [h, v] => self.chunk[0].div_ceil(h).saturating_mul(rows.div_ceil(v)).saturating_mul(h * v + 2),
        }
    }

    /// Rows of a chunk present in the file: strips end with the image, tiles do not.
    pub fn rows_of(&self, number: usize) -> usize {
        if !self.strips {
            return self.chunk[1];
        }
        let row = number % self.down();
        self.chunk[1].min(self.height.saturating_sub(row * self.chunk[1]))
    }

    /// Rows per strip in the file.
    pub fn strip_rows(&self) -> usize {
        self.rows
    }

    /// Number of chunks side by side.
    pub fn across(&self) -> usize {
        self.width.div_ceil(self.chunk[0])
    }

    fn down(&self) -> usize {
        self.height.div_ceil(self.chunk[1])
    }

    /// Chunks per plane.
    pub fn per_plane(&self) -> usize {
        self.across() * self.down()
    }

    /// Bytes of a strip or tile, decoded or decompressed, whichever is more.
    fn chunk_bytes(&self) -> u64 {
        let [w, h] = self.chunk.map(|n| n as u64);
        let decoded = if self.planar { 1 } else { self.decoded } * self.sample.bytes();
        let stored = self.together() * usize::from(self.bits).div_ceil(8);
        w.saturating_mul(h).saturating_mul(decoded.max(stored) as u64)
    }

    /// Whether samples need no conversion.
    pub fn is_plain(&self) -> bool {
        let exact = match self.format {
            Format::Unsigned => matches!(self.bits, 8 | 16),
            Format::Signed => false,
            Format::Float => self.bits == 32,
        };
        exact && self.colour == Colour::Plain && self.compression == compression::NONE && !self.reversed
    }

    /// Offset and length of chunk `number`; `None` if the file omits it. Chunks of further planes follow.
    pub fn place(&self, source: &Source, places: &Places, number: usize) -> Result<Option<(u64, u64)>> {
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
            None if self.compression == compression::NONE => u64::MAX,
            None if places.offsets.len() == 1 => source.bytes.saturating_sub(offset),
            None => return Err(source.error("damaged TIFF file: it does not say how long its strips or tiles are")),
        };
        if offset == 0 || length == 0 {
            return Ok(None);
        }
        if self.compression == compression::NONE {
            let length = self.bytes_of_rows(self.rows_of(number)) as u64;
            return Ok(Some((offset.saturating_add(within as u64), length)));
        }
        Ok(Some((offset, length)))
    }
}

impl Places {
    /// Reads the chunk locations from the decoder's current directory.
    pub fn read(source: &Source, decoder: &mut TiffDecoder, page: &Page) -> Result<Self> {
        let fail = |e| failed(source, e);
        let (offsets, lengths) = match page.strips {
            true => (tag::STRIP_OFFSETS, tag::STRIP_LENGTHS),
            false => (tag::TILE_OFFSETS, tag::TILE_LENGTHS),
        };
        let offsets: Vec<u64> = decoder
            .unsigned_list(offsets)
            .map_err(fail)?
            .ok_or_else(|| source.error("damaged TIFF file: it does not say where its strips or tiles are"))?;
        let lengths = decoder.unsigned_list(lengths).map_err(fail)?.unwrap_or_default();
        let tables = match page.compression {
            compression::JPEG => decoder.bytes(tag::JPEG_TABLES).map_err(fail)?,
            _ => None,
        };
        let missing = decoder.text(tag::GDAL_NODATA).and_then(|t| t.trim().parse().ok()).unwrap_or(0.0);
        let fax = decoder.unsigned(tag::T4_OPTIONS).map_err(fail)?.unwrap_or(0);
        Ok(Self { offsets, lengths, tables, missing, fax })
    }

    /// Offsets of strips.
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// Whether the file omits some strips or tiles.
    pub fn is_sparse(&self) -> bool {
        self.offsets.contains(&0) || self.lengths.contains(&0)
    }
}

/// Bits and format of the samples; all samples of a pixel must agree.
fn samples(source: &Source, decoder: &mut TiffDecoder) -> Result<(u8, Format)> {
    let fail = |e| failed(source, e);
    let list = |all: &[u32]| all.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let one = |all: Vec<u32>, what: &str| {
        let first = *all.first().ok_or_else(|| source.error(format!("damaged TIFF file: its {what} are missing")))?;
        match all.iter().all(|n| *n == first) {
            true => Ok(first),
            false => Err(source.error(format!("samples of different {what} ({}) are not supported", list(&all)))),
        }
    };
    let bits: Vec<u32> = decoder.unsigned_list(tag::BITS_PER_SAMPLE).map_err(fail)?.unwrap_or(vec![1]);
    let formats: Vec<u32> = decoder.unsigned_list(tag::SAMPLE_FORMAT).map_err(fail)?.unwrap_or(vec![1]);
    let (bits, format) = (one(bits, "bits")?, one(formats, "formats")?);
    let known = match (format, bits) {
        // Untyped data are read as unsigned integers, as in libtiff.
        (1 | 4, 1..=32 | 64) => Some(Format::Unsigned),
        (2, 8 | 16 | 32 | 64) => Some(Format::Signed),
        (3, 16 | 32 | 64) => Some(Format::Float),
        _ => None,
    };
    let kind = match format {
        2 => "signed integer ",
        3 => "float ",
        5 | 6 => "complex ",
        _ => "",
    };
    let refuse = || {
        let text = "unsigned integers of 1 to 32 and 64 bits, signed ones of 8 to 64, floats of 16, 32 and 64 are";
        source.error(format!("{bits}-bit {kind}samples are not supported ({text})"))
    };
    Ok((bits as u8, known.ok_or_else(refuse)?))
}
