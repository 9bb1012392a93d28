//! Types of samples, and the pixels that the bytes of a chunk are.

use std::cell::Cell;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::infer::image::{Pixels, Sample};

/// A type of sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Unsigned,
    Signed,
    Float,
}

/// A type of sample, its size and its byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    pub kind: Kind,
    pub bytes: usize,
    pub big_endian: bool,
}

/// Where the samples of a plane are in a chunk, in samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plane {
    pub first: usize,
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    /// Distances between columns, rows and channels.
    pub steps: [usize; 3],
}

impl Type {
    /// Version 2: `<u2`; version 3: `uint16`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (text, big_endian) = match text.split_at_checked(1)? {
            ("<" | "|", rest) => (rest, false),
            (">", rest) => (rest, true),
            _ => (text, false),
        };
        let (kind, bytes) = match text {
            "b1" | "bool" => (Kind::Bool, 1),
            "u1" | "uint8" => (Kind::Unsigned, 1),
            "u2" | "uint16" => (Kind::Unsigned, 2),
            "u4" | "uint32" => (Kind::Unsigned, 4),
            "u8" | "uint64" => (Kind::Unsigned, 8),
            "i1" | "int8" => (Kind::Signed, 1),
            "i2" | "int16" => (Kind::Signed, 2),
            "i4" | "int32" => (Kind::Signed, 4),
            "i8" | "int64" => (Kind::Signed, 8),
            "f2" | "float16" => (Kind::Float, 2),
            "f4" | "float32" => (Kind::Float, 4),
            "f8" | "float64" => (Kind::Float, 8),
            _ => return None,
        };
        Some(Self { kind, bytes, big_endian })
    }

    /// Name, such as `uint16`.
    pub(crate) fn name(self) -> String {
        match self.kind {
            Kind::Bool => "bool".into(),
            Kind::Unsigned => format!("uint{}", self.bytes * 8),
            Kind::Signed => format!("int{}", self.bytes * 8),
            Kind::Float => format!("float{}", self.bytes * 8),
        }
    }

    /// What it becomes inside the program.
    pub(super) fn sample(self) -> Sample {
        match (self.kind, self.bytes) {
            (Kind::Bool, _) | (Kind::Unsigned, 1) => Sample::U8,
            (Kind::Unsigned, 2) => Sample::U16,
            _ => Sample::F32,
        }
    }

    /// The bytes of a fill value.
    pub(super) fn fill(self, value: Option<&Value>) -> Option<Vec<u8>> {
        let integer = |v: &Value| {
            v.as_i64()
                .map(i128::from)
                .or(v.as_u64().map(i128::from))
                .or_else(|| v.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e18).map(|f| f as i128))
        };
        let mut bytes = match (self.kind, value) {
            (_, None | Some(Value::Null)) => vec![0; self.bytes],
            (Kind::Bool, Some(v)) => vec![u8::from(v.as_bool().or(v.as_u64().map(|n| n != 0))?)],
            (Kind::Float, Some(Value::String(text))) if text.starts_with("0x") => {
                let bits = u64::from_str_radix(&text[2..], 16).ok()?;
                bits.to_le_bytes().get(..self.bytes)?.to_vec()
            }
            (Kind::Float, Some(v)) => {
                let number = match v.as_str() {
                    Some("NaN") => f64::NAN,
                    Some("Infinity") => f64::INFINITY,
                    Some("-Infinity") => f64::NEG_INFINITY,
                    Some(_) => return None,
                    None => v.as_f64()?,
                };
                match self.bytes {
                    2 => half::f16::from_f64(number).to_le_bytes().to_vec(),
                    4 => (number as f32).to_le_bytes().to_vec(),
                    _ => number.to_le_bytes().to_vec(),
                }
            }
            (_, Some(v)) => {
                let (number, bits) = (integer(v)?, self.bytes as u32 * 8);
                let range = match self.kind {
                    Kind::Signed => -(1i128 << (bits - 1))..1i128 << (bits - 1),
                    _ => 0..1i128 << bits,
                };
                range.contains(&number).then(|| number.to_le_bytes()[..self.bytes].to_vec())?
            }
        };
        if self.big_endian {
            bytes.reverse();
        }
        Some(bytes)
    }

    /// The integer in a sample's bytes; `None` if it is a float, or beyond `i64`.
    pub(super) fn integer(self, bytes: &[u8]) -> Option<i64> {
        let [b0, ..] = self.little(bytes);
        let raw = u64::from_le_bytes(self.little(bytes));
        match (self.kind, self.bytes) {
            (Kind::Bool, _) => Some(i64::from(b0 != 0)),
            (Kind::Unsigned, _) => raw.try_into().ok(),
            (Kind::Signed, 1) => Some((raw as i8).into()),
            (Kind::Signed, 2) => Some((raw as i16).into()),
            (Kind::Signed, 4) => Some((raw as i32).into()),
            (Kind::Signed, _) => Some(raw as i64),
            (Kind::Float, _) => None,
        }
    }

    /// The float in a sample's bytes.
    pub(super) fn float(self, bytes: &[u8]) -> f64 {
        let raw = u64::from_le_bytes(self.little(bytes));
        match self.bytes {
            2 => half::f16::from_bits(raw as u16).to_f64(),
            4 => f32::from_bits(raw as u32).into(),
            _ => f64::from_bits(raw),
        }
    }

    /// A sample's bytes in little-endian order, with zeros above.
    fn little(self, bytes: &[u8]) -> [u8; 8] {
        let mut out = [0; 8];
        let bytes = bytes.get(..self.bytes).unwrap_or_default();
        match self.big_endian {
            false => out.iter_mut().zip(bytes).for_each(|(to, &b)| *to = b),
            true => out.iter_mut().zip(bytes.iter().rev()).for_each(|(to, &b)| *to = b),
        }
        out
    }

    /// The pixels of a plane, interleaved. `rounded` remembers that rounding was reported.
    pub(super) fn pixels(self, folder: &Path, bytes: &[u8], plane: &Plane, rounded: &Cell<bool>) -> Result<Pixels> {
        Ok(match (self.kind, self.bytes) {
            // As image files of one bit.
            (Kind::Bool, _) => Pixels::U8(plane.gather(folder, bytes, 1, |b| if b == [0] { 0 } else { 255 })?),
            (Kind::Unsigned, 1) => Pixels::U8(plane.gather(folder, bytes, 1, |b| b.first().copied().unwrap_or(0))?),
            (Kind::Unsigned, 2) => Pixels::U16(plane.gather(folder, bytes, 2, |b| {
                let b = b.first_chunk().copied().unwrap_or_default();
                if self.big_endian { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) }
            })?),
            (Kind::Float, 4) => Pixels::F32(plane.gather(folder, bytes, 4, |b| {
                let b = b.first_chunk().copied().unwrap_or_default();
                if self.big_endian { f32::from_be_bytes(b) } else { f32::from_le_bytes(b) }
            })?),
            _ => {
                let (mut changed, mut beyond) = (None, None);
                let values = plane.gather(folder, bytes, self.bytes, |b| {
                    let (to, exact, before) = match self.kind {
                        Kind::Float => {
                            let value = self.float(b);
                            let to = value as f32;
                            (to, f64::from(to) == value || value.is_nan(), value)
                        }
                        _ => {
                            let raw = u64::from_le_bytes(self.little(b));
                            let value = self.integer(b).map_or(i128::from(raw), i128::from);
                            let to = value as f32;
                            (to, to as i128 == value, value as f64)
                        }
                    };
                    if !exact {
                        if to.is_infinite() { &mut beyond } else { &mut changed }.get_or_insert((before, to));
                    }
                    to
                })?;
                if let Some((before, _)) = beyond {
                    return Err(Error::file(
                        folder,
                        format!("holds the value {before:e}, which is beyond 32-bit floats"),
                    ));
                }
                if let Some((before, to)) = changed
                    && !rounded.replace(true)
                {
                    let (kind, bits) = (if self.kind == Kind::Float { "floats" } else { "integers" }, self.bytes * 8);
                    let path = folder.display();
                    log::warn!("{path}: its {bits}-bit {kind} are rounded to 32-bit floats ({before} to {to})");
                }
                Pixels::F32(values)
            }
        })
    }
}

impl Plane {
    /// The samples of the plane, row by row, interleaved. Its chunk has them all.
    pub(super) fn gather<T: Copy + Default>(
        &self,
        folder: &Path,
        bytes: &[u8],
        size: usize,
        mut value: impl FnMut(&[u8]) -> T,
    ) -> Result<Vec<T>> {
        let Self { first, width, height, channels, steps: [across, down, next] } = *self;
        let mut out = Vec::new();
        let len = width * height * channels;
        out.try_reserve_exact(len).map_err(|_| Error::file(folder, format!("{len} samples do not fit in memory")))?;
        for y in 0..height {
            for x in 0..width {
                for c in 0..channels {
                    let at = (first + y * down + x * across + c * next) * size;
                    out.push(value(bytes.get(at..at + size).unwrap_or_default()));
                }
            }
        }
        Ok(out)
    }
}
