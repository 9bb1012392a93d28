//! What a TIFF directory says about its pixels, and whether they can be read.

use ::tiff::tags::Tag;

use super::colour::{self, Colour};
use super::directory::TiffDecoder;
use super::{MAX_CHANNELS, RAW_STRIP, compression, error};
use crate::error::Result;
use crate::infer::decode::Source;
use crate::infer::image::Sample;

/// How the bits of a sample are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Unsigned,
    Signed,
    Float,
}

/// What is undone after decompression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    Horizontal,
    Float,
}

/// What a directory says about its pixels. Directories that are equal here can be channels of one page.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::infer::decode) struct Page {
    pub width: usize,
    pub height: usize,
    /// Samples of a pixel in the file, all of them.
    pub stored: usize,
    /// Channels of a pixel as decoded, and how many of them are kept.
    pub given: usize,
    pub stored_channels: usize,
    pub bits: u8,
    pub format: Format,
    /// The type of the decoded samples.
    pub sample: Sample,
    pub planar: bool,
    /// Columns and rows of a chunk: a tile, a strip, or a piece of a large strip.
    pub chunk: [usize; 2],
    pub strips: bool,
    /// Rows of a strip in the file.
    rows: usize,
    /// `Compression`.
    pub compression: u16,
    pub predictor: Predictor,
    /// `PhotometricInterpretation`.
    pub photometric: u16,
    /// `ExtraSamples`.
    pub extra: Vec<u16>,
    pub colour: Colour,
    /// Bits lie in a byte from the lowest to the highest.
    pub reversed: bool,
    pub big_endian: bool,
}

/// Where the chunks of a directory lie, and what they share.
#[derive(Debug)]
pub(in crate::infer::decode) struct Places {
    offsets: Vec<u64>,
    lengths: Vec<u64>,
    /// `JPEGTables`.
    pub tables: Option<Vec<u8>>,
    /// What pixels are that the file does not store.
    pub missing: f64,
    /// `T4Options`.
    pub fax: u32,
}

