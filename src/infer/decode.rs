//! Image file decoding. The format is found from the first bytes, never from the name.

mod axes;
mod calibrate;
mod chunks;
mod describe;
mod directory;
mod gif;
mod jp2;
mod labels;
mod npy;
mod ome;
mod orientation;
mod plane;
mod raw;
mod refused;
mod shaped;
#[cfg(feature = "std-fs")]
mod strips;
mod tag;
mod tiff;
#[cfg(feature = "ome-zarr")]
pub(super) mod zarr;

pub(super) use axes::axes_of;
pub(super) use calibrate::calibration;
pub use describe::{ImageFacts, PageFacts, describe_image, image_format};
pub use npy::check_npy_header;
#[cfg(feature = "std-fs")]
pub(super) use strips::{StoredPage, StoredStrips};

pub(crate) use orientation::orientation_of;

use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::image::codecs::{bmp::BmpDecoder, jpeg::JpegDecoder, png::PngDecoder, pnm::PnmDecoder, webp::WebPDecoder};
use ::image::{ColorType, ImageDecoder, ImageError, Limits};

use super::channel_kind::ChannelKind;
use super::image::{Image, Pixels, Sample};
use super::orient::Orientation;
use super::source::{Described, ImageSource, InMemory, read_all};
use crate::error::{Error, Message, Result};
use crate::io::image_formats::{Decoder, HEAD};
use crate::io::{Input, Nature, Reader};
use crate::text::mib;

/// Largest number of pixels that [`Image::open`] decodes.
pub const MAX_PIXELS: u64 = 1 << 32;

/// Images with more channels are refused.
pub(super) const MAX_CHANNELS: usize = 64;
/// Any file may claim this many pixels: even uncompressed they fit in memory.
const FREE_PIXELS: u64 = 16 << 20;
/// Maximum pixels per byte of a valid file (one-bit deflate reaches 8256).
const MAX_PIXELS_PER_BYTE: u64 = 1 << 15;
/// Bytes that any file may be decoded into: [`FREE_PIXELS`] of four samples of 16 bits.
const FREE_BYTES: u64 = 128 << 20;
/// Beyond [`FREE_BYTES`], the maximum of decoded bytes per byte of the file (one-bit deflate as RGB reaches 24768).
const MAX_BYTES_PER_BYTE: u64 = 1 << 15;
/// Bytes that decoders may allocate in addition to the pixels.
const SCRATCH: u64 = 64 << 20;

/// The name of the program in a TIFF file's first directory.
#[cfg(feature = "std-fs")]
pub(super) fn software(file: crate::io::fs::File) -> Option<String> {
    let mut directories = directory::Directories::new(std::io::BufReader::new(file)).ok()?;
    let first = directories.read(directories.header.first).ok()?;
    directories.text(&first, tag::SOFTWARE)
}

impl Image {
    /// The first page of a file with all its channels, rows and columns as stored.
    fn open_stored(input: &Input) -> Result<Self> {
        let (opened, _) = open_file(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX }, 0, 0)?;
        let mut source = match opened {
            Decoded::Memory(image) => return Ok(image),
            Decoded::Windows(source) => source,
        };
        check_whole(input, &*source)?;
        read_all(&mut *source)
    }
}

/// Refuses to read the whole of an image that a file of this size cannot hold.
pub(super) fn check_whole(input: &Input, source: &dyn ImageSource) -> Result<()> {
    #[cfg(feature = "ome-zarr")]
    if let Some(folder) = zarr::folder(input) {
        let info = source.info();
        return zarr::check_whole(folder, info.row_bytes().saturating_mul(info.height as u64));
    }
    let ((_, bytes), info) = (input.open()?, source.info());
    let file = FileSource { input: input.clone(), bytes, max_pixels: MAX_PIXELS, memory: u64::MAX };
    file.as_source().check_bytes(info.row_bytes().saturating_mul(info.height as u64))
}

/// An opened file.
pub(super) enum Decoded {
    /// From a format that is decoded as a whole.
    Memory(Image),
    /// From a format that is read by windows.
    Windows(Box<dyn ImageSource>),
}

impl Decoded {
    pub(super) fn into_source(self) -> Box<dyn ImageSource> {
        match self {
            Self::Memory(image) => Box::new(InMemory::owned(image)),
            Self::Windows(source) => source,
        }
    }
}

/// What decoding a file may cost.
pub(super) struct Bounds {
    /// Maximum number of pixels.
    pub pixels: u64,
    /// Maximum bytes of memory for the pixels of a format that is decoded as a whole.
    pub memory: u64,
}

