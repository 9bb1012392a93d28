//! TIFF: samples as they are stored.

use super::stored::{Shown, Stored, Values, of_samples};
use crate::error::Result;
use crate::infer::colours::OPAQUE;
use crate::infer::decode::Source;
use crate::infer::decode::tiff::{RawIntegers, raw_floats, raw_integers};

pub(super) fn read(source: &Source) -> Result<Stored> {
    let Some(raw) = raw_integers(source.input, 0)? else {
        let Some(floats) = raw_floats(source.input, 0)? else {
            return Err(
                source.error("is compressed in a way that changes numbers (such as JPEG), which labels must not be")
            );
        };
        if floats.samples != 1 {
            return Err(source.error(format!("holds {} channels, not labels", floats.samples)));
        }
        let exact = match floats.bits {
            16 => 2048.0,
            32 => 16_777_216.0,
            64 => 9_007_199_254_740_992.0,
            n => return Err(source.error(format!("holds floats of {n} bits, not labels"))),
        };
        return Ok(Stored { width: floats.width, height: floats.height, pixels: Values::Floats(floats.values, exact) });
    };
    let RawIntegers { width, height, samples, bits, signed, photometric, palette, values } = raw;
    let top = match Shown::grey(bits) {
        Shown::Grey(top) if !signed => Some(top),
        _ => None,
    };
    match (photometric, samples) {
        (0, 1) => Ok(Stored { width, height, pixels: Values::Integers(values, Shown::Inverted) }),
        (3, 1) => {
            let palette = palette.unwrap_or_default();
            // Old writers filled the table with 8 bits.
            let narrow = palette.iter().flatten().all(|&v| v < 256);
            let colour = |&[r, g, b]: &[u16; 3]| match narrow {
                true => [r * 0x101, g * 0x101, b * 0x101, OPAQUE],
                false => [r, g, b, OPAQUE].map(whole),
            };
            let shown = Shown::Palette(palette.iter().map(colour).collect());
            Ok(Stored { width, height, pixels: Values::Integers(values, shown) })
        }
        // Of grey, a further sample is opacity if it is the same everywhere; else it may be a mask of its own.
        (0 | 1, 1 | 2) | (2, 3 | 4) => of_samples(source, [width, height], samples, top, values),
        // Channels of their own: not colours, but three that are equal are one.
        (0 | 1, 3) => of_samples(source, [width, height], samples, None, values),
        (_, n) => Err(source.error(format!("holds {n} channels, not labels"))),
    }
}

/// Colours of 8 bits that were spread over 16 by zeros below, as ImageJ does, are those of 8 bits.
fn whole(v: u16) -> u16 {
    if v & 0xff == 0 { (v >> 8) * 0x101 } else { v }
}
