//! Reading label maps: the numbers as the file holds them.

mod colours;
mod npy;
mod palette;
mod png;
mod pnm;
mod stored;
mod tiff;

use std::path::Path;

use self::stored::Stored;
use super::orientation::orientation_of;
use super::{Bounds, MAX_PIXELS, begin, is_tiff};
use crate::error::{Error, Result};
use crate::infer::image::Image;
use crate::infer::labels::{LabelMap, LabelOptions};
use crate::io::Input;

impl LabelMap {
    /// Reads class ids or instance numbers from a file of one channel: PNG, BMP, GIF, TIFF, NPY, PGM or lossless WebP.
    ///
    /// Numbers are those that the file stores: indices of a palette and not its colours, one bit as 0 and 1, never inverted
    /// where white is zero. Integers of any width are read, with or without sign, and floats that are whole. Three equal
    /// channels count as one. Fails on colours (but see [`LabelOptions::colours`]), on JPEG (which changes numbers), and on
    /// numbers that are not whole, negative or larger than a `u32`.
    ///
    /// A map that an orientation tag turns is turned, as images are.
    pub fn open(input: impl Into<Input>) -> Result<Self> {
        Self::open_with(input, &LabelOptions::default())
    }

    /// [`Self::open`] without a look at orientation tags: rows as they are stored.
    pub fn open_stored(input: impl Into<Input>) -> Result<Self> {
        Self::open_with(input, &LabelOptions { ignore_orientation: true, ..LabelOptions::default() })
    }

    /// [`Self::open`], with what the file leaves open.
    pub fn open_with(input: impl Into<Input>, options: &LabelOptions) -> Result<Self> {
        let input = &input.into();
        let map = read(input)?.labels(input.name(), options)?;
        Ok(if options.ignore_orientation { map } else { map.oriented(orientation_of(input)?) })
    }
}

fn read(input: &Input) -> Result<Stored> {
    let (file, reader, head) = begin(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX })?;
    let source = file.as_source();
    match head.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => png::read(&source, reader),
        head if is_tiff(head) => tiff::read(&source),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => npy::read(&source, reader),
        [b'B', b'M', ..] => palette::bmp(&source, reader),
        [b'G', b'I', b'F', b'8', ..] => palette::gif(&source, reader),
        [b'P', b'2' | b'5', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..] => pnm::read(&source, reader),
        [0xff, 0xd8, ..] => Err(source.error("a JPEG file cannot hold labels: its compression changes them; use PNG")),
        [0, 0, 0, 12, b'j', b'P', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => {
            Err(source.error("a JPEG 2000 file may have changed its numbers when it was compressed; use PNG"))
        }
        [b'R', b'I', b'F', b'F', ..] if webp_is_lossy(reader)? => {
            Err(source.error("a lossy WebP file cannot hold labels: its compression changes them; use PNG"))
        }
        _ => stored::of_image(&source, &Image::open_stored(input)?),
    }
}

/// Whether a WebP file holds pixels of the lossy kind.
fn webp_is_lossy(mut reader: impl std::io::Read + std::io::Seek) -> Result<bool> {
    use std::io::SeekFrom;
    let mut at = 12u64;
    // Few chunks come before the pixels.
    for _ in 0..16 {
        let mut head = [0; 8];
        if reader.seek(SeekFrom::Start(at)).is_err() || reader.read_exact(&mut head).is_err() {
            return Ok(false);
        }
        let [kind @ .., a, b, c, d] = head;
        match &kind {
            b"VP8 " => return Ok(true),
            b"VP8L" => return Ok(false),
            _ => at = at.saturating_add(8 + u64::from(u32::from_le_bytes([a, b, c, d])).next_multiple_of(2)),
        }
    }
    Ok(false)
}

/// An error that names a pixel.
fn at(path: &Path, width: usize, i: usize, what: &str, why: &str) -> Error {
    Error::file(path, format!("holds {what} at column {}, row {}; {why}", i % width.max(1), i / width.max(1)))
}

#[cfg(test)]
mod tests;