impl Page {
    /// Reads and checks the directory that the decoder is at.
    pub fn read(source: &Source, decoder: &mut TiffDecoder) -> Result<Self> {
        let mut number = |tag, default: u32| -> Result<u32> {
            Ok(decoder.find_tag_unsigned(tag).map_err(|e| error(source, e))?.unwrap_or(default))
        };
        let (width, height) = (number(Tag::ImageWidth, 0)?, number(Tag::ImageLength, 0)?);
        source.check_size(width, height)?;
        let compression = number(Tag::Compression, 1)? as u16;
        let stored = number(Tag::SamplesPerPixel, 1)? as usize;
        let planar = match number(Tag::PlanarConfiguration, 1)? {
            1 => false,
            2 => stored > 1,
            n => return Err(source.error(format!("damaged TIFF file: planar configuration {n}"))),
        };
        let predictor = number(Tag::Predictor, 1)?;
        let reversed = number(Tag::FillOrder, 1)? == 2;
        let strip_rows = number(Tag::RowsPerStrip, u32::MAX)?;
        let tile = [number(Tag::TileWidth, 0)?, number(Tag::TileLength, 0)?].map(|n| n as usize);
        let photometric: Option<u16> =
            decoder.find_tag_unsigned(Tag::PhotometricInterpretation).map_err(|e| error(source, e))?;
        if stored == 0 || stored > MAX_CHANNELS {
            return Err(source.error(format!("{stored} channels are not 1 to the {MAX_CHANNELS} that are supported")));
        }
        compression::check(source, compression)?;
        let (bits, format) = samples(source, decoder)?;
        let photometric = match photometric {
            Some(p) => p,
            // What libtiff takes it for.
            None => {
                log::warn!(
                    "{}: the TIFF file does not say what its samples are; read as they are",
                    source.path.display()
                );
                if stored == 3 { 2 } else { 1 }
            }
        };
        let extra: Vec<u16> =
            decoder.find_tag_unsigned_vec(Tag::ExtraSamples).map_err(|e| error(source, e))?.unwrap_or_default();
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
        // A tile far beyond the image would be allocated.
        let beyond = |n: usize, side: usize| n == 0 || n > side.max(1 << 13);
        if beyond(chunk[0], width) || beyond(chunk[1], height) {
            let [w, h] = chunk;
            return Err(source.error(format!("damaged TIFF file: an image of {width}x{height} in tiles of {w}x{h}")));
        }
        let asked = colour::Asked { photometric, stored, bits, format, planar, compression };
        let colour = colour::of(source, decoder, &asked)?;
        let (given, sample) = colour.gives(&asked);
        let mut page = Self {
            width,
            height,
            stored,
            given,
            stored_channels: given,
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
            big_endian: decoder.byte_order() == ::tiff::tags::ByteOrder::BigEndian,
        };
        // Large strips of rows that can be found are read in pieces.
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

    /// Columns and rows that share a pair of chroma samples in the data of a chunk.
    pub fn subsampling(&self) -> [usize; 2] {
        match self.colour {
            Colour::YCbCr { subsampling, .. } if compression::is_bytes(self.compression) => subsampling,
            _ => [1, 1],
        }
    }

    /// Samples of a pixel that a chunk holds together.
    pub fn together(&self) -> usize {
        if self.planar { 1 } else { self.stored }
    }

    /// Bytes of a row of a chunk, as decompressed.
    pub fn row_bytes(&self) -> usize {
        (self.chunk[0].saturating_mul(self.together()).saturating_mul(usize::from(self.bits))).div_ceil(8)
    }

    /// Bytes of `rows` rows of a chunk, as decompressed.
    pub fn bytes_of_rows(&self, rows: usize) -> usize {
        match self.subsampling() {
            [1, 1] => self.row_bytes().saturating_mul(rows),
            [h, v] => self.chunk[0].div_ceil(h).saturating_mul(rows.div_ceil(v)).saturating_mul(h * v + 2),
        }
    }

    /// Rows of a chunk that are in the file: strips end with the image, tiles do not.
    pub fn rows_of(&self, number: usize) -> usize {
        if !self.strips {
            return self.chunk[1];
        }
        let row = number % self.down();
        self.chunk[1].min(self.height.saturating_sub(row * self.chunk[1]))
    }

    /// Rows of a strip in the file.
    pub fn strip_rows(&self) -> usize {
        self.rows
    }

    /// Chunks side by side.
    pub fn across(&self) -> usize {
        self.width.div_ceil(self.chunk[0])
    }

    fn down(&self) -> usize {
        self.height.div_ceil(self.chunk[1])
    }

    /// Chunks of a plane.
    pub fn per_plane(&self) -> usize {
        self.across() * self.down()
    }

    /// Bytes of a strip or tile, decoded or decompressed.
    fn chunk_bytes(&self) -> u64 {
        let [w, h] = self.chunk.map(|n| n as u64);
        let given = if self.planar { 1 } else { self.given } * self.sample.bytes();
        let stored = self.together() * usize::from(self.bits).div_ceil(8);
        w.saturating_mul(h).saturating_mul(given.max(stored) as u64)
    }

    /// Whether samples come out as they lie in the file.
    pub fn is_plain(&self) -> bool {
        let exact = match self.format {
            Format::Unsigned => matches!(self.bits, 8 | 16),
            Format::Signed => false,
            Format::Float => self.bits == 32,
        };
        exact && self.colour == Colour::Plain && self.compression == compression::NONE && !self.reversed
    }

    /// Where chunk `number` begins and how long it is; none if the file leaves it out. Chunks of further planes follow.
    pub fn place(&self, source: &Source, places: &Places, number: usize) -> Result<Option<(u64, u64)>> {
        let plane = number / self.per_plane().max(1);
        let (strip, within) = if self.strips {
            let row = number % self.down() * self.chunk[1];
            let strip = plane * self.height.div_ceil(self.rows) + row / self.rows;
            (strip, (row % self.rows).saturating_mul(self.row_bytes()))
        } else {
            (number, 0)
        };
        let gone = || source.error(format!("damaged TIFF file: strip or tile {strip} is not listed"));
        let offset = *places.offsets.get(strip).ok_or_else(gone)?;
        let length = match places.lengths.get(strip) {
            Some(&length) => length,
            // Without lengths, data of which the length is known can be read, and a single strip.
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
    /// Reads them from the directory that the decoder is at.
    pub fn read(source: &Source, decoder: &mut TiffDecoder, page: &Page) -> Result<Self> {
        let fail = |e| error(source, e);
        let (offsets, lengths) = match page.strips {
            true => (Tag::StripOffsets, Tag::StripByteCounts),
            false => (Tag::TileOffsets, Tag::TileByteCounts),
        };
        let offsets: Vec<u64> = decoder
            .find_tag_unsigned_vec(offsets)
            .map_err(fail)?
            .ok_or_else(|| source.error("damaged TIFF file: it does not say where its strips or tiles are"))?;
        let lengths = decoder.find_tag_unsigned_vec(lengths).map_err(fail)?.unwrap_or_default();
        let tables = match decoder.find_tag(Tag::JPEGTables).map_err(fail)? {
            Some(value) if page.compression == compression::JPEG => Some(value.into_u8_vec().map_err(fail)?),
            _ => None,
        };
        let missing = decoder.find_tag(Tag::GdalNodata).map_err(fail)?.and_then(|v| v.into_string().ok());
        let missing = missing.and_then(|t| t.trim_end_matches('\0').trim().parse().ok()).unwrap_or(0.0);
        let fax = decoder.find_tag_unsigned(Tag::Unknown(292)).map_err(fail)?.unwrap_or(0);
        Ok(Self { offsets, lengths, tables, missing, fax })
    }

    /// Where strips begin.
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// Whether some strips or tiles are left out.
    pub fn is_sparse(&self) -> bool {
        self.offsets.contains(&0) || self.lengths.contains(&0)
    }
}

/// Bits of a sample and what they mean; all samples of a pixel must agree.
fn samples(source: &Source, decoder: &mut TiffDecoder) -> Result<(u8, Format)> {
    let fail = |e| error(source, e);
    let list = |all: &[u32]| all.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let one = |all: Vec<u32>, what: &str| {
        let first = *all.first().ok_or_else(|| source.error(format!("damaged TIFF file: its {what} are missing")))?;
        match all.iter().all(|n| *n == first) {
            true => Ok(first),
            false => Err(source.error(format!("samples of different {what} ({}) are not supported", list(&all)))),
        }
    };
    let bits: Vec<u32> = decoder.find_tag_unsigned_vec(Tag::BitsPerSample).map_err(fail)?.unwrap_or(vec![1]);
    let formats: Vec<u32> = decoder.find_tag_unsigned_vec(Tag::SampleFormat).map_err(fail)?.unwrap_or(vec![1]);
    let (bits, format) = (one(bits, "bits")?, one(formats, "formats")?);
    let known = match (format, bits) {
        // Untyped data are taken for unsigned integers, as by libtiff.
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
