//! Orientation of an image file: TIFF by a tag, PNG, JPEG and WebP by EXIF, otherwise by XMP, like Pillow's
//! `exif_transpose`.
//!
//! The containers are walked here, since the decoders drop metadata that follows the pixels.

use std::io::{self, Read, Seek, SeekFrom};

use ::image::metadata::Orientation as Exif;

use super::{Bounds, MAX_PIXELS, begin, tiff};
use crate::error::Result;
use crate::infer::orient::Orientation;
use crate::io::Input;
use crate::io::image_formats::Decoder;

/// Longer metadata blocks are skipped.
const MAX_BLOCK: u64 = 4 << 20;
/// A file with more parts before its orientation is read as stored.
const MAX_PARTS: usize = 1 << 16;

/// Metadata of a file that may hold an orientation.
#[derive(Default)]
struct Metadata {
    exif: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

/// The orientation of a file; of a TIFF that of its first page.
pub(crate) fn orientation_of(input: &Input) -> Result<Orientation> {
    #[cfg(feature = "ome-zarr")]
    if super::zarr::folder(input).is_some() {
        return Ok(Orientation::default());
    }
    let (file, mut reader, head) = begin(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX })?;
    match Decoder::of_head(&head) {
        Some(Decoder::Tiff) => {
            let source = file.as_source();
            tiff::guarded(&source, || {
                tiff::orientation_of_directory(&source, &mut tiff::TiffDecoder::new(&source, reader)?)
            })
        }
        Some(decoder) => Ok(of_container(&mut reader, decoder)),
        None => Ok(Orientation::default()),
    }
}

/// The orientation of a file that `decoder` reads; the default if it is missing or invalid.
pub(super) fn of_container(file: &mut (impl Read + Seek), decoder: Decoder) -> Orientation {
    let found = match decoder {
        Decoder::Png => png(file),
        Decoder::Jpeg => jpeg(file),
        Decoder::WebP => webp(file),
        _ => return Orientation::default(),
    };
    // The decoder reports damage.
    let Ok(Metadata { exif, xmp }) = found else { return Orientation::default() };
    let exif = exif.as_deref().map(|e| e.strip_prefix(b"Exif\0\0").unwrap_or(e));
    let tag =
        exif.and_then(Exif::from_exif_chunk).map(|o| u16::from(o.to_exif())).or(xmp.as_deref().and_then(from_xmp));
    tag.and_then(Orientation::from_tag).unwrap_or_default()
}

/// `tiff:Orientation="6"` or `<tiff:Orientation>6`.
fn from_xmp(xmp: &[u8]) -> Option<u16> {
    const NAME: &[u8] = b"tiff:Orientation";
    let at = xmp.windows(NAME.len()).position(|w| w == NAME)? + NAME.len();
    let value =
        xmp.get(at..)?.iter().skip_while(|b| matches!(b, b'=' | b'"' | b'\'' | b'>') || b.is_ascii_whitespace());
    value.copied().next().filter(u8::is_ascii_digit).map(|digit| u16::from(digit - b'0'))
}

fn block(file: &mut (impl Read + Seek), length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(length.min(MAX_BLOCK)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn png(file: &mut (impl Read + Seek)) -> io::Result<Metadata> {
    let (mut found, mut at) = (Metadata::default(), 8);
    let mut profile = None;
    for _ in 0..MAX_PARTS {
        file.seek(SeekFrom::Start(at))?;
        let mut start = [0; 8];
        if file.read_exact(&mut start).is_err() {
            break;
        }
        let [a, b, c, d, kind @ ..] = start;
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        match &kind {
            b"eXIf" => found.exif = Some(block(file, length)?),
            b"tEXt" | b"zTXt" | b"iTXt" if found.exif.is_none() => match text(&kind, &block(file, length)?) {
                Some((key, value)) if key == b"XML:com.adobe.xmp" => found.xmp = Some(value),
                // ImageMagick's form of EXIF.
                Some((b"Raw profile type exif" | b"Raw profile type APP1", value)) => profile = hexadecimal(&value),
                _ => {}
            },
            b"IEND" => break,
            _ => {}
        }
        at += 12 + length;
    }
    found.exif = found.exif.or(profile);
    Ok(found)
}

/// Key and value of a PNG text chunk, if it may hold an orientation.
fn text<'a>(kind: &[u8], chunk: &'a [u8]) -> Option<(&'a [u8], Vec<u8>)> {
    let end = chunk.iter().position(|&b| b == 0)?;
    let (key, rest) = (chunk.get(..end)?, chunk.get(end + 1..)?);
    if key != b"XML:com.adobe.xmp" && !key.starts_with(b"Raw profile type ") {
        return None;
    }
    let plain = |packed: &[u8]| {
        let mut out = Vec::new();
        flate2::read::ZlibDecoder::new(packed).take(MAX_BLOCK).read_to_end(&mut out).ok()?;
        Some(out)
    };
    let value = match (kind, rest) {
        (b"tEXt", _) => rest.to_vec(),
        (b"zTXt", [0, packed @ ..]) => plain(packed)?,
        (b"iTXt", [packed, _, rest @ ..]) => {
            // Language and translated key precede the text.
            let mut parts = rest.splitn(3, |&b| b == 0).skip(2);
            let value = parts.next()?;
            if *packed == 1 { plain(value)? } else { value.to_vec() }
        }
        _ => return None,
    };
    Some((key, value))
}

/// Decodes an ImageMagick profile: a name, a length, and hexadecimal digits over many lines.
fn hexadecimal(profile: &[u8]) -> Option<Vec<u8>> {
    let mut words = profile.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).skip(2);
    let digits: Vec<u8> = words.by_ref().flatten().filter_map(|d| (*d as char).to_digit(16)).map(|d| d as u8).collect();
    Some(digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
}

fn jpeg(file: &mut (impl Read + Seek)) -> io::Result<Metadata> {
    let (mut found, mut at) = (Metadata::default(), 2);
    for _ in 0..MAX_PARTS {
        file.seek(SeekFrom::Start(at))?;
        let mut start = [0; 4];
        if file.read_exact(&mut start).is_err() {
            break;
        }
        let [0xff, marker, high, low] = start else { break };
        // Markers may be padded, and some have no length.
        match marker {
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            0xd9 | 0xda => break,
            _ => {
                let length = u64::from(u16::from_be_bytes([high, low]));
                if marker == 0xe1 && length > 2 {
                    let bytes = block(file, length - 2)?;
                    if bytes.starts_with(b"Exif\0\0") && found.exif.is_none() {
                        found.exif = Some(bytes);
                    } else if bytes.starts_with(b"http://ns.adobe.com/xap/1.0/\0") && found.xmp.is_none() {
                        found.xmp = Some(bytes);
                    }
                }
                at += 2 + length;
            }
        }
    }
    Ok(found)
}

fn webp(file: &mut (impl Read + Seek)) -> io::Result<Metadata> {
    let (mut found, mut at) = (Metadata::default(), 12);
    for _ in 0..MAX_PARTS {
        file.seek(SeekFrom::Start(at))?;
        let mut start = [0; 8];
        if file.read_exact(&mut start).is_err() {
            break;
        }
        let [k0, k1, k2, k3, length @ ..] = start;
        let length = u64::from(u32::from_le_bytes(length));
        match &[k0, k1, k2, k3] {
            b"EXIF" => found.exif = Some(block(file, length)?),
            b"XMP " => found.xmp = Some(block(file, length)?),
            _ => {}
        }
        at += 8 + length + length % 2;
    }
    Ok(found)
}
