//! TIFF, read by its strips or tiles, chunky or planar; never the whole picture at once.

mod meaning;

pub(super) use meaning::Meaning;

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use ::tiff::decoder::{ChunkType, Decoder, DecodingSampleType, Limits, TiffCodingUnit};
use ::tiff::tags::{ByteOrder, Tag};
use ::tiff::{ColorType, TiffError};

use super::chunks::{Chunk, ChunkCache};
use super::pages::{self, Plane};
use super::raw::RawLayout;
use super::{FileSource, SCRATCH, Source};
use crate::error::{Error, Result};
use crate::infer::channels::ChannelKind;
use crate::infer::image::Sample;
use crate::infer::image::{Picture, Pixels};
use crate::infer::source::{PictureSource, SourceInfo};

/// Photometric interpretation of palette pictures.
const PALETTE: u32 = 3;
/// More channels than this are refused.
pub(in crate::infer) const MAX_CHANNELS: usize = 64;
/// Uncompressed strips of more bytes than this are read by rows.
const RAW_STRIP: usize = 4 << 20;
/// What is kept of decoded chunks before anyone says how much.
const CACHE: u64 = 64 << 20;

pub(super) type TiffDecoder = Decoder<BufReader<File>>;

/// One page of a TIFF file, with the channels that other directories hold (OME-TIFF, ImageJ).
pub(super) struct TiffPicture {
    source: FileSource,
    decoder: TiffDecoder,
    /// The directory that the decoder is at.
    current: usize,
    planes: Vec<Plane>,
    page: Page,
    cache: ChunkCache,
    /// Where the samples lie, where they can be read without decoding: by plane.
    raw: Option<Vec<RawLayout>>,
}

/// What a directory says about its pixels.
#[derive(Clone, Debug, PartialEq)]
struct Page {
    width: usize,
    height: usize,
    /// Samples of a pixel as decoded, and how many of them are kept.
    stored: usize,
    kept: usize,
    bits: u8,
    sample: Sample,
    planar: bool,
    chunk: [usize; 2],
    strips: bool,
}

/// The decoder asserts that directory and data agree: on a hostile file that must be an error, not the end.
pub(super) fn guarded<T>(source: &Source, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(source.error("damaged TIFF file: its directory contradicts its data")))
}

pub(super) fn decoder(source: &Source, reader: BufReader<File>) -> Result<TiffDecoder> {
    let file_bytes = usize::try_from(source.bytes).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    // Bounds lists of values of the directory, which are at least a byte each in the file; pixels go into our own memory.
    limits.decoding_buffer_size = file_bytes.saturating_mul(size_of::<::tiff::decoder::ifd::Value>());
    // A strip of an honest file, as stored, is at most the file.
    limits.intermediate_buffer_size = file_bytes;
    limits.ifd_value_size = file_bytes.min(SCRATCH as usize);
    Ok(Decoder::new(reader).map_err(|e| error(source, e))?.with_limits(limits))
}

impl TiffPicture {
    pub fn open(source: FileSource, reader: BufReader<File>, page: usize) -> Result<Self> {
        let s = source.as_source();
        let (decoder, current, planes, described, raw) = guarded(&s, || {
            let mut decoder = decoder(&s, reader)?;
            let planes = pages::planes(&s, &mut decoder, page)?;
            let Some(first) = planes.first() else { return Err(s.error("the page has no channels")) };
            let seek = |d: &mut TiffDecoder, p: &Plane| d.seek_to_image(p.directory).map_err(|e| error(&s, e));
            seek(&mut decoder, first)?;
            let described = Page::read(&s, &mut decoder)?;
            if planes.len() * described.kept > MAX_CHANNELS {
                let count = planes.len() * described.kept;
                return Err(s.error(format!("{count} channels are more than the {MAX_CHANNELS} that are supported")));
            }
            let mut raw = described.raw(&s, &mut decoder)?.map(|r| vec![r]);
            let mut current = first.directory;
            for plane in planes.iter().skip(1) {
                seek(&mut decoder, plane)?;
                current = plane.directory;
                let other = Page::read(&s, &mut decoder)?;
                if other != described {
                    let reason = format!("directories {} and {current} differ in size, type or tiles", first.directory);
                    return Err(s.error(reason));
                }
                raw = match (raw, described.raw(&s, &mut decoder)?) {
                    (Some(mut all), Some(one)) => {
                        all.push(one);
                        Some(all)
                    }
                    _ => None,
                };
            }
            Ok((decoder, current, planes, described, raw))
        })?;
        Ok(Self { source, decoder, current, planes, page: described, cache: ChunkCache::new(CACHE), raw })
    }

