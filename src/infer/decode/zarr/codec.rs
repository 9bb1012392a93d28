//! Codecs of chunks, by the names of numcodecs (version 2) and of Zarr 3.

use std::io::Read;

use serde_json::Value;

use super::{blosc, lz};

/// A codec from bytes to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Zlib,
    Zstd,
    Lz4,
    Blosc,
    Crc32c,
}

impl Codec {
    /// The codec called so; the error names it.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        match name {
            "gzip" => Ok(Self::Gzip),
            "zlib" | "numcodecs.zlib" => Ok(Self::Zlib),
            "zstd" => Ok(Self::Zstd),
            "lz4" | "numcodecs.lz4" => Ok(Self::Lz4),
            "blosc" => Ok(Self::Blosc),
            "crc32c" => Ok(Self::Crc32c),
            _ => {
                Err(format!("the codec `{name}` is not supported (blosc, zstd, gzip, zlib, lz4, crc32c and none are)"))
            }
        }
    }

    /// Name, with what an object of version 2 says of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Zstd => "Zstandard",
            Self::Lz4 => "LZ4",
            Self::Blosc => "Blosc",
            Self::Crc32c => "CRC-32C",
        }
    }

    /// Undoes it; at most `max` bytes are made. The error says why not.
    fn undo(self, raw: &[u8], max: usize) -> Result<Vec<u8>, String> {
        let damaged = |e: &dyn std::fmt::Display| format!("damaged {} data ({e})", self.name());
        let read = |from: &mut dyn Read| {
            let mut out = Vec::new();
            from.take(max as u64 + 1).read_to_end(&mut out).map_err(|e| damaged(&e))?;
            if out.len() > max { Err(format!("{} data of more than {max} bytes", self.name())) } else { Ok(out) }
        };
        match self {
            Self::Gzip => read(&mut flate2::read::MultiGzDecoder::new(raw)),
            Self::Zlib => read(&mut flate2::read::ZlibDecoder::new(raw)),
            Self::Zstd => read(&mut ruzstd::decoding::StreamingDecoder::new(raw).map_err(|e| damaged(&e))?),
            // numcodecs writes the length in front.
            Self::Lz4 => {
                lz::lz4(raw.get(4..).unwrap_or_default(), max).ok_or_else(|| damaged(&"a length that does not fit"))
            }
            Self::Blosc => blosc::decompress(raw, max),
            Self::Crc32c => {
                let Some((data, sum)) = raw.split_last_chunk::<4>() else { return Err(damaged(&"too short")) };
                if crc32c(data) != u32::from_le_bytes(*sum) {
                    return Err("a wrong checksum (CRC-32C)".into());
                }
                Ok(data.to_vec())
            }
        }
    }
}

/// Undoes codecs in reverse order, and checks that `len` bytes result.
pub(super) fn undo(codecs: &[Codec], mut bytes: Vec<u8>, len: usize) -> Result<Vec<u8>, String> {
    // Data that do not compress get longer with every codec.
    let max = len.saturating_add(len / 8).saturating_add(1 << 16);
    for (i, codec) in codecs.iter().enumerate().rev() {
        bytes = codec.undo(&bytes, if i == 0 { len } else { max })?;
    }
    match bytes.len() == len {
        true => Ok(bytes),
        false => Err(format!("{} bytes of {len}", bytes.len())),
    }
}

/// The codecs of an array of version 2, whose `compressor` may be null.
pub(super) fn of_version_2(compressor: Option<&Value>) -> Result<Vec<Codec>, String> {
    match compressor {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(value) => {
            let name = value.get("id").and_then(Value::as_str).ok_or("`compressor` has no `id`")?;
            Ok(vec![Codec::named(name)?])
        }
    }
}

/// The checksum of RFC 3720.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut value, mut bit) = (i as u32, 0);
            while bit < 8 {
                value = value >> 1 ^ if value & 1 == 1 { 0x82f6_3b78 } else { 0 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, &b| crc >> 8 ^ TABLE[((crc ^ u32::from(b)) & 255) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }
}
