//! From samples to pixels, by the directory's photometric interpretation.

use std::cell::Cell;
use std::sync::Arc;

use super::codes;
use super::directory::TiffDecoder;
use super::failed;
use super::layout::{Colour, Format, Page};
use super::samples::Words;
use super::tag;
use crate::error::Result;
use crate::infer::decode::Source;
use crate::infer::image::{Pixels, Sample};

/// The directory's fields that colours depend on.
pub(super) struct ColourFields {
    pub photometric: u16,
    pub stored: usize,
    pub bits: u8,
    pub format: Format,
    pub planar: bool,
    pub compression: u16,
}

/// The conversion for a directory. What cannot be read is refused by name.
pub(super) fn of(source: &Source, decoder: &mut TiffDecoder, fields: &ColourFields) -> Result<Colour> {
    let ColourFields { photometric, stored, bits, format, planar, compression } = *fields;
    let refuse =
        |what: &str| Err(source.error(format!("a TIFF file of {what} is not supported; save it as grey or RGB")));
    if !codes::is_bytes(compression) && (bits != 8 || format != Format::Unsigned) {
        let name = codes::name(compression);
        return Err(source.error(format!("{bits}-bit samples with {name} are not supported (8-bit ones are)")));
    }
    if matches!(compression, codes::FAX3 | codes::FAX4) && (bits != 1 || stored != 1) {
        return Err(source.error("damaged TIFF file: fax compression of more than one bit"));
    }
    match photometric {
        0 if format == Format::Unsigned => Ok(Colour::Inverted),
        0 => {
            let path = source.path.display();
            log::warn!("{path}: white is said to be zero, which has no meaning for its samples; read as they are");
            Ok(Colour::Plain)
        }
        1 | 2 => Ok(Colour::Plain),
        3 if stored != 1 || bits > 16 || format != Format::Unsigned => {
            refuse("a palette with other samples than indices")
        }
        3 => palette(source, decoder, bits),
        4 => refuse("a transparency mask"),
        5 => refuse("CMYK colours"),
        6 if codes::is_bytes(compression) => {
            if planar || stored != 3 || bits != 8 || format != Format::Unsigned {
                return refuse("YCbCr colours in planes, with extra samples or other than 8-bit ones");
            }
            ycbcr(source, decoder)
        }
        6 if planar => refuse("YCbCr colours in planes"),
        // Image codecs return RGB.
        6 => Ok(Colour::Plain),
        8..=10 => refuse("CIE L*a*b* colours"),
        32803 => refuse("raw camera data (a colour filter array, as in DNG)"),
        34892 => refuse("raw camera data (linear, as in DNG)"),
        32844 | 32845 => refuse("LogLuv colours"),
        51177 => refuse("a depth map"),
        other => refuse(&format!("photometric interpretation {other}")),
    }
}

fn palette(source: &Source, decoder: &mut TiffDecoder, bits: u8) -> Result<Colour> {
    let map: Vec<u16> = decoder
        .unsigned_list(tag::PALETTE)
        .map_err(|e| failed(source, e))?
        .ok_or_else(|| source.error("damaged TIFF file: its palette is missing"))?;
    let len = 1usize << bits;
    let Some((red, rest)) = map.split_at_checked(len).filter(|_| map.len() >= 3 * len) else {
        return Err(source.error(format!("damaged TIFF file: a palette of {} numbers for {len} colours", map.len())));
    };
    let (green, blue) = rest.split_at(len);
    let mut table: Vec<[u16; 3]> = red.iter().zip(green).zip(blue).map(|((&r, &g), &b)| [r, g, b]).collect();
    let grey = table.iter().all(|[r, g, b]| r == g && g == b);
    if is_imagej(decoder) {
        if !grey {
            log::info!("{}: ImageJ's colours of display are left out; read as grey", source.path.display());
        }
        return Ok(Colour::Plain);
    }
    if !grey && is_display(&table) {
        let path = source.path.display();
        log::warn!(
            "{path}: its palette grows brighter with the values, as colours of display do: the values are read as grey"
        );
        return Ok(Colour::Plain);
    }
    let all = |rule: fn(u16) -> bool| table.iter().flatten().all(|&v| rule(v));
    // Old writers put 8-bit colours into the low byte; others shift them, or repeat them in both bytes.
    let low = all(|v| v < 256);
    if !low && !all(|v| v & 255 == 0) && !all(|v| v >> 8 == v & 255) {
        return Ok(Colour::Palette16 { grey, table: Arc::new(table) });
    }
    if !low {
        table.iter_mut().flatten().for_each(|v| *v >>= 8);
    }
    Ok(Colour::Palette8 { grey, table: Arc::new(table) })
}

