//! BMP and GIF, whose pixels are mostly indices of a palette.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ::image::ImageDecoder;
use ::image::codecs::bmp::BmpDecoder;

use super::stored::{Shown, Stored, Values, of_image};
use crate::error::Result;
use crate::infer::colours::{OPAQUE, Rgba};
use crate::infer::decode::Source;
use crate::infer::image::Image;
use crate::io::Reader;

fn colour([r, g, b]: [u8; 3]) -> Rgba {
    let wide = |v: u8| u16::from(v) * 0x101;
    [wide(r), wide(g), wide(b), OPAQUE]
}

fn indexed(source: &Source, [width, height]: [usize; 2], indices: &[u8], palette: Vec<Rgba>) -> Result<Stored> {
    let mut values = source.zeros::<i64>(width * height)?;
    values.iter_mut().zip(indices).for_each(|(to, &i)| *to = i.into());
    // A palette of grey that is no ramp: whether its numbers or its indices are meant, the file does not say.
    let grey = |c: &Rgba| c[0] == c[1] && c[1] == c[2];
    let used = |i: usize| indices.contains(&(i as u8));
    let moved = palette.iter().enumerate().any(|(i, c)| usize::from(c[0] / 0x101) != i && used(i));
    let binary = palette.iter().enumerate().all(|(i, c)| !used(i) || matches!(c[0], 0 | OPAQUE));
    if moved && !binary && palette.iter().enumerate().all(|(i, c)| !used(i) || grey(c)) {
        log::warn!(
            "{}: its palette holds other grey values than its indices, which are taken for the ids; `colours` overrules",
            source.path.display()
        );
    }
    Ok(Stored { width, height, pixels: Values::Integers(values, Shown::Palette(palette)) })
}

/// The decoders assert what files need not keep.
fn guarded<T>(source: &Source, format: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(source.decoder_fault(format)))
}

/// Indices are unpacked here: of fewer than 8 bits the crate gives none.
pub(super) fn bmp(source: &Source, reader: Reader) -> Result<Stored> {
    guarded(source, "BMP", || {
        let decoder = BmpDecoder::new(reader).map_err(|e| source.image_error("BMP", e))?;
        let (width, height) = decoder.dimensions();
        source.check_size(width, height)?;
        let Some(palette) = decoder.get_palette().map(|p| p.iter().map(|&c| colour(c)).collect()) else {
            return of_image(source, &Image::open_stored(source.input)?);
        };
        let bytes = source.all_bytes(source.input.open()?.0)?;
        let cut = || source.error("the BMP file is truncated");
        let word = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let header = || Some((long(10)? as usize, long(14)?, word(24)?, long(22)?, word(28)?, long(30)?));
        let (start, length, core_bits, stored_height, bits, compression) = header().ok_or_else(cut)?;
        // OS/2's header of 12 bytes has no compression and no rows from top to bottom.
        let (bits, compression, downwards) = match length {
            12 => (core_bits, 0, false),
            _ => (bits, compression, (stored_height as i32) < 0),
        };
        let bits = usize::from(bits);
        if compression != 0 || !matches!(bits, 1 | 2 | 4 | 8) {
            return Err(source.error("a BMP file of compressed indices is not read as labels; save it as PNG"));
        }
        let (w, h) = (width as usize, height as usize);
        let stride = (w * bits).div_ceil(32) * 4;
        let data = bytes.get(start..).filter(|d| d.len() >= stride.saturating_mul(h)).ok_or_else(cut)?;
        let mut indices = source.zeros::<u8>(w * h)?;
        for (y, row) in indices.chunks_exact_mut(w).enumerate() {
            let line = &data[stride * if downwards { y } else { h - 1 - y }..];
            for (x, index) in row.iter_mut().enumerate() {
                *index = line[x * bits / 8] >> (8 - bits - x * bits % 8) & (0xff >> (8 - bits)) as u8;
            }
        }
        indexed(source, [w, h], &indices, palette)
    })
}

/// The first frame.
pub(super) fn gif(source: &Source, reader: Reader) -> Result<Stored> {
    guarded(source, "GIF", || {
        let bad = |e: ::gif::DecodingError| source.error(format!("damaged GIF file: {e}"));
        let mut options = ::gif::DecodeOptions::new();
        options.set_color_output(::gif::ColorOutput::Indexed);
        options.check_frame_consistency(true);
        let mut decoder = options.read_info(reader).map_err(bad)?;
        let (width, height) = (decoder.width(), decoder.height());
        source.check_size(width.into(), height.into())?;
        let global = decoder.global_palette().map(<[u8]>::to_vec);
        let frame = decoder.read_next_frame().map_err(bad)?.ok_or_else(|| source.error("the GIF file has no frame"))?;
        if (frame.left, frame.top, frame.width, frame.height) != (0, 0, width, height) {
            return Err(source.error("the first frame of the GIF file leaves pixels out"));
        }
        let size = [usize::from(width), usize::from(height)];
        if frame.buffer.len() != size[0] * size[1] {
            return Err(source.error("the GIF file is truncated"));
        }
        let palette = frame.palette.clone().or(global).unwrap_or_default();
        let palette = palette.as_chunks::<3>().0.iter().map(|&c| colour(c)).collect();
        indexed(source, size, &frame.buffer, palette)
    })
}
