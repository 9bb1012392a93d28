//! TIFF: the first page, in strips or tiles, chunky or planar.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::tiff::decoder::{BufferLayoutPreference, Decoder, DecodingSampleType, Limits};
use ::tiff::tags::Tag;
use ::tiff::{ColorType, TiffError};

use super::{SCRATCH, Source, keep_channels};
use crate::error::{Error, Result};
use crate::infer::image::{Picture, Pixels};

/// Photometric interpretation of palette pictures.
const PALETTE: u32 = 3;
/// More channels than this are refused.
const MAX_CHANNELS: u16 = 64;

pub(super) fn read(source: &Source, reader: BufReader<File>) -> Result<Picture> {
    // The decoder asserts that directory and data agree: on a hostile file that must be an error, not the end.
    catch_unwind(AssertUnwindSafe(|| decode(source, reader)))
        .unwrap_or_else(|_| Err(source.error("damaged TIFF file: its directory contradicts its data")))
}

fn decode(source: &Source, reader: BufReader<File>) -> Result<Picture> {
    let fail = |e| error(source, e);
    let file_bytes = usize::try_from(source.bytes).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = usize::try_from(source.max_pixels.saturating_mul(16)).unwrap_or(usize::MAX);
    // A strip of an honest file, as stored, is at most the file.
    limits.intermediate_buffer_size = file_bytes;
    limits.ifd_value_size = file_bytes.min(SCRATCH as usize);
    let mut decoder = Decoder::new(reader).map_err(fail)?.with_limits(limits);

    let (width, height) = decoder.dimensions().map_err(fail)?;
    source.check_size(width, height)?;
    let photometric: Option<u32> = decoder.find_tag_unsigned(Tag::PhotometricInterpretation).map_err(fail)?;
    if photometric == Some(PALETTE) {
        return Err(source.error("TIFF files with a palette are not supported; save it as grey or RGB"));
    }
    let color = decoder.colortype().map_err(fail)?;
    let (stored, mut kept) = channels(source, color)?;
    if matches!(color, ColorType::Multiband { .. }) {
        let extra: Option<Vec<u16>> = decoder.find_tag_unsigned_vec(Tag::ExtraSamples).map_err(fail)?;
        // Of extra samples, 1 and 2 are alpha; 0 is anything, such as one more dye.
        let alpha = extra.iter().flatten().rev().take_while(|e| matches!(e, 1 | 2)).count();
        kept = stored.saturating_sub(alpha).max(1);
    }
    let layout = decoder.image_buffer_layout().map_err(fail)?;
    let bits = color.bit_depth();
    if bits > 8 && !bits.is_multiple_of(16) {
        return Err(source.error(format!("{bits}-bit samples are not supported (8, 16 or 32-bit float are)")));
    }
    // The decoder drops extra samples before it undoes the predictor, which garbles the colours.
    if matches!(color, ColorType::RGB(_)) && layout.planes == 1 {
        let samples: Option<u32> = decoder.find_tag_unsigned(Tag::SamplesPerPixel).map_err(fail)?;
        let predictor: Option<u32> = decoder.find_tag_unsigned(Tag::Predictor).map_err(fail)?;
        if samples.unwrap_or(1) != 3 && predictor.unwrap_or(1) != 1 {
            return Err(source.error("a TIFF predictor together with extra samples is not supported"));
        }
    }
    let shape = Shape { width: width as usize, height: height as usize, stored, kept };
    let pixels = match layout.sample_type {
        Some(DecodingSampleType::U8) => {
            let raw = raw::<u8>(source, &mut decoder, &layout)?;
            Pixels::U8(if bits < 8 { unpack(source, &raw, &layout, bits, &shape)? } else { raw })
        }
        Some(DecodingSampleType::U16) => Pixels::U16(raw(source, &mut decoder, &layout)?),
        Some(DecodingSampleType::F32) => Pixels::F32(raw(source, &mut decoder, &layout)?),
        _ => {
            let kind = sample_name(layout.sample_type, bits);
            return Err(source.error(format!(
                "{kind} samples are not supported (unsigned 8 or 16-bit integers and 32-bit floats are)"
            )));
        }
    };
    let pixels =
        if layout.planes > 1 { interleave(source, pixels, &shape)? } else { keep_channels(pixels, stored, kept) };
    Picture::new(shape.width, shape.height, kept, pixels)
        .map_err(|_| source.error("damaged TIFF file: the size of its data contradicts its dimensions"))
}

