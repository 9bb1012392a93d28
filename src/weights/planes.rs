//! Byte planes: the lossless packing of the built-in models.
//!
//! A zlib stream of sections. A section is the width of its elements and its length in bytes, both `u32` little-endian,
//! then the first byte of every element, then the second byte of every element, and so on. Exponents of neighbouring
//! weights are alike, so their plane deflates well; in the original order, mantissa bytes between them prevent it.

use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::error::{Error, Result};

/// The unpacked file. `path` is for errors only; a file of more than `limit` bytes is one.
pub(super) fn unpack(packed: &[u8], limit: u64, path: &Path) -> Result<Vec<u8>> {
    let mut stream = ZlibDecoder::new(packed).take(limit);
    let mut file = Vec::new();
    let mut planes = Vec::new();
    loop {
        let mut head = [0; 8];
        let n = stream.read(&mut head[..1]).map_err(|e| Error::io(path, e))?;
        if n == 0 {
            return Ok(file);
        }
        stream.read_exact(&mut head[1..]).map_err(|e| Error::io(path, e))?;
        let [width, length] = [0, 4].map(|i| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]));
        if width == 0 || length % width != 0 {
            return Err(Error::file(path, format!("{length} bytes of elements of {width} bytes")));
        }
        planes.clear();
        (&mut stream).take(length.into()).read_to_end(&mut planes).map_err(|e| Error::io(path, e))?;
        if planes.len() != length as usize {
            return Err(Error::file(path, "the packed model is cut off"));
        }
        join(&planes, width as usize, &mut file);
    }
}

/// Appends the elements whose byte planes these are.
fn join(planes: &[u8], width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + planes.len(), 0);
    let elements = &mut out[start..];
    for (byte, plane) in planes.chunks_exact((planes.len() / width).max(1)).enumerate() {
        for (element, &value) in elements.chunks_exact_mut(width).zip(plane) {
            element[byte] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn planes_are_joined() {
        let stream =
            [&[1, 0, 0, 0, 3, 0, 0, 0][..], b"abc", &[2, 0, 0, 0, 6, 0, 0, 0], b"135246", &[4, 0, 0, 0, 0, 0, 0, 0]];
        let file = unpack(&deflate(&stream.concat()), 1000, Path::new("m")).unwrap();
        assert_eq!(file, b"abc123456");
    }

    #[test]
    fn damage_is_an_error() {
        let error = |stream: &[u8], limit| unpack(&deflate(stream), limit, Path::new("m")).unwrap_err().to_string();
        assert_eq!(error(&[2, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3], 100), "m: 3 bytes of elements of 2 bytes");
        assert_eq!(error(&[0, 0, 0, 0, 0, 0, 0, 0], 100), "m: 0 bytes of elements of 0 bytes");
        assert_eq!(error(&[1, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3], 100), "m: the packed model is cut off");
        assert_eq!(error(&[1, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 12), "m: the packed model is cut off");
        assert!(error(&[1, 0, 0], 100).starts_with("m: "));
        assert!(unpack(b"no zlib stream", 100, Path::new("m")).is_err());
    }
}
