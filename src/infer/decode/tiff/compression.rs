//! TIFF compressions: decompression of strips and tiles.

use std::io::Read;

use super::page::{Page, Places};
use super::{jpeg, jpeg2000};
use crate::error::Result;
use crate::infer::decode::Source;

pub(super) const NONE: u16 = 1;
pub(super) const FAX3: u16 = 3;
pub(super) const FAX4: u16 = 4;
pub(super) const LZW: u16 = 5;
pub(super) const JPEG: u16 = 7;
const ADOBE_DEFLATE: u16 = 8;
const DEFLATE: u16 = 32946;
const PACKBITS: u16 = 32773;
const ZSTD: u16 = 50000;
/// Aperio's JPEG 2000 with luma and chroma components.
pub(super) const APERIO_YCBCR: u16 = 33003;
const APERIO_RGB: u16 = 33005;
const JPEG_2000: u16 = 34712;

pub(super) fn is_jpeg2000(compression: u16) -> bool {
    matches!(compression, APERIO_YCBCR | APERIO_RGB | JPEG_2000)
}

/// Whether decompressed bytes are laid out as TIFF specifies, not as an image codec's output.
pub(super) fn is_bytes(compression: u16) -> bool {
    compression != JPEG && !is_jpeg2000(compression)
}

/// Compressions that libtiff combines with a predictor.
pub(super) fn takes_predictor(compression: u16) -> bool {
    matches!(compression, LZW | ADOBE_DEFLATE | DEFLATE | ZSTD)
}

pub(super) fn name(compression: u16) -> &'static str {
    match compression {
        NONE => "no compression",
        2 => "CCITT modified Huffman compression",
        FAX3 => "CCITT group 3 (T.4) fax compression",
        FAX4 => "CCITT group 4 (T.6) fax compression",
        LZW => "LZW compression",
        6 => "old-style JPEG compression (TIFF 6.0)",
        JPEG => "JPEG compression",
        ADOBE_DEFLATE | DEFLATE => "Deflate compression",
        9 | 10 | 34661 => "JBIG compression",
        32766 => "NeXT compression",
        32771 => "CCITT modified Huffman compression on whole words",
        PACKBITS => "PackBits compression",
        32809 => "ThunderScan compression",
        32908 => "PixarFilm compression",
        32909 => "PixarLog compression",
        33003..=33005 | JPEG_2000 => "JPEG 2000 compression",
        33007 => "ALT JPEG compression",
        34676 | 34677 => "SGI LogLuv compression",
        34713 => "Nikon NEF compression",
        34715 => "JBIG2 compression",
        34718..=34720 => "MDI compression",
        34887 => "LERC compression",
        34892 => "lossy JPEG compression of DNG",
        34925 => "LZMA compression",
        34926 => "an experimental Zstandard compression",
        34927 => "an experimental WebP compression",
        34933 => "PNG compression",
        22610 | 34934 => "JPEG XR compression",
        ZSTD => "Zstandard compression",
        50001 => "WebP compression",
        50002 | 52546 => "JPEG XL compression",
        50013 => "Pixtiff compression",
        65000..=65002 => "EER compression of electron events",
        65535 => "Pentax PEF compression",
        _ => "an unknown compression",
    }
}

/// Refuses unsupported compressions by name.
pub(super) fn check(source: &Source, compression: u16) -> Result<()> {
    match compression {
        NONE | FAX3 | FAX4 | LZW | JPEG | ADOBE_DEFLATE | DEFLATE | PACKBITS | ZSTD => Ok(()),
        _ if is_jpeg2000(compression) => Ok(()),
        _ => {
            let name = name(compression);
            Err(source.error(format!(
                "a TIFF file with {name} ({compression}) is not supported; save it with LZW or Deflate"
            )))
        }
    }
}