struct Shape {
    width: usize,
    height: usize,
    stored: usize,
    kept: usize,
}

/// Channels as the decoder gives them, and how many of them are kept.
fn channels(source: &Source, color: ColorType) -> Result<(usize, usize)> {
    Ok(match color {
        ColorType::Gray(_) => (1, 1),
        ColorType::GrayA(_) => (2, 1),
        ColorType::RGB(_) => (3, 3),
        ColorType::RGBA(_) => (4, 3),
        ColorType::Multiband { num_samples, .. } if num_samples <= MAX_CHANNELS => {
            (usize::from(num_samples), usize::from(num_samples))
        }
        other => {
            let text = format!("TIFF colours of type {other:?} are not supported (grey, RGB and RGBA are)");
            return Err(source.error(text));
        }
    })
}

fn raw<T: bytemuck::Pod + Default>(
    source: &Source,
    decoder: &mut Decoder<BufReader<File>>,
    layout: &BufferLayoutPreference,
) -> Result<Vec<T>> {
    let mut v = source.zeros::<T>(layout.complete_len.div_ceil(size_of::<T>()))?;
    decoder.read_image_bytes(bytemuck::cast_slice_mut(&mut v)).map_err(|e| error(source, e))?;
    Ok(v)
}

/// Spreads samples of fewer than 8 bits over 0 to 255; rows start at whole bytes.
fn unpack(source: &Source, raw: &[u8], layout: &BufferLayoutPreference, bits: u8, shape: &Shape) -> Result<Vec<u8>> {
    if !matches!(bits, 1 | 2 | 4) || layout.planes > 1 {
        return Err(source.error(format!("{bits}-bit samples are not supported (1, 2, 4, 8, 16 and 32-bit float are)")));
    }
    let per_byte = usize::from(8 / bits);
    let top = (1u8 << bits) - 1;
    let samples = shape.width * shape.stored;
    let stride = layout.row_stride.map_or(samples.div_ceil(per_byte), |s| s.get());
    let mut out = source.zeros::<u8>(samples * shape.height)?;
    for (row, line) in out.chunks_exact_mut(samples).zip(raw.chunks_exact(stride)) {
        for (i, sample) in row.iter_mut().enumerate() {
            let shift = 8 - usize::from(bits) * (i % per_byte + 1);
            *sample = ((line[i / per_byte] >> shift) & top) * (255 / top);
        }
    }
    Ok(out)
}

/// Planes one after the other become interleaved pixels, without the planes that are not kept.
fn interleave(source: &Source, pixels: Pixels, shape: &Shape) -> Result<Pixels> {
    fn weave<T: Copy + Default>(source: &Source, v: &[T], shape: &Shape) -> Result<Vec<T>> {
        let plane = shape.width * shape.height;
        let mut out = source.zeros::<T>(plane * shape.kept)?;
        for (c, samples) in v.chunks_exact(plane).take(shape.kept).enumerate() {
            for (pixel, &s) in out.chunks_exact_mut(shape.kept).zip(samples) {
                pixel[c] = s;
            }
        }
        Ok(out)
    }
    Ok(match pixels {
        Pixels::U8(v) => Pixels::U8(weave(source, &v, shape)?),
        Pixels::U16(v) => Pixels::U16(weave(source, &v, shape)?),
        Pixels::F32(v) => Pixels::F32(weave(source, &v, shape)?),
    })
}

fn sample_name(sample: Option<DecodingSampleType>, bits: u8) -> String {
    use DecodingSampleType as S;
    match sample {
        Some(S::U32 | S::U64) => format!("{bits}-bit integer"),
        Some(S::I8 | S::I16 | S::I32 | S::I64) => format!("signed {bits}-bit integer"),
        Some(S::F16 | S::F64) => format!("{bits}-bit float"),
        _ => format!("{bits}-bit"),
    }
}

fn error(source: &Source, e: TiffError) -> Error {
    match e {
        TiffError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            source.error("the TIFF file is truncated")
        }
        TiffError::IoError(e) => source.error(format!("damaged TIFF file: {e}")),
        TiffError::LimitsExceeded => source.error("damaged TIFF file: it asks for more memory than it can need"),
        TiffError::UnsupportedError(e) => source.error(format!("unsupported TIFF file: {e}")),
        e => source.error(format!("damaged TIFF file: {e}")),
    }
}
