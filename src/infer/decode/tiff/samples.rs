//! From decompressed bytes to samples: predictors, byte order, bit depths that are not whole bytes.

use super::codes;
use super::layout::{Format, Page, Predictor};
use crate::error::Result;
use crate::infer::decode::Source;

/// Samples as bit patterns, row by row, not yet interpreted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Words {
    /// Up to 8 bits.
    W8(Vec<u8>),
    /// Up to 16 bits.
    W16(Vec<u16>),
    /// Up to 32 bits.
    W32(Vec<u32>),
    /// 64 bits.
    W64(Vec<u64>),
}

impl Words {
    /// `len` samples of one value.
    pub(super) fn filled(source: &Source, page: &Page, value: f64, len: usize) -> Result<Self> {
        let pattern = match (page.format, page.bits) {
            (Format::Unsigned, _) => value as u64,
            (Format::Signed, _) => value as i64 as u64,
            (Format::Float, 16) => u64::from(half::f16::from_f64(value).to_bits()),
            (Format::Float, 32) => u64::from((value as f32).to_bits()),
            (Format::Float, _) => value.to_bits(),
        };
        fn all<T: Copy + Default>(source: &Source, value: T, len: usize) -> Result<Vec<T>> {
            let mut out = source.zeros::<T>(len)?;
            out.fill(value);
            Ok(out)
        }
        Ok(match page.bits {
            0..=8 => Self::W8(all(source, pattern as u8, len)?),
            9..=16 => Self::W16(all(source, pattern as u16, len)?),
            17..=32 => Self::W32(all(source, pattern as u32, len)?),
            _ => Self::W64(all(source, pattern, len)?),
        })
    }

    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::W8(v) => v.len(),
            Self::W16(v) => v.len(),
            Self::W32(v) => v.len(),
            Self::W64(v) => v.len(),
        }
    }

    /// Sample `i` as a signed or unsigned integer of `bits` bits; `None` past the end or beyond `i64`.
    pub(super) fn integer(&self, i: usize, signed: bool) -> Option<i64> {
        match (self, signed) {
            (Self::W8(v), false) => v.get(i).map(|&x| x.into()),
            (Self::W8(v), true) => v.get(i).map(|&x| (x as i8).into()),
            (Self::W16(v), false) => v.get(i).map(|&x| x.into()),
            (Self::W16(v), true) => v.get(i).map(|&x| (x as i16).into()),
            (Self::W32(v), false) => v.get(i).map(|&x| x.into()),
            (Self::W32(v), true) => v.get(i).map(|&x| (x as i32).into()),
            (Self::W64(v), false) => v.get(i).and_then(|&x| x.try_into().ok()),
            (Self::W64(v), true) => v.get(i).map(|&x| x as i64),
        }
    }
}

impl Words {
    /// Sample `i` as a float of 16, 32 or 64 bits; `None` past the end.
    pub(super) fn float(&self, i: usize) -> Option<f64> {
        match self {
            Self::W8(_) => None,
            Self::W16(v) => v.get(i).map(|&x| half::f16::from_bits(x).to_f64()),
            Self::W32(v) => v.get(i).map(|&x| f32::from_bits(x).into()),
            Self::W64(v) => v.get(i).map(|&x| f64::from_bits(x)),
        }
    }
}

