//! Blosc 1: blocks, each compressed alone and often with the bytes or bits of its samples sorted by significance.

use std::io::Read;

use super::lz;

const HEADER: usize = 16;
/// Later formats are of Blosc 2.
const LAST_VERSION: u8 = 2;
/// Blocks are split by bytes of a sample up to this many, if a part has at least so many bytes.
const MAX_SPLITS: usize = 16;
const LEAST_SPLIT: usize = 128;

/// Decompresses a buffer; the error says why not. At most `max` bytes are made.
pub(super) fn decompress(raw: &[u8], max: usize) -> Result<Vec<u8>, String> {
    let damaged = || "damaged Blosc data".to_string();
    let head: &[u8; HEADER] = raw.first_chunk().ok_or_else(damaged)?;
    let [version, _, flags, size, ..] = *head;
    let word =
        |at: usize| head.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b) as usize);
    let (len, block) = (word(4), word(8));
    if version == 0 || version > LAST_VERSION {
        return Err(format!("Blosc data of format {version} (Blosc 2), which is not supported"));
    }
    if len > max {
        return Err(format!("Blosc data of {len} bytes for a chunk of {max}"));
    }
    let size = usize::from(size).max(1);
    if flags & 2 != 0 {
        return raw.get(HEADER..HEADER + len).map(<[u8]>::to_vec).ok_or_else(damaged);
    }
    if len == 0 {
        return Ok(Vec::new());
    }
    if block == 0 || block > max.max(len) {
        return Err(damaged());
    }
    let (shuffle, bits, whole) = (flags & 1 != 0 && size > 1, flags & 4 != 0 && block >= size, flags & 16 != 0);
    let codec = flags >> 5;
    let mut out = Vec::new();
    out.try_reserve_exact(len).map_err(|_| "a chunk that does not fit in memory".to_string())?;
    for number in 0..len.div_ceil(block) {
        let at = HEADER + 4 * number;
        let start = raw.get(at..).and_then(|b| b.first_chunk()).map(|b| u32::from_le_bytes(*b) as usize);
        let mut rest = start.and_then(|start| raw.get(start..)).ok_or_else(damaged)?;
        let of = block.min(len - number * block);
        let splits = !whole && of == block && size <= MAX_SPLITS && block / size >= LEAST_SPLIT && block % size == 0;
        let parts = if splits { size } else { 1 };
        let mut plain = Vec::with_capacity(of);
        for _ in 0..parts {
            let stored = rest.first_chunk().map(|b| u32::from_le_bytes(*b) as usize).ok_or_else(damaged)?;
            let part = rest.get(4..).and_then(|b| b.get(..stored)).ok_or_else(damaged)?;
            rest = rest.get(4 + stored..).unwrap_or_default();
            let expected = of / parts;
            if stored == expected {
                plain.extend_from_slice(part);
                continue;
            }
            let made = one(codec, part, expected)?;
            if made.len() != expected {
                return Err(damaged());
            }
            plain.extend(made);
        }
        match (shuffle, bits) {
            (true, _) => unshuffle(&plain, size, &mut out),
            (_, true) => untranspose(&plain, size, &mut out),
            _ => out.append(&mut plain),
        }
    }
    if out.len() == len { Ok(out) } else { Err(damaged()) }
}

/// Decompresses a part of a block.
fn one(codec: u8, raw: &[u8], max: usize) -> Result<Vec<u8>, String> {
    let read = |from: &mut dyn Read| {
        let mut out = Vec::new();
        from.take(max as u64 + 1).read_to_end(&mut out).map_err(|e| format!("damaged Blosc data ({e})"))?;
        Ok(out)
    };
    let lz = |made: Option<Vec<u8>>| made.ok_or_else(|| "damaged Blosc data".to_string());
    match codec {
        0 => lz(lz::blosclz(raw, max)),
        1 => lz(lz::lz4(raw, max)),
        2 => Err("Blosc data compressed by Snappy, which is not supported".into()),
        3 => read(&mut flate2::read::ZlibDecoder::new(raw)),
        4 => match ruzstd::decoding::StreamingDecoder::new(raw) {
            Ok(mut frame) => read(&mut frame),
            Err(e) => Err(format!("damaged Blosc data ({e})")),
        },
        n => Err(format!("Blosc data of codec {n}, which is not known")),
    }
}

/// First all first bytes, then all second ones, and so on; what is left over is at the end.
fn unshuffle(plain: &[u8], size: usize, out: &mut Vec<u8>) {
    let count = plain.len() / size;
    let byte = |i: usize, b: usize| plain.get(b * count + i).copied().unwrap_or(0);
    (0..count).for_each(|i| out.extend((0..size).map(|b| byte(i, b))));
    out.extend_from_slice(plain.get(count * size..).unwrap_or_default());
}

/// First all lowest bits, then all second ones, and so on, if the number of samples is divisible by eight.
fn untranspose(plain: &[u8], size: usize, out: &mut Vec<u8>) {
    let count = plain.len() / size;
    if !count.is_multiple_of(8) {
        out.extend_from_slice(plain);
        return;
    }
    let row = count / 8;
    for i in 0..count {
        for b in 0..size {
            let bit = |k: usize| plain.get((b * 8 + k) * row + i / 8).map_or(0, |byte| (byte >> (i % 8) & 1) << k);
            out.push((0..8).map(bit).sum());
        }
    }
    out.extend_from_slice(plain.get(count * size..).unwrap_or_default());
}