/// Whether a palette is a display colour map (green, fire, viridis) and not a set of colours: its luma never falls,
/// starts near black, and rises at most entries.
fn is_display(table: &[[u16; 3]]) -> bool {
    let luma = |[r, g, b]: &[u16; 3]| 299 * u32::from(*r) + 587 * u32::from(*g) + 114 * u32::from(*b);
    let lumas: Vec<u32> = table.iter().map(luma).collect();
    let (Some(&first), Some(&last)) = (lumas.first(), lumas.last()) else { return false };
    let rises = lumas.windows(2).filter(|w| matches!(w, [a, b] if a < b)).count();
    // A few colours may be sorted by chance.
    table.len() >= 16 && first < last / 4 && rises * 2 > table.len() && lumas.is_sorted()
}

/// Whether ImageJ wrote the directory: its palettes are display colour maps of measured values.
fn is_imagej(decoder: &mut TiffDecoder) -> bool {
    let text = decoder.text(tag::DESCRIPTION);
    text.is_some_and(|t| t.starts_with("ImageJ="))
}

fn ycbcr(source: &Source, decoder: &mut TiffDecoder) -> Result<Colour> {
    let fail = |e| failed(source, e);
    let subsampling: Option<Vec<u16>> = decoder.unsigned_list(tag::YCBCR_SUBSAMPLING).map_err(fail)?;
    let subsampling = match subsampling.as_deref() {
        None => [2, 2],
        Some(&[h @ (1 | 2 | 4), v @ (1 | 2 | 4)]) => [h, v].map(usize::from),
        Some(other) => return Err(source.error(format!("damaged TIFF file: chroma subsampling {other:?}"))),
    };
    let luma = decoder.floats(tag::YCBCR_COEFFICIENTS).and_then(|v| v.try_into().ok()).unwrap_or([0.299, 0.587, 0.114]);
    let range = decoder
        .floats(tag::REFERENCE_BLACK_WHITE)
        .and_then(|v| v.try_into().ok())
        .unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
    let sound = luma.iter().all(|v| *v > 0.0 && *v < 1.0) && range.as_chunks::<2>().0.iter().all(|[b, w]| w > b);
    match sound {
        true => Ok(Colour::YCbCr { subsampling, luma, range }),
        false => Err(source.error("damaged TIFF file: its YCbCr coefficients are no colours")),
    }
}

impl Colour {
    /// Channels per pixel and sample type of the result.
    pub(super) fn output(&self, fields: &ColourFields) -> (usize, Sample) {
        match self {
            Self::Palette8 { grey, .. } => (if *grey { 1 } else { 3 }, Sample::U8),
            Self::Palette16 { grey, .. } => (if *grey { 1 } else { 3 }, Sample::U16),
            Self::Plain | Self::Inverted | Self::YCbCr { .. } => {
                let sample = match (fields.format, fields.bits) {
                    (Format::Unsigned, 1..=8) => Sample::U8,
                    (Format::Unsigned, 9..=16) => Sample::U16,
                    _ => Sample::F32,
                };
                (fields.stored, sample)
            }
        }
    }
}

/// Warnings already given for a file, so that each appears once.
#[derive(Debug, Default)]
pub(in crate::low_level::infer::decode) struct Warned {
    pub rounded: Cell<bool>,
    pub missing: Cell<bool>,
}

/// Converts the samples of a chunk of plane `plane` to pixels.
pub(super) fn pixels(source: &Source, page: &Page, warned: &Warned, plane: usize, mut words: Words) -> Result<Pixels> {
    if page.colour == Colour::Inverted {
        invert(page, plane, &mut words);
    }
    match (&page.colour, words) {
        (Colour::Palette8 { grey, table }, words) => {
            Ok(Pixels::U8(look_up(source, &words, *grey, table, |v| v as u8)?))
        }
        (Colour::Palette16 { grey, table }, words) => Ok(Pixels::U16(look_up(source, &words, *grey, table, |v| v)?)),
        (Colour::YCbCr { luma, range, .. }, Words::W8(mut v)) => {
            v.as_chunks_mut::<3>().0.iter_mut().for_each(|p| *p = rgb(*p, luma, range));
            Ok(Pixels::U8(v))
        }
        (_, Words::W8(v)) if page.format == Format::Signed => {
            Ok(Pixels::F32(v.iter().map(|&x| f32::from(x as i8)).collect()))
        }
        (_, Words::W8(mut v)) => {
            // Fewer bits are scaled to 0..=255.
            let top = u16::from(u8::MAX >> (8 - page.bits.clamp(1, 8)));
            if page.bits < 8 {
                v.iter_mut().for_each(|x| *x = ((u16::from(*x) * 255 + top / 2) / top) as u8);
            }
            Ok(Pixels::U8(v))
        }
        (_, Words::W16(v)) => Ok(match page.format {
            Format::Unsigned => Pixels::U16(v),
            Format::Signed => Pixels::F32(v.iter().map(|&x| f32::from(x as i16)).collect()),
            Format::Float => Pixels::F32(v.iter().map(|&x| half::f16::from_bits(x).to_f32()).collect()),
        }),
        (_, Words::W32(v)) => match page.format {
            Format::Unsigned => rounded(source, page, warned, v.iter().map(|&x| whole(x.into()))),
            Format::Signed => rounded(source, page, warned, v.iter().map(|&x| whole((x as i32).into()))),
            Format::Float => Ok(Pixels::F32(v.iter().map(|&x| f32::from_bits(x)).collect())),
        },
        (_, Words::W64(v)) => match page.format {
            Format::Unsigned => rounded(source, page, warned, v.iter().map(|&x| whole(x.into()))),
            Format::Signed => rounded(source, page, warned, v.iter().map(|&x| whole((x as i64).into()))),
            Format::Float => rounded(source, page, warned, v.iter().map(|&x| real(f64::from_bits(x)))),
        },
    }
}

