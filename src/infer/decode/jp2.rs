//! JPEG 2000 files and codestreams with 8 bits per sample.

use hayro_jpeg2000::{ColorSpace, DecodeSettings, Image as Codestream};

use super::Source;
use crate::error::Result;
use crate::infer::channel_kind::ChannelKind;
use crate::infer::image::{Image, Pixels};

/// Decodes a file in memory.
pub(super) fn decode(source: &Source, bytes: &[u8]) -> Result<Image> {
    let damaged = |e: &dyn std::fmt::Display| source.error(format!("damaged or unsupported JPEG 2000 file: {e}"));
    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    let image = Codestream::new(bytes, &settings).map_err(|e| damaged(&e))?;
    source.check_size(image.width(), image.height())?;
    let bits = image.original_bit_depth();
    if bits != 8 {
        return Err(source.error(format!("JPEG 2000 of {bits} bits is not supported (8 bits are); save it as TIFF")));
    }
    let colours = usize::from(image.color_space().num_channels());
    if matches!(image.color_space(), ColorSpace::CMYK) || !matches!(colours, 1 | 3) {
        return Err(source.error(format!("JPEG 2000 of {colours} colours is not supported; save it as grey or RGB")));
    }
    let stored = colours + usize::from(image.has_alpha());
    let (width, height) = (image.width() as usize, image.height() as usize);
    let samples = (width as u64).saturating_mul(height as u64).saturating_mul(stored as u64);
    source.check_bytes(samples)?;
    // Coefficients are floats: 4 bytes each, and one for the sample.
    source.check_memory(samples.saturating_mul(5))?;
    let pixels = image.decode().map_err(|e| damaged(&e))?;
    if pixels.len() as u64 != samples {
        return Err(damaged(&"the number of samples is contradictory"));
    }
    let kind = ChannelKind::of_count(colours);
    let kind = if image.has_alpha() { kind.with_alpha(colours) } else { kind };
    Ok(Image::new(width, height, stored, Pixels::U8(pixels))?.with_kind(kind))
}
