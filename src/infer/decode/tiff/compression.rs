//! TIFF compressions: decompression of strips and tiles.

use std::io::Read;

use super::codes::{ADOBE_DEFLATE, DEFLATE, FAX3, FAX4, JPEG, LZW, NONE, PACKBITS, ZSTD, is_bytes, is_jpeg2000, name};
use super::layout::{Page, Places};
use super::{jpeg, jpeg2000};
use crate::error::Result;
use crate::infer::decode::Source;

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