/// Opens a file as a source with all channels as stored, and returns its orientation. It is read by windows where the
/// format allows it, otherwise decoded into at most `memory` bytes. `page` and `level` count from 0.
pub(super) fn open_source(
    input: &Input,
    page: usize,
    level: usize,
    memory: u64,
) -> Result<(Box<dyn ImageSource>, Orientation)> {
    let (opened, orientation) = open_file(input, &Bounds { pixels: MAX_PIXELS, memory }, page, level)?;
    Ok((opened.into_source(), orientation))
}

/// Number of pages. TIFF: images that are not reduced copies of others; OME-TIFF and ImageJ stacks: every z plane and
/// time, and so of OME-Zarr; other formats: 1.
pub(super) fn pages_of(input: &Input) -> Result<usize> {
    #[cfg(feature = "ome-zarr")]
    if let Some(folder) = zarr::folder(input) {
        return zarr::pages(folder);
    }
    let (source, reader, head) = begin(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX })?;
    match Decoder::of_head(&head) {
        Some(Decoder::Tiff) => {
            let source = source.as_source();
            tiff::guarded(&source, || tiff::pages::count(&source, &mut tiff::TiffDecoder::new(&source, reader)?))
        }
        _ => Ok(1),
    }
}

/// Opens a file and reads the bytes that identify its format.
fn begin(input: &Input, bounds: &Bounds) -> Result<(FileSource, Reader, Vec<u8>)> {
    let path = input.name();
    let (mut reader, bytes) = input.open()?;
    match reader.get_ref().nature().map_err(|e| Error::io(path, e))? {
        Nature::File | Nature::Memory => {}
        Nature::Folder => return Err(Error::file(path, refused::folder(path))),
        Nature::Stream => return Err(Error::file(path, "is not a regular file")),
    }
    let source = FileSource { input: input.clone(), bytes, max_pixels: bounds.pixels, memory: bounds.memory };
    let mut head = Vec::new();
    (&mut reader).take(HEAD).read_to_end(&mut head).map_err(|e| Error::io(path, e))?;
    reader.seek(SeekFrom::Start(0)).map_err(|e| Error::io(path, e))?;
    Ok((source, reader, head))
}

/// Opens a file; also returns its orientation.
pub(super) fn open_file(input: &Input, bounds: &Bounds, page: usize, level: usize) -> Result<(Decoded, Orientation)> {
    #[cfg(feature = "ome-zarr")]
    if let Some(folder) = zarr::folder(input) {
        return Ok((Decoded::Windows(zarr::open(folder, bounds, page, level)?), Orientation::default()));
    }
    let path = input.name();
    let (file, mut reader, head) = begin(input, bounds)?;
    let source = file.as_source();
    let decoder = Decoder::of_head(&head);
    let is_tiff = decoder == Some(Decoder::Tiff);
    if page > 0 && !is_tiff && !head.is_empty() {
        return Err(Error::file(path, format!("has one page, there is no page {page} (they count from 0)")));
    }
    if level > 0 && !is_tiff && !head.is_empty() {
        return Err(Error::file(path, tiff::levels::missing(&[], level)));
    }
    match decoder {
        None if head.is_empty() => Err(Error::file(path, "the file is empty")),
        None => Err(source.error(refused::reason(&head))),
        Some(Decoder::Tiff) => {
            let mut image = tiff::TiffImage::open(file, reader, page, level)?;
            let tiff::Meaning { kind, names, orientation } = image.meaning(page)?;
            Ok((Decoded::Windows(Box::new(Described { source: Box::new(image), kind, names })), orientation))
        }
        Some(Decoder::Npy) => {
            let image = npy::NpyImage::open(file, reader)?;
            Ok((Decoded::Windows(Box::new(image)), Orientation::default()))
        }
        // A panic is the decoder's fault: report it as an error instead of aborting.
        Some(decoder) => {
            let orientation = orientation::of_container(&mut reader, decoder);
            reader.rewind().map_err(|e| Error::io(path, e))?;
            catch_unwind(AssertUnwindSafe(|| whole(&source, reader, decoder)))
                .unwrap_or_else(|_| Err(source.decoder_fault("image")))
                .map(|image| (Decoded::Memory(image), orientation))
        }
    }
}