/// An integer as a 32-bit float, and the original if that changes it.
fn whole(value: i128) -> (f32, Option<f64>) {
    let to = value as f32;
    (to, (to as i128 != value).then_some(value as f64))
}

fn real(value: f64) -> (f32, Option<f64>) {
    let to = value as f32;
    (to, (f64::from(to) != value && !value.is_nan()).then_some(value))
}

/// Numbers as 32-bit floats. Warns once if rounding changes one; fails if one is out of range.
fn rounded(
    source: &Source,
    page: &Page,
    warned: &Warned,
    values: impl ExactSizeIterator<Item = (f32, Option<f64>)>,
) -> Result<Pixels> {
    let mut out = source.zeros::<f32>(values.len())?;
    for (to, (value, changed)) in out.iter_mut().zip(values) {
        *to = value;
        let Some(before) = changed else { continue };
        if value.is_infinite() {
            return Err(source.error(format!("holds the value {before:e}, which is beyond 32-bit floats")));
        }
        if !warned.rounded.replace(true) {
            let kind = if page.format == Format::Float { "floats" } else { "integers" };
            let path = source.path.display();
            log::warn!("{path}: its {}-bit {kind} are rounded to 32-bit floats ({before} to {value})", page.bits);
        }
    }
    Ok(Pixels::F32(out))
}

fn invert(page: &Page, plane: usize, words: &mut Words) {
    let together = page.together();
    let stored_channels = page.stored.saturating_sub(page.extra.len()).max(1).saturating_sub(plane);
    fn map_colours<T: Copy>(v: &mut [T], together: usize, stored_channels: usize, f: impl Fn(T) -> T) {
        for pixel in v.chunks_exact_mut(together.max(1)) {
            pixel.iter_mut().take(stored_channels).for_each(|x| *x = f(*x));
        }
    }
    let bits = page.bits.clamp(1, 64);
    match words {
        Words::W8(v) => map_colours(v, together, stored_channels, |x| (u8::MAX >> (8 - bits.min(8))).saturating_sub(x)),
        Words::W16(v) => {
            map_colours(v, together, stored_channels, |x| (u16::MAX >> (16 - bits.min(16))).saturating_sub(x))
        }
        Words::W32(v) => {
            map_colours(v, together, stored_channels, |x| (u32::MAX >> (32 - bits.min(32))).saturating_sub(x))
        }
        Words::W64(v) => map_colours(v, together, stored_channels, |x| u64::MAX - x),
    }
}

fn look_up<T: Copy + Default>(
    source: &Source,
    words: &Words,
    grey: bool,
    table: &[[u16; 3]],
    value: impl Fn(u16) -> T,
) -> Result<Vec<T>> {
    let (len, channels) = (words.len(), if grey { 1 } else { 3 });
    let mut out = source.zeros::<T>(len * channels)?;
    for (i, pixel) in out.chunks_exact_mut(channels).enumerate() {
        let index = words.integer(i, false).and_then(|n| usize::try_from(n).ok());
        let colour = index.and_then(|n| table.get(n)).copied().unwrap_or_default();
        pixel.iter_mut().zip(colour).for_each(|(to, from)| *to = value(from));
    }
    Ok(out)
}

/// RGB from luma and chroma (TIFF 6.0, section 21).
fn rgb(components: [u8; 3], luma: &[f64; 3], range: &[f64; 6]) -> [u8; 3] {
    let [red, green, blue] = *luma;
    let [y0, y1, b0, b1, r0, r1] = *range;
    let [y, cb, cr] = components.map(f64::from);
    let y = (y - y0) * 255.0 / (y1 - y0);
    let cb = (cb - b0) * 127.0 / (b1 - b0);
    let cr = (cr - r0) * 127.0 / (r1 - r0);
    let r = cr * (2.0 - 2.0 * red) + y;
    let b = cb * (2.0 - 2.0 * blue) + y;
    let g = (y - blue * b - red * r) / green;
    [r, g, b].map(|v| v.round().clamp(0.0, 255.0) as u8)
}
