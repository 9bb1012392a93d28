//! numpy arrays as images.

use std::io::BufRead;
use std::panic::{AssertUnwindSafe, catch_unwind};

use npyz::{DType, NpyHeader, Order};

use super::MAX_CHANNELS;
use super::raw::RawLayout;
use super::{FileSource, Source};
use crate::error::{Error, Result};
use crate::infer::channel_kind::ChannelKind;
use crate::infer::image::{Image, Sample};
use crate::infer::source::{ImageSource, SourceInfo};
use crate::io::Reader;

/// Maximum header length in bytes; those of plain arrays have 118.
const MAX_HEADER: usize = 4000;

/// Checks the header of a NPY file in the file's first bytes (4,012 are enough) before parsing. The parser allocates as
/// many bytes as the file claims, and its time doubles with every nested bracket; arrays of plain numbers have one of
/// each kind. The error says what is wrong.
pub fn check_npy_header(head: &[u8]) -> std::result::Result<(), String> {
    let (start, length) = match head.get(6..12) {
        Some(&[1, _, a, b, ..]) => (10, usize::from(u16::from_le_bytes([a, b]))),
        Some(&[_, _, a, b, c, d]) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        _ => return Err("the NPY file is truncated".into()),
    };
    if length > MAX_HEADER {
        return Err(format!("damaged NPY file: a header of {length} bytes"));
    }
    let text = head.get(start..start + length).ok_or("the NPY file is truncated")?;
    let count = |bracket: u8| text.iter().filter(|&&b| b == bracket).count();
    match count(b'{') > 1 || count(b'(') > 1 || count(b'[') > 0 {
        true => Err("records are not supported".into()),
        false => Ok(()),
    }
}

/// An array of `[rows, columns]`, `[rows, columns, channels]` (up to four) or `[channels, rows, columns]`, read by windows.
pub(super) struct NpyImage {
    source: FileSource,
    reader: Reader,
    layout: RawLayout,
}

impl NpyImage {
    pub(super) fn open(file: FileSource, mut reader: Reader) -> Result<Self> {
        let source = file.as_source();
        let head = reader.fill_buf().map_err(|e| Error::io(source.path, e))?;
        check_npy_header(head).map_err(|e| source.error(e))?;
        // The header is untrusted text, and the crate that parses it may panic.
        let header = catch_unwind(AssertUnwindSafe(|| NpyHeader::from_reader(&mut reader)))
            .map_err(|_| source.decoder_fault("NPY"))?
            .map_err(|e| source.error(format!("damaged NPY file: {e}")))?;
        let at = std::io::Seek::stream_position(&mut reader).map_err(|e| Error::io(source.path, e))?;
        let layout = layout(&source, &header, at)?;
        Ok(Self { source: file, reader, layout })
    }
}

fn layout(source: &Source, header: &NpyHeader, at: u64) -> Result<RawLayout> {
    let DType::Plain(kind) = header.dtype() else { return Err(source.error("records are not supported")) };
    let text = kind.to_string();
    let (order, kind) = text.split_at(text.len().min(1));
    let sample = match kind {
        "u1" | "b1" => Sample::U8,
        "u2" => Sample::U16,
        "f4" => Sample::F32,
        _ => {
            let reason = format!("an array of type {text} is not supported (u1, u2 and f4 are)");
            return Err(source.error(reason));
        }
    };
    if header.order() != Order::C {
        return Err(source.error("an array in Fortran order is not supported; save numpy.ascontiguousarray of it"));
    }
    let shape = header.shape();
    let (h, w, channels, planar) = match *shape {
        [h, w] => (h, w, 1, true),
        // Channels last, as images are stored: three are RGB. Four may be RGB with alpha, or dyes.
        [h, w, c @ 1..=4] if h > 4 => (h, w, c, false),
        [c, h, w] if c <= MAX_CHANNELS as u64 && w > 4 => (h, w, c, true),
        _ => {
            let reason = format!(
                "an array of shape {shape:?} is not supported ([rows, columns], [rows, columns, up to 4 channels] and \
                 [channels, rows, columns] are)"
            );
            return Err(source.error(reason));
        }
    };
    let side = |n: u64| u32::try_from(n).map_err(|_| source.error(format!("{n} pixels are too many for one side")));
    source.check_size(side(w)?, side(h)?)?;
    let (w, h, c) = (w as usize, h as usize, channels as usize);
    // Nothing is compressed, so the data must be complete.
    let plane = (w as u64 * h as u64).saturating_mul(sample.bytes() as u64);
    if plane.saturating_mul(channels).saturating_add(at) > source.bytes {
        return Err(source.error("the NPY file is truncated"));
    }
    let strips = if planar { (0..channels).map(|i| at + i * plane).collect() } else { vec![at] };
    let together = if planar { 1 } else { c };
    let kind = match (c, planar) {
        (1, _) => ChannelKind::GREY,
        (3, false) => ChannelKind::RGB,
        _ => ChannelKind::SEPARATE,
    };
    let info = SourceInfo { width: w, height: h, channels: c, sample, kind };
    Ok(RawLayout { info, together, stored: together, strips, rows: h, big_endian: order == ">" })
}

impl ImageSource for NpyImage {
    fn info(&self) -> SourceInfo {
        self.layout.info
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        self.layout.read(&self.source.as_source(), &mut self.reader, [x0, y0, w, h])
    }

    fn rows_at_once(&self) -> usize {
        1
    }
}