/// Decodes an image of a format that is not read by windows.
fn whole(source: &Source, reader: Reader, decoder: Decoder) -> Result<Image> {
    match decoder {
        Decoder::Png => source.png(reader),
        Decoder::Jpeg => source.jpeg(reader),
        Decoder::WebP => {
            let mut decoder = WebPDecoder::new(reader).map_err(|e| source.image_error("WebP", e))?;
            if decoder.has_animation() {
                return Err(source.error("WebP animations are not supported"));
            }
            decoder.set_limits(source.limits()).map_err(|e| source.image_error("WebP", e))?;
            source.decode("WebP", decoder)
        }
        Decoder::Bmp => {
            let decoder = BmpDecoder::new(reader).map_err(|e| source.image_error("BMP", e))?;
            source.decode("BMP", decoder)
        }
        Decoder::Gif => gif::decode(source, &source.all_bytes(reader)?),
        Decoder::Pnm => {
            let decoder = PnmDecoder::new(reader).map_err(|e| source.image_error("PNM", e))?;
            source.decode("PNM", decoder)
        }
        Decoder::Jpeg2000 => jp2::decode(source, &source.all_bytes(reader)?),
        Decoder::Tiff | Decoder::Npy | Decoder::Zarr => Err(source.error("is read by windows, not as a whole")),
    }
}

/// Joins images of equal size into one with the channels of all.
fn join_channels(source: &Source, mut parts: Vec<Image>) -> Result<Image> {
    if parts.len() == 1 {
        return parts.pop().ok_or_else(|| source.error("the page has no channels"));
    }
    fn join<T: Copy + Default>(source: &Source, parts: &[(&[T], usize)], pixels: usize) -> Result<Vec<T>> {
        let channels: usize = parts.iter().map(|p| p.1).sum();
        let mut out = source.zeros::<T>(pixels * channels)?;
        let mut first = 0;
        for (samples, count) in parts {
            for (to, from) in out.chunks_exact_mut(channels).zip(samples.chunks_exact(*count)) {
                to.iter_mut().skip(first).zip(from).for_each(|(to, &from)| *to = from);
            }
            first += count;
        }
        Ok(out)
    }
    let Some(first) = parts.first() else { return Err(source.error("the page has no channels")) };
    let (w, h, sample) = (first.width(), first.height(), first.pixels().sample());
    macro_rules! joined {
        ($kind:ident) => {
            Pixels::$kind(join(
                source,
                &parts
                    .iter()
                    .filter_map(|p| match p.pixels() {
                        Pixels::$kind(v) => Some((&v[..], p.channels())),
                        _ => None,
                    })
                    .collect::<Vec<_>>(),
                w * h,
            )?)
        };
    }
    let pixels = match sample {
        Sample::U8 => joined!(U8),
        Sample::U16 => joined!(U16),
        Sample::F32 => joined!(F32),
    };
    let channels = parts.iter().map(Image::channels).sum();
    Image::new(w, h, channels, pixels)
}

/// A file and what reading it may cost.
#[derive(Clone, Debug)]
struct FileSource {
    input: Input,
    bytes: u64,
    max_pixels: u64,
    memory: u64,
}

impl FileSource {
    fn as_source(&self) -> Source<'_> {
        Source {
            input: &self.input,
            path: self.input.name(),
            bytes: self.bytes,
            max_pixels: self.max_pixels,
            memory: self.memory,
        }
    }
}

/// A file to be decoded and what it may cost.
struct Source<'a> {
    input: &'a Input,
    /// Name of the file.
    path: &'a Path,
    bytes: u64,
    max_pixels: u64,
    /// Maximum bytes of an image that is decoded as a whole.
    memory: u64,
}

