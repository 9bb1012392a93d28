//! Reads the pixel layout of a TIFF directory, or says why it cannot be read.

use super::directory::TiffDecoder;
use super::layout::{Format, Page, Places, Predictor};
use super::{RAW_STRIP, codes, colour, failed, tag};
use crate::error::Result;
use crate::infer::decode::MAX_CHANNELS;
use crate::infer::decode::Source;

impl Page {
    /// Reads and checks the decoder's current directory.
    pub(super) fn read(source: &Source, decoder: &mut TiffDecoder) -> Result<Self> {
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
        codes::check(source, compression)?;
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
            _ if matches!(compression, codes::JPEG | codes::FAX3 | codes::FAX4) || codes::is_jpeg2000(compression) => {
                Predictor::None
            }
            2 | 3 if !codes::takes_predictor(compression) => {
                let name = codes::name(compression);
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
        if page.strips && compression == codes::NONE && page.subsampling() == [1, 1] {
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
}

impl Places {
    /// Reads the chunk locations from the decoder's current directory.
    pub(super) fn read(source: &Source, decoder: &mut TiffDecoder, page: &Page) -> Result<Self> {
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
            codes::JPEG => decoder.bytes(tag::JPEG_TABLES).map_err(fail)?,
            _ => None,
        };
        let missing = decoder.text(tag::GDAL_NODATA).and_then(|t| t.trim().parse().ok()).unwrap_or(0.0);
        let fax = decoder.unsigned(tag::T4_OPTIONS).map_err(fail)?.unwrap_or(0);
        Ok(Self { offsets, lengths, tables, missing, fax })
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
