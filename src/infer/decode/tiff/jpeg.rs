//! JPEG in TIFF: tables shared by all strips or tiles, and colours that the directory may describe better than the
//! stream.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::layout::{Page, Places};
use crate::error::Result;
use crate::infer::decode::{Source, jpeg_is_complete};

/// `PhotometricInterpretation` of RGB, and of luma and chroma.
const RGB: u16 = 2;
const YCBCR: u16 = 6;

/// Contents of the markers before the pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    width: usize,
    height: usize,
    components: usize,
    bits: u8,
    /// The start-of-frame marker.
    frame: u8,
    jfif: bool,
    /// Adobe's colour transform: 0 none, 1 luma and chroma.
    adobe: Option<u8>,
    ids: [u8; 3],
}

/// Reads the markers up to the first scan.
fn head(bytes: &[u8]) -> Option<Head> {
    let mut head = Head::default();
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, tail @ ..] = rest else { return None };
        if matches!(marker, 0xff | 0x01 | 0xd0..=0xd8) {
            rest = if *marker == 0xff { rest.get(1..)? } else { tail };
            continue;
        }
        let length = usize::from(u16::from_be_bytes(*tail.first_chunk()?));
        let segment = tail.get(2..length)?;
        match (marker, segment) {
            (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) => head.jfif = true,
            (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => head.adobe = Some(*transform),
            (0xda, _) => return (head.frame != 0).then_some(head),
            (0xc0..=0xcf, [bits, h0, h1, w0, w1, components, list @ ..]) if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                head.frame = *marker;
                head.bits = *bits;
                head.height = usize::from(u16::from_be_bytes([*h0, *h1]));
                head.width = usize::from(u16::from_be_bytes([*w0, *w1]));
                head.components = usize::from(*components);
                for (id, component) in head.ids.iter_mut().zip(list.chunks_exact(3)) {
                    *id = component.first().copied().unwrap_or(0);
                }
            }
            _ => {}
        }
        rest = tail.get(length..)?;
    }
}

impl Head {
    /// Whether three components are luma and chroma: by the TIFF tag, unless the stream is a complete file with its own
    /// rule.
    fn is_ycbcr(&self, photometric: u16) -> bool {
        if photometric != RGB && photometric != YCBCR || self.components != 3 {
            return false;
        }
        if self.jfif {
            return true;
        }
        match photometric {
            RGB => false,
            _ => match self.adobe {
                Some(transform) => transform != 0,
                None => self.ids != *b"RGB",
            },
        }
    }
}

/// The stream with the shared tables inserted after its first marker.
fn joined(raw: Vec<u8>, tables: Option<&[u8]>) -> Vec<u8> {
    let Some(tables) = tables.and_then(|t| t.strip_prefix(&[0xff, 0xd8])) else { return raw };
    let tables = tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(tables);
    match raw.strip_prefix(&[0xff, 0xd8]) {
        Some(rest) => [&[0xff, 0xd8], tables, rest].concat(),
        None => raw,
    }
}

/// Interleaved samples of a chunk, with colours as RGB.
pub(super) fn decode(source: &Source, page: &Page, places: &Places, raw: Vec<u8>, rows: usize) -> Result<Vec<u8>> {
    let damaged = |why: &dyn std::fmt::Display| source.error(format!("damaged JPEG data in the TIFF file: {why}"));
    // The decoder would silently fill missing data with grey.
    if !raw.starts_with(&[0xff, 0xd8]) {
        return Err(damaged(&"they do not begin as JPEG data do"));
    }
    if !jpeg_is_complete(&raw) {
        return Err(source.error("JPEG data in the TIFF file are truncated"));
    }
    let bytes = joined(raw, places.tables.as_deref());
    let head = head(&bytes).ok_or_else(|| damaged(&"their headers are incomplete"))?;
    let refused = match head.frame {
        0xc3 | 0xc7 | 0xcb | 0xcf => Some("lossless JPEG"),
        0xc5 | 0xc6 | 0xcd | 0xce => Some("hierarchical JPEG"),
        0xc9 | 0xca => Some("arithmetically coded JPEG"),
        _ if head.bits != 8 => Some("JPEG of more than 8 bits"),
        _ => None,
    };
    if let Some(kind) = refused {
        return Err(source.error(format!("{kind} in a TIFF file is not supported")));
    }
    let together = page.together();
    if head.components != together {
        return Err(damaged(&format_args!("{} components for {together} samples", head.components)));
    }
    // Frames are padded to whole blocks at most; a larger one would only waste memory.
    let fits = |have: usize, need: usize, max: usize| (need..=max.next_multiple_of(16)).contains(&have);
    let width = page.chunk[0];
    if !fits(head.width, width, width) || !fits(head.height, rows, page.chunk[1]) {
        let text = format!("{}x{} pixels in a strip or tile of {width}x{rows}", head.width, head.height);
        return Err(damaged(&text));
    }
    let options = DecoderOptions::default().set_strict_mode(true).set_max_width(1 << 16).set_max_height(1 << 16);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| damaged(&e))?;
    // Decode components unconverted; colours are converted below by the directory's rule.
    let space = decoder.input_colorspace().unwrap_or(ColorSpace::Unknown);
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let mut out = source.zeros::<u8>(head.width * head.height * together)?;
    if decoder.output_buffer_size() != Some(out.len()) {
        return Err(damaged(&"the number of their components is contradictory"));
    }
    decoder.decode_into(&mut out).map_err(|e| damaged(&e))?;
    crop(&mut out, head.width * together, width * together, rows);
    if head.is_ycbcr(page.photometric) {
        out.as_chunks_mut::<3>().0.iter_mut().for_each(|p| *p = rgb(*p));
    }
    Ok(out)
}

/// Keeps the first `width` of every `stride` samples, of `rows` rows.
pub(super) fn crop(samples: &mut Vec<u8>, stride: usize, width: usize, rows: usize) {
    if width < stride {
        for row in 0..rows {
            samples.copy_within(row * stride..row * stride + width, row * width);
        }
    }
    samples.truncate(rows * width);
}

/// JFIF luma and chroma to RGB, in libjpeg's integer arithmetic.
pub(super) fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + ((91881 * cr + HALF) >> 16);
    let g = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
    let b = y + ((116130 * cb + HALF) >> 16);
    [r, g, b].map(|v| v.clamp(0, 255) as u8)
}