impl Source<'_> {
    fn error(&self, reason: impl Into<Message>) -> Error {
        Error::file(self.path, reason)
    }

    /// The error for a decoder that panicked, which is no evidence against the file.
    fn decoder_fault(&self, format: &str) -> Error {
        self.error(format!(
            "a fault of the {format} decoder, not of the file: it stopped where it never should; please report it with the file"
        ))
    }

    /// Refuses dimensions that a file of this size cannot have, before anything is allocated for them.
    fn check_size(&self, width: u32, height: u32) -> Result<()> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 {
            return Err(self.error(format!("the image has no pixels ({width}x{height})")));
        }
        if pixels > self.max_pixels {
            let limit = self.max_pixels;
            return Err(self.error(format!("the image of {width}x{height} is over the limit of {limit} pixels")));
        }
        if pixels > self.bytes.saturating_mul(MAX_PIXELS_PER_BYTE).saturating_add(FREE_PIXELS) {
            let bytes = self.bytes;
            return Err(self.error(format!("damaged: {width}x{height} pixels cannot come from {bytes} bytes")));
        }
        Ok(())
    }

    /// Refuses what a file of this size cannot be decoded into, before anything is allocated for it.
    fn check_bytes(&self, decoded: u64) -> Result<()> {
        if decoded > self.bytes.saturating_mul(MAX_BYTES_PER_BYTE).saturating_add(FREE_BYTES) {
            let bytes = self.bytes;
            return Err(self.error(format!("damaged: {decoded} bytes of pixels cannot come from {bytes} bytes")));
        }
        Ok(())
    }

    /// Refuses an image that exceeds the memory limit.
    fn check_memory(&self, bytes: u64) -> Result<()> {
        if bytes <= self.memory {
            return Ok(());
        }
        Err(Error::Limit {
            what: format!("{}: an image of this format, which is decoded as a whole,", self.path.display()),
            needed: mib(bytes),
            limit: format!("{} of memory", mib(self.memory)),
        })
    }

    /// Zeros for `len` samples. Too little memory is an error, not an abort.
    fn zeros<T: Copy + Default>(&self, len: usize) -> Result<Vec<T>> {
        let mut v = Vec::new();
        v.try_reserve_exact(len).map_err(|_| self.error(format!("{len} samples do not fit in memory")))?;
        v.resize(len, T::default());
        Ok(v)
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(self.max_pixels.saturating_mul(8).min(self.memory).saturating_add(SCRATCH));
        limits
    }

    fn png(&self, reader: Reader) -> Result<Image> {
        let decoder = PngDecoder::with_limits(reader, self.limits()).map_err(|e| self.image_error("PNG", e))?;
        self.decode("PNG", decoder)
    }

    /// The whole file.
    fn all_bytes(&self, mut reader: Reader) -> Result<Vec<u8>> {
        self.check_memory(self.bytes)?;
        let mut bytes = self.zeros::<u8>(0)?;
        let len = usize::try_from(self.bytes).map_err(|_| self.error("the file does not fit in memory"))?;
        bytes.try_reserve_exact(len).map_err(|_| self.error("the file does not fit in memory"))?;
        reader.read_to_end(&mut bytes).map_err(|e| Error::io(self.path, e))?;
        Ok(bytes)
    }

    fn jpeg(&self, reader: Reader) -> Result<Image> {
        let bytes = self.all_bytes(reader)?;
        // The decoder would silently fill missing data with grey.
        if !jpeg_is_complete(&bytes) {
            return Err(self.error("the JPEG file is truncated"));
        }
        let decoder = JpegDecoder::new(std::io::Cursor::new(bytes)).map_err(|e| self.image_error("JPEG", e))?;
        self.decode("JPEG", decoder)
    }

    fn decode(&self, format: &str, decoder: impl ImageDecoder) -> Result<Image> {
        let (width, height) = decoder.dimensions();
        self.check_size(width, height)?;
        let color = decoder.color_type();
        let stored = usize::from(color.channel_count());
        let samples = usize::try_from(u64::from(width) * u64::from(height))
            .ok()
            .and_then(|n| n.checked_mul(stored))
            .ok_or_else(|| self.error("the image does not fit in memory"))?;
        let bytes = decoder.total_bytes();
        self.check_bytes(bytes)?;
        self.check_memory(bytes)?;
        let pixels = match color {
            ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => {
                let mut v = self.zeros::<u8>(samples)?;
                decoder.read_image(&mut v).map_err(|e| self.image_error(format, e))?;
                Pixels::U8(v)
            }
            ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => {
                let mut v = self.zeros::<u16>(samples)?;
                decoder.read_image(bytemuck::cast_slice_mut(&mut v)).map_err(|e| self.image_error(format, e))?;
                Pixels::U16(v)
            }
            other => return Err(self.error(format!("{format} pixels of type {other:?} are not supported"))),
        };
        let kind = ChannelKind::of_count(if color.has_alpha() { stored - 1 } else { stored });
        let kind = if color.has_alpha() { kind.with_alpha(stored - 1) } else { kind };
        Ok(Image::new(width as usize, height as usize, stored, pixels)?.with_kind(kind))
    }

    fn image_error(&self, format: &str, e: ImageError) -> Error {
        match e {
            ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                self.error(format!("the {format} file is truncated"))
            }
            ImageError::IoError(e) => Error::io(self.path, e),
            ImageError::Limits(_) => self.error(format!("the {format} file needs more memory than is allowed")),
            e => self.error(format!("damaged or unsupported {format} file: {e}")),
        }
    }
}

/// Walks the segments and scans of a JPEG file up to its end-of-image marker.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2usize;
    loop {
        // In a scan, 0xff is data if a zero follows and a restart if 0xd0..=0xd7 does; between segments it may repeat.
        match bytes.get(at..at + 2) {
            None => return false,
            Some(&[0xff, 0xd9]) => return true,
            Some(&[0xff, 0x00 | 0x01 | 0xd0..=0xd8]) => at += 2,
            Some(&[0xff, 0xff]) => at += 1,
            Some(&[0xff, _]) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests;
