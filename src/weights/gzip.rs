//! Gzip around any checkpoint: inflated with bounds, so that a small file cannot exhaust memory.

use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::error::{Error, Result};

/// First bytes of every gzip file.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Up to this many inflated bytes any ratio is allowed: memory of that size is harmless.
const HARMLESS: u64 = 64 << 20;
/// Beyond [`HARMLESS`], no real weights are this compressible (deflate's own bound is 1032).
const LARGEST_RATIO: u64 = 200;

/// Bounds on inflating a gzip file.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Maximum of inflated bytes.
    pub bytes: u64,
    /// Inflated bytes from which the ratio is checked.
    pub harmless: u64,
}

impl Bounds {
    /// The bounds for files of at most `bytes` inflated bytes.
    pub(super) const fn of(bytes: u64) -> Self {
        Self { bytes, harmless: HARMLESS }
    }
}

/// Whether the bytes start a gzip file.
pub(super) fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// The inflated file.
pub(super) fn inflate(packed: &[u8], bounds: Bounds, path: &Path) -> Result<Vec<u8>> {
    let mut decoder = MultiGzDecoder::new(packed);
    let mut chunk = vec![0u8; 1 << 18];
    let mut out = Vec::new();
    loop {
        let n = match decoder.read(&mut chunk) {
            Ok(0) => return Ok(out),
            Ok(n) => n,
            Err(e) => return Err(Error::file(path, format!("the gzip data is damaged or cut off: {e}"))),
        };
        let total = out.len() as u64 + n as u64;
        if total > bounds.bytes {
            return Err(Error::file(path, format!("inflates to more than the {} bytes allowed", bounds.bytes)));
        }
        if total > bounds.harmless && total / LARGEST_RATIO > packed.len() as u64 {
            let reason = format!(
                "{} bytes of gzip inflate to more than {total} bytes, over {LARGEST_RATIO} times as many: not a model",
                packed.len()
            );
            return Err(Error::file(path, reason));
        }
        // A failed allocation must be an error, not an abort.
        out.try_reserve(n).map_err(|e| Error::file(path, format!("inflated, it does not fit into memory: {e}")))?;
        out.extend_from_slice(&chunk[..n]);
    }
}

/// The deflated file; the same input always gives the same bytes.
pub(super) fn deflate(bytes: &[u8], path: &Path) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(|e| Error::io(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_is_deterministic() {
        let data: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        let path = Path::new("m.gz");
        let packed = deflate(&data, path).unwrap();
        assert_eq!(packed, deflate(&data, path).unwrap());
        assert_eq!(packed[4..8], [0; 4], "no time stamp");
        assert_eq!(inflate(&packed, Bounds::of(1 << 20), path).unwrap(), data);
    }

    #[test]
    fn bombs_are_rejected() {
        let path = Path::new("bomb.gz");
        let packed = deflate(&vec![0u8; 4 << 20], path).unwrap();
        let e = inflate(&packed, Bounds { bytes: 1 << 40, harmless: 1 << 20 }, path).unwrap_err().to_string();
        assert!(e.starts_with("bomb.gz: ") && e.contains("200 times"), "{e}");
        let e = inflate(&packed, Bounds::of(1 << 20), path).unwrap_err().to_string();
        assert_eq!(e, "bomb.gz: inflates to more than the 1048576 bytes allowed");
    }

    #[test]
    fn damage_is_an_error() {
        let path = Path::new("m.gz");
        let packed = deflate(&[7u8; 1000], path).unwrap();
        let e = inflate(&packed[..packed.len() - 3], Bounds::of(1 << 20), path).unwrap_err().to_string();
        assert!(e.starts_with("m.gz: the gzip data is damaged or cut off"), "{e}");
    }
}