/// Decompresses a chunk of `rows` rows, laid out as TIFF specifies; image codecs give interleaved 8-bit samples.
pub(super) fn decompress(
    source: &Source,
    page: &Page,
    places: &Places,
    mut raw: Vec<u8>,
    rows: usize,
) -> Result<Vec<u8>> {
    let len = page.bytes_of_rows(rows);
    if page.reversed && is_bytes(page.compression) {
        raw.iter_mut().for_each(|b| *b = b.reverse_bits());
    }
    let damaged = |e: &dyn std::fmt::Display| {
        source.error(format!("damaged TIFF file: its {} cannot be undone ({e})", name(page.compression)))
    };
    if page.compression == NONE {
        return whole(source, raw, len);
    }
    match page.compression {
        JPEG => return jpeg::decode(source, page, places, raw, rows),
        c if is_jpeg2000(c) => return jpeg2000::decode(source, page, &raw, rows),
        _ => {}
    }
    let mut out = source.zeros::<u8>(len)?;
    let filled = match page.compression {
        LZW if matches!(raw.as_slice(), [0, second, ..] if second & 1 == 1) => {
            return Err(source.error("a TIFF file with old-style LZW compression (before TIFF 6.0) is not supported"));
        }
        LZW => lzw(&raw, &mut out).map_err(|e| damaged(&e))?,
        ADOBE_DEFLATE | DEFLATE => fill(flate2::read::ZlibDecoder::new(&raw[..]), &mut out).map_err(|e| damaged(&e))?,
        ZSTD => {
            let frame = ruzstd::decoding::StreamingDecoder::new(&raw[..]).map_err(|e| damaged(&e))?;
            fill(frame, &mut out).map_err(|e| damaged(&e))?
        }
        PACKBITS => packbits(&raw, &mut out),
        FAX3 if places.fax & 1 == 1 => {
            return Err(source.error("a TIFF file with two-dimensional CCITT group 3 compression is not supported"));
        }
        _ => fax(page, &raw, &mut out).ok_or_else(|| damaged(&"a code or a line that does not fit"))?,
    };
    if filled < len {
        return Err(source.error(format!("damaged TIFF file: a strip or tile holds {filled} bytes of {len}")));
    }
    Ok(out)
}

fn whole(source: &Source, mut raw: Vec<u8>, len: usize) -> Result<Vec<u8>> {
    if raw.len() < len {
        return Err(source.error("the TIFF file is truncated"));
    }
    raw.truncate(len);
    Ok(raw)
}

/// Reads until the buffer is full or the input ends; returns the number of bytes.
fn fill(mut from: impl Read, out: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|r| !r.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

fn lzw(mut raw: &[u8], out: &mut [u8]) -> Result<usize, weezl::LzwError> {
    let mut decoder = weezl::decode::Configuration::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
        .with_yield_on_full_buffer(true)
        .build();
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|r| !r.is_empty()) {
        let step = decoder.decode_bytes(raw, rest);
        filled += step.consumed_out;
        raw = raw.get(step.consumed_in..).unwrap_or_default();
        match step.status? {
            weezl::LzwStatus::Ok if step.consumed_in > 0 || step.consumed_out > 0 => {}
            _ => break,
        }
    }
    Ok(filled)
}

fn packbits(mut raw: &[u8], out: &mut [u8]) -> usize {
    let mut filled = 0;
    while let [head, rest @ ..] = raw {
        let Some(to) = out.get_mut(filled..).filter(|t| !t.is_empty()) else { break };
        let (run, used) = match i16::from(*head as i8) {
            -128 => (0, 0),
            n @ 0.. => {
                let run = (n as usize + 1).min(to.len()).min(rest.len());
                to.iter_mut().zip(rest).take(run).for_each(|(to, &from)| *to = from);
                (run, (n as usize + 1).min(rest.len()))
            }
            n => {
                let Some(&value) = rest.first() else { break };
                let run = ((1 - n) as usize).min(to.len());
                to.iter_mut().take(run).for_each(|to| *to = value);
                (run, 1)
            }
        };
        filled += run;
        raw = rest.get(used..).unwrap_or_default();
    }
    filled
}

/// Decodes rows of black (1) and white (0) runs; `None` if they do not fit.
fn fax(page: &Page, raw: &[u8], out: &mut [u8]) -> Option<usize> {
    use fax::decoder::{DecodeStatus, Group3Decoder, Group4Decoder, pels};
    let width = u16::try_from(page.chunk[0]).ok()?;
    let row = page.row_bytes();
    // The last line of group 3 may lack the end-of-line code that the reader expects.
    let end: &[u8] = if page.compression == FAX3 { &[0, 0x10] } else { &[] };
    let bytes = || raw.iter().chain(end).map(|&b| Ok::<u8, std::convert::Infallible>(b));
    let write = |to: &mut [u8], transitions: &[u16]| {
        for (x, colour) in pels(transitions, width).enumerate() {
            if let (fax::Color::Black, Some(byte)) = (colour, to.get_mut(x / 8)) {
                *byte |= 0x80 >> (x % 8);
            }
        }
    };
    let mut filled = 0;
    if page.compression == FAX4 {
        let mut decoder = Group4Decoder::new(bytes(), width).ok()?;
        for to in out.chunks_exact_mut(row.max(1)) {
            match decoder.advance().ok()? {
                DecodeStatus::End => break,
                DecodeStatus::Incomplete => write(to, decoder.transition()),
            }
            filled += row;
        }
        return Some(filled);
    }
    let mut decoder = Group3Decoder::new(bytes()).ok()?;
    for to in out.chunks_exact_mut(row.max(1)) {
        // A line is valid if its runs fill it.
        let status = decoder.advance();
        if decoder.transitions().last() != Some(&width) {
            break;
        }
        write(to, decoder.transitions());
        filled += row;
        if !matches!(status, Ok(DecodeStatus::Incomplete)) {
            break;
        }
    }
    Some(filled)
}
