//! Numbers of TIFF compressions: names, what is supported, and what they have in common.

use crate::error::Result;
use crate::infer::decode::Source;

pub(super) const NONE: u16 = 1;
pub(super) const FAX3: u16 = 3;
pub(super) const FAX4: u16 = 4;
pub(super) const LZW: u16 = 5;
pub(super) const JPEG: u16 = 7;
pub(super) const ADOBE_DEFLATE: u16 = 8;
pub(super) const DEFLATE: u16 = 32946;
pub(super) const PACKBITS: u16 = 32773;
pub(super) const ZSTD: u16 = 50000;
/// Aperio's JPEG 2000 with luma and chroma components.
pub(super) const APERIO_YCBCR: u16 = 33003;
pub(super) const APERIO_RGB: u16 = 33005;
pub(super) const JPEG_2000: u16 = 34712;

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