    /// A decoded chunk of a directory.
    fn chunk(&mut self, directory: usize, number: u32) -> Result<Rc<Chunk>> {
        if let Some(chunk) = self.cache.get((directory, number)) {
            return Ok(chunk);
        }
        let source = self.source.as_source();
        let fail = |e| error(&source, e);
        if self.current != directory {
            self.decoder.seek_to_image(directory).map_err(fail)?;
            self.current = directory;
        }
        let unit = TiffCodingUnit(number);
        let layout = self.decoder.image_coding_unit_layout(unit).map_err(fail)?;
        let (width, height) = self.decoder.chunk_data_dimensions(number);
        let page = &self.page;
        let together = if page.planar { 1 } else { page.stored };
        let row = width as usize * together;
        let decoder = &mut self.decoder;
        let pixels = match page.sample {
            Sample::U8 => {
                let raw = raw_unit::<u8>(&source, decoder, unit, layout.complete_len)?;
                let stride = layout.row_stride.map_or(0, |s| s.get());
                Pixels::U8(if page.bits < 8 {
                    unpack(&source, &raw, stride, page.bits, row, height as usize)?
                } else {
                    raw
                })
            }
            Sample::U16 => Pixels::U16(raw_unit(&source, decoder, unit, layout.complete_len)?),
            Sample::F32 => Pixels::F32(raw_unit(&source, decoder, unit, layout.complete_len)?),
        };
        let plane = layout.plane_stride.map_or(0, |s| s.get()) / page.sample.bytes();
        let (width, height) = (width as usize, height as usize);
        let planes = if page.planar { page.stored } else { 1 };
        if pixels.len() < (planes - 1) * plane + row * height {
            return Err(source.error("damaged TIFF file: the size of its data contradicts its dimensions"));
        }
        let chunk = Rc::new(Chunk { pixels, width, height, together, plane });
        self.cache.put((directory, number), chunk.clone());
        Ok(chunk)
    }

    fn window<T: Copy + Default>(
        &mut self,
        [x0, y0, w, h]: [usize; 4],
        samples: fn(&Pixels) -> &[T],
    ) -> Result<Vec<T>> {
        let Page { width, kept, planar, chunk: [cw, ch], .. } = self.page;
        let channels = self.planes.len() * kept;
        let mut out = self.source.as_source().zeros::<T>(w * h * channels)?;
        let across = width.div_ceil(cw);
        for plane in 0..self.planes.len() {
            let Some(directory) = self.planes.get(plane).map(|p| p.directory) else { break };
            for cy in y0 / ch..=(y0 + h - 1) / ch {
                for cx in x0 / cw..=(x0 + w - 1) / cw {
                    let number = u32::try_from(cy * across + cx).unwrap_or(u32::MAX);
                    let chunk = self.chunk(directory, number)?;
                    let from = samples(&chunk.pixels);
                    let (left, right) = (x0.max(cx * cw), (x0 + w).min(cx * cw + chunk.width));
                    let (top, bottom) = (y0.max(cy * ch), (y0 + h).min(cy * ch + chunk.height));
                    for y in top..bottom {
                        for k in 0..kept {
                            let place = if planar { (k * chunk.plane, 0) } else { (0, k) };
                            let row = place.0 + ((y - cy * ch) * chunk.width + left - cx * cw) * chunk.together;
                            let line = from.get(row..).unwrap_or_default().iter().skip(place.1).step_by(chunk.together);
                            let at = ((y - y0) * w + left - x0) * channels + plane * kept + k;
                            let to = out.get_mut(at..).unwrap_or_default().iter_mut().step_by(channels);
                            to.zip(line).take(right.saturating_sub(left)).for_each(|(to, &v)| *to = v);
                        }
                    }
                }
            }
        }
        Ok(out)
    }
}

