//! Reading label images: numbers exactly as stored.

mod colours;
mod npy;
mod palette;
mod png;
mod pnm;
mod stored;
mod tiff;
#[cfg(feature = "ome-zarr")]
mod zarr;

use std::path::Path;

use self::stored::Stored;
use super::orientation::orientation_of;
use super::{Bounds, MAX_PIXELS, begin};
use crate::error::{Error, Result};
use crate::infer::image::Image;
use crate::infer::labels::{LabelMap, LabelOptions};
use crate::io::Input;
use crate::io::image_formats::Decoder;

impl LabelMap {
    /// Reads class ids or instance numbers from a single-channel file: PNG, BMP, GIF, TIFF, NPY, PGM, lossless WebP or OME-Zarr.
    ///
    /// Numbers are returned as stored: palette indices and not colours, one bit as 0 and 1, never inverted if white is
    /// zero. Integers of any width, signed or unsigned, and integral floats are read. Three equal channels count as
    /// one. Fails on colours (but see [`LabelOptions::colours`]), on JPEG (which changes values), and on numbers that
    /// are fractional, negative or larger than a `u32`.
    ///
    /// Orientation tags are applied, as for images.
    pub fn open(input: impl Into<Input>) -> Result<Self> {
        Self::open_with(input, &LabelOptions::default())
    }

    /// [`Self::open`] without applying orientation tags: rows as stored.
    pub fn open_stored(input: impl Into<Input>) -> Result<Self> {
        Self::open_with(input, &LabelOptions { ignore_orientation: true, ..LabelOptions::default() })
    }

    /// [`Self::open`] with options for what the file leaves open.
    pub fn open_with(input: impl Into<Input>, options: &LabelOptions) -> Result<Self> {
        let input = &input.into();
        let map = read(input)?.labels(input.name(), options)?;
        Ok(if options.ignore_orientation { map } else { map.oriented(orientation_of(input)?) })
    }
}

fn read(input: &Input) -> Result<Stored> {
    #[cfg(feature = "ome-zarr")]
    if let Some(folder) = super::zarr::folder(input) {
        return zarr::read(folder);
    }
    let (file, reader, head) = begin(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX })?;
    let source = file.as_source();
    match Decoder::of_head(&head) {
        Some(Decoder::Png) => png::read(&source, reader),
        Some(Decoder::Tiff) => tiff::read(&source),
        Some(Decoder::Npy) => npy::read(&source, reader),
        Some(Decoder::Bmp) => palette::bmp(&source, reader),
        Some(Decoder::Gif) => palette::gif(&source, reader),
        Some(Decoder::Pnm) if pnm::is_grey(&head) => pnm::read(&source, reader),
        Some(Decoder::Jpeg) => {
            Err(source.error("a JPEG file cannot hold labels: its compression changes them; use PNG"))
        }
        Some(Decoder::Jpeg2000) => {
            Err(source.error("a JPEG 2000 file may have changed its numbers when it was compressed; use PNG"))
        }
        Some(Decoder::WebP) if webp_is_lossy(reader)? => {
            Err(source.error("a lossy WebP file cannot hold labels: its compression changes them; use PNG"))
        }
        _ => stored::of_image(&source, &Image::open_stored(input)?),
    }
}

/// Whether a WebP file is lossy.
fn webp_is_lossy(mut reader: impl std::io::Read + std::io::Seek) -> Result<bool> {
    use std::io::SeekFrom;
    let mut at = 12u64;
    // Only a few chunks precede the pixels.
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

/// An error that gives the position of a pixel.
fn at(path: &Path, width: usize, i: usize, what: &str, why: &str) -> Error {
    Error::file(path, format!("holds {what} at column {}, row {}; {why}", i % width.max(1), i / width.max(1)))
}

#[cfg(test)]
mod tests;