/// Unpacks the samples of a chunk of `rows` rows from its decompressed bytes.
pub(super) fn unpack(source: &Source, page: &Page, mut bytes: Vec<u8>, rows: usize) -> Result<Words> {
    let together = page.together();
    let samples = page.chunk[0] * together;
    let row_bytes = page.row_bytes().max(1);
    if !codes::is_bytes(page.compression) {
        return Ok(Words::W8(bytes));
    }
    if page.subsampling() != [1, 1] {
        return spread(source, page, &bytes, rows).map(Words::W8);
    }
    let mut big = page.big_endian;
    if page.predictor == Predictor::Float {
        let mut line = source.zeros::<u8>(row_bytes)?;
        for row in bytes.chunks_exact_mut(row_bytes) {
            undo_float(row, &mut line, together, usize::from(page.bits / 8));
        }
        big = true;
    }
    fn words<T, const N: usize>(bytes: &[u8], big: bool, read: [fn([u8; N]) -> T; 2]) -> Vec<T> {
        let [little, large] = read;
        bytes.as_chunks::<N>().0.iter().map(|&b| if big { large(b) } else { little(b) }).collect()
    }
    /// Sums differences along the rows.
    fn add<T: Copy>(page: &Page, words: &mut [T], samples: usize, together: usize, sum: fn(T, T) -> T) {
        if page.predictor != Predictor::Horizontal {
            return;
        }
        for row in words.chunks_exact_mut(samples.max(1)) {
            for i in together..row.len() {
                row[i] = sum(row[i], row[i - together]);
            }
        }
    }
    Ok(match page.bits {
        8 => {
            add(page, &mut bytes, samples, together, u8::wrapping_add);
            Words::W8(bytes)
        }
        16 => {
            let mut v = words(&bytes, big, [u16::from_le_bytes, u16::from_be_bytes]);
            add(page, &mut v, samples, together, u16::wrapping_add);
            Words::W16(v)
        }
        32 => {
            let mut v = words(&bytes, big, [u32::from_le_bytes, u32::from_be_bytes]);
            add(page, &mut v, samples, together, u32::wrapping_add);
            Words::W32(v)
        }
        64 => {
            let mut v = words(&bytes, big, [u64::from_le_bytes, u64::from_be_bytes]);
            add(page, &mut v, samples, together, u64::wrapping_add);
            Words::W64(v)
        }
        24 => {
            let little = |b: [u8; 3]| u32::from_le_bytes([b[0], b[1], b[2], 0]);
            let large = |b: [u8; 3]| u32::from_be_bytes([0, b[0], b[1], b[2]]);
            Words::W32(words(&bytes, big, [little, large]))
        }
        bits @ 1..8 => Words::W8(packed(source, &bytes, row_bytes, samples, rows, bits, |v| v as u8)?),
        bits @ 9..16 => Words::W16(packed(source, &bytes, row_bytes, samples, rows, bits, |v| v as u16)?),
        bits => Words::W32(packed(source, &bytes, row_bytes, samples, rows, bits, |v| v)?),
    })
}

/// Samples of up to 32 bits, the first in the highest bits; rows start at whole bytes.
fn packed<T: Copy + Default>(
    source: &Source,
    bytes: &[u8],
    row_bytes: usize,
    samples: usize,
    rows: usize,
    bits: u8,
    word: impl Fn(u32) -> T,
) -> Result<Vec<T>> {
    let mut out = source.zeros::<T>(samples * rows)?;
    for (to, row) in out.chunks_exact_mut(samples.max(1)).zip(bytes.chunks_exact(row_bytes)) {
        let (mut pending, mut pending_bits) = (0u64, 0u8);
        let mut rest = row.iter();
        for sample in to {
            while pending_bits < bits {
                pending = pending << 8 | u64::from(rest.next().copied().unwrap_or(0));
                pending_bits += 8;
            }
            pending_bits -= bits;
            *sample = word((pending >> pending_bits & ((1u64 << bits) - 1)) as u32);
        }
    }
    Ok(out)
}

/// Undoes the float predictor: differences of bytes, the highest bytes of all samples first. The result is big-endian.
fn undo_float(row: &mut [u8], line: &mut [u8], together: usize, bytes: usize) {
    for i in together..row.len() {
        row[i] = row[i].wrapping_add(row[i - together]);
    }
    let samples = row.len() / bytes.max(1);
    line.copy_from_slice(row);
    for (i, word) in row.chunks_exact_mut(bytes.max(1)).enumerate() {
        for (k, byte) in word.iter_mut().enumerate() {
            *byte = line.get(k * samples + i).copied().unwrap_or(0);
        }
    }
}

/// Luma and chroma per pixel, from units in which several lumas share a chroma pair.
fn spread(source: &Source, page: &Page, bytes: &[u8], rows: usize) -> Result<Vec<u8>> {
    let [h, v] = page.subsampling();
    let width = page.chunk[0];
    let unit = h * v + 2;
    let across = width.div_ceil(h);
    let mut out = source.zeros::<u8>(width * rows * 3)?;
    for (y, row) in out.chunks_exact_mut(width * 3).enumerate() {
        for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let start = (y / v * across + x / h) * unit;
            let Some(unit) = bytes.get(start..start + unit) else { continue };
            let luma = unit.get(y % v * h + x % h).copied().unwrap_or(0);
            let [cb, cr] = *unit.last_chunk().unwrap_or(&[128; 2]);
            *pixel = [luma, cb, cr];
        }
    }
    Ok(out)
}