impl PictureSource for TiffPicture {
    fn info(&self) -> SourceInfo {
        let Page { width, height, kept, sample, .. } = self.page;
        let channels = self.planes.len() * kept;
        // What the file says of them is read by `meaning`.
        SourceInfo { width, height, channels, sample, kind: ChannelKind::of_count(channels) }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Picture> {
        let info = self.info();
        info.check_inside(x0, y0, w, h)?;
        let window = [x0, y0, w, h];
        let file = self.source.clone();
        let source = file.as_source();
        if let Some(raw) = &self.raw {
            let parts =
                raw.iter().map(|r| r.read(&source, self.decoder.inner(), window)).collect::<Result<Vec<_>>>()?;
            return super::join_channels(&source, parts);
        }
        let pixels = guarded(&source, || {
            Ok(match info.sample {
                Sample::U8 => Pixels::U8(self.window(window, |p| if let Pixels::U8(v) = p { v } else { &[] })?),
                Sample::U16 => Pixels::U16(self.window(window, |p| if let Pixels::U16(v) = p { v } else { &[] })?),
                Sample::F32 => Pixels::F32(self.window(window, |p| if let Pixels::F32(v) = p { v } else { &[] })?),
            })
        })?;
        Picture::new(w, h, info.channels, pixels)
    }

    fn rows_at_once(&self) -> usize {
        if self.raw.is_some() { 1 } else { self.page.chunk[1].min(self.page.height) }
    }

    fn held_bytes(&self) -> u64 {
        if self.raw.is_some() {
            return 0;
        }
        let Page { chunk: [w, h], width, height, stored, sample, .. } = self.page;
        // A chunk decoded, and as it is stored.
        2 * (w.min(width) * h.min(height) * stored * sample.bytes()) as u64
    }

    fn cache_bytes(&self, rows: usize) -> u64 {
        if self.raw.is_some() {
            return 0;
        }
        let Page { chunk: [_, h], width, height, stored, sample, .. } = self.page;
        let rows = ((rows.div_ceil(h) + 1) * h).min(height.next_multiple_of(h));
        (rows * width) as u64 * (self.planes.len() * stored * sample.bytes()) as u64
    }

    fn keep(&mut self, bytes: u64) {
        self.cache.resize(bytes);
    }
}

impl Page {
    /// Reads and checks the directory that the decoder is at.
    fn read(source: &Source, decoder: &mut TiffDecoder) -> Result<Self> {
        let fail = |e| error(source, e);
        let (width, height) = decoder.dimensions().map_err(fail)?;
        source.check_size(width, height)?;
        let photometric: Option<u32> = decoder.find_tag_unsigned(Tag::PhotometricInterpretation).map_err(fail)?;
        if photometric == Some(PALETTE) {
            return Err(source.error("TIFF files with a palette are not supported; save it as grey or RGB"));
        }
        let color = decoder.colortype().map_err(fail)?;
        let (stored, kept) = channels(source, color)?;
        let layout = decoder.image_buffer_layout().map_err(fail)?;
        let planar = layout.planes > 1;
        let bits = color.bit_depth();
        if bits > 8 && !bits.is_multiple_of(16) {
            return Err(source.error(format!("{bits}-bit samples are not supported (8, 16 or 32-bit float are)")));
        }
        if bits < 8 && (!matches!(bits, 1 | 2 | 4) || planar) {
            let text = format!("{bits}-bit samples are not supported (1, 2, 4, 8, 16 and 32-bit float are)");
            return Err(source.error(text));
        }
        // The decoder drops extra samples before it undoes the predictor, which garbles the colours.
        if matches!(color, ColorType::RGB(_)) && !planar {
            let samples: Option<u32> = decoder.find_tag_unsigned(Tag::SamplesPerPixel).map_err(fail)?;
            let predictor: Option<u32> = decoder.find_tag_unsigned(Tag::Predictor).map_err(fail)?;
            if samples.unwrap_or(1) != 3 && predictor.unwrap_or(1) != 1 {
                return Err(source.error("a TIFF predictor together with extra samples is not supported"));
            }
        }
        let sample = match layout.sample_type {
            Some(DecodingSampleType::U8) => Sample::U8,
            Some(DecodingSampleType::U16) => Sample::U16,
            Some(DecodingSampleType::F32) => Sample::F32,
            _ => {
                let kind = sample_name(layout.sample_type, bits);
                return Err(source.error(format!(
                    "{kind} samples are not supported (unsigned 8 or 16-bit integers and 32-bit floats are)"
                )));
            }
        };
        let (cw, ch) = decoder.chunk_dimensions();
        let strips = decoder.get_chunk_type() == ChunkType::Strip;
        let (width, height) = (width as usize, height as usize);
        // Strips may claim more rows than there are; a tile far beyond the picture would be allocated.
        let chunk = [cw as usize, if strips { (ch as usize).min(height) } else { ch as usize }];
        let beyond = |n: usize, side: usize| n == 0 || n > side.max(1 << 13);
        if beyond(chunk[0], width) || beyond(chunk[1], height) {
            return Err(source.error(format!("damaged TIFF file: a picture of {width}x{height} in tiles of {cw}x{ch}")));
        }
        let page = Self { width, height, stored, kept, bits, sample, planar, chunk, strips };
        source.check_bytes(page.chunk_bytes())?;
        Ok(page)
    }

