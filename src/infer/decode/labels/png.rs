//! PNG: numbers of every depth, and indices of palettes.

use super::stored::{Shown, Stored, Values, of_samples};
use crate::error::{Error, Result};
use crate::infer::colours::{OPAQUE, Rgba};
use crate::infer::decode::{SCRATCH, Source};
use crate::io::Reader;

pub(super) fn read(source: &Source, reader: Reader) -> Result<Stored> {
    let bad = |e: ::png::DecodingError| match e {
        ::png::DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            source.error("the PNG file is truncated")
        }
        ::png::DecodingError::IoError(e) => Error::io(source.path, e),
        e => source.error(format!("damaged or unsupported PNG file: {e}")),
    };
    let bytes = usize::try_from(source.max_pixels.saturating_mul(8).saturating_add(SCRATCH)).unwrap_or(usize::MAX);
    let mut decoder = ::png::Decoder::new_with_limits(reader, ::png::Limits { bytes });
    decoder.set_transformations(::png::Transformations::IDENTITY);
    let (width, height) = decoder.read_header_info().map_err(bad)?.size();
    source.check_size(width, height)?;
    let mut reader = decoder.read_info().map_err(bad)?;
    let (color, depth) = reader.output_color_type();
    let size = reader.output_buffer_size().ok_or_else(|| source.error("the image does not fit in memory"))?;
    source.check_bytes(size as u64)?;
    let mut raw = source.zeros::<u8>(size)?;
    let frame = reader.next_frame(&mut raw).map_err(bad)?;
    let (w, h) = (width as usize, height as usize);
    let channels = color.samples();
    let mut values = source.zeros::<i64>(w * h * channels)?;
    let bits = depth as usize;
    for (line, row) in values.chunks_exact_mut(w * channels).zip(raw.chunks_exact(frame.line_size)) {
        for (x, value) in line.iter_mut().enumerate() {
            *value = match bits {
                16 => i64::from(u16::from_be_bytes([row[2 * x], row[2 * x + 1]])),
                8 => i64::from(row[x]),
                // Several in a byte, the first in its highest bits.
                _ => i64::from(row[x * bits / 8] >> (8 - bits - x * bits % 8) & ((1 << bits) - 1)),
            };
        }
    }
    if color == ::png::ColorType::Indexed {
        let info = reader.info();
        let opacity = info.trns.as_deref().unwrap_or_default();
        let colours = info.palette.as_deref().unwrap_or_default().as_chunks::<3>().0.iter().enumerate();
        let wide = |v: u8| u16::from(v) * 0x101;
        let colour = |(i, &[r, g, b]): (usize, &[u8; 3])| -> Rgba {
            [wide(r), wide(g), wide(b), opacity.get(i).map_or(OPAQUE, |&a| wide(a))]
        };
        let pixels = Values::Integers(values, Shown::Palette(colours.map(colour).collect()));
        return Ok(Stored { width: w, height: h, pixels });
    }
    of_samples(source, [w, h], channels, Some(((1u32 << bits) - 1) as u16), values)
}