    /// Bytes of a strip or tile, decoded.
    fn chunk_bytes(&self) -> u64 {
        let [w, h] = self.chunk.map(|n| n as u64);
        let samples = if self.planar { 1 } else { self.stored } as u64;
        w.saturating_mul(h).saturating_mul(samples).saturating_mul(self.sample.bytes() as u64)
    }

    /// Where the samples lie, if they are not compressed and in strips too large to be read whole.
    fn raw(&self, source: &Source, decoder: &mut TiffDecoder) -> Result<Option<RawLayout>> {
        let fail = |e| error(source, e);
        let mut number = |tag, default| -> Result<u64> {
            Ok(decoder.find_tag_unsigned::<u64>(tag).map_err(fail)?.unwrap_or(default))
        };
        let plain = number(Tag::Compression, 1)? == 1
            && number(Tag::Predictor, 1)? == 1
            && matches!(number(Tag::PhotometricInterpretation, 1)?, 1 | 2)
            && number(Tag::SamplesPerPixel, 1)? == self.stored as u64;
        let strip = self.width * self.chunk[1] * self.stored * self.sample.bytes();
        if !plain || !self.strips || self.bits < 8 || strip <= RAW_STRIP {
            return Ok(None);
        }
        let strips = decoder.get_tag_u64_vec(Tag::StripOffsets).map_err(fail)?;
        let Self { width, height, kept, sample, .. } = *self;
        Ok(Some(RawLayout {
            info: SourceInfo { width, height, channels: kept, sample, kind: ChannelKind::of_count(kept) },
            together: if self.planar { 1 } else { kept },
            stored: if self.planar { 1 } else { self.stored },
            strips,
            rows: self.chunk[1],
            big_endian: decoder.byte_order() == ByteOrder::BigEndian,
        }))
    }
}

/// Channels as the decoder gives them, and how many of them are kept.
fn channels(source: &Source, color: ColorType) -> Result<(usize, usize)> {
    Ok(match color {
        ColorType::Gray(_) => (1, 1),
        ColorType::GrayA(_) => (2, 2),
        ColorType::RGB(_) => (3, 3),
        ColorType::RGBA(_) => (4, 4),
        ColorType::Multiband { num_samples, .. } if usize::from(num_samples) <= MAX_CHANNELS => {
            (usize::from(num_samples), usize::from(num_samples))
        }
        other => {
            let text = format!("TIFF colours of type {other:?} are not supported (grey, RGB and RGBA are)");
            return Err(source.error(text));
        }
    })
}

fn raw_unit<T: bytemuck::Pod + Default>(
    source: &Source,
    decoder: &mut TiffDecoder,
    unit: TiffCodingUnit,
    bytes: usize,
) -> Result<Vec<T>> {
    let mut v = source.zeros::<T>(bytes.div_ceil(size_of::<T>()))?;
    decoder.read_coding_unit_bytes(unit, bytemuck::cast_slice_mut(&mut v)).map_err(|e| error(source, e))?;
    Ok(v)
}

/// Spreads samples of fewer than 8 bits over 0 to 255; rows start at whole bytes.
fn unpack(source: &Source, raw: &[u8], stride: usize, bits: u8, row: usize, rows: usize) -> Result<Vec<u8>> {
    let per_byte = usize::from(8 / bits);
    let top = (1u8 << bits) - 1;
    let stride = if stride > 0 { stride } else { row.div_ceil(per_byte) };
    let mut out = source.zeros::<u8>(row * rows)?;
    for (to, line) in out.chunks_exact_mut(row.max(1)).zip(raw.chunks_exact(stride.max(1))) {
        for (i, sample) in to.iter_mut().enumerate() {
            let shift = 8 - usize::from(bits) * (i % per_byte + 1);
            *sample = ((line.get(i / per_byte).copied().unwrap_or(0) >> shift) & top) * (255 / top);
        }
    }
    Ok(out)
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

pub(super) fn error(source: &Source, e: TiffError) -> Error {
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
