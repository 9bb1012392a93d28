//! JPEG 2000 in TIFF: Aperio's codestreams and embedded files.

use hayro_jpeg2000::{DecodeSettings, Image};

use super::codes::APERIO_YCBCR;
use super::jpeg::{crop, rgb};
use super::layout::Page;
use crate::error::Result;
use crate::infer::decode::Source;

/// `PhotometricInterpretation` of luma and chroma.
const YCBCR: u16 = 6;

/// Interleaved samples of a chunk, with colours as RGB.
pub(super) fn decode(source: &Source, page: &Page, raw: &[u8], rows: usize) -> Result<Vec<u8>> {
    let damaged = |why: &dyn std::fmt::Display| {
        source.error(format!("damaged or unsupported JPEG 2000 data in the TIFF file: {why}"))
    };
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let image = Image::new(raw, &settings).map_err(|e| damaged(&e))?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width < page.chunk[0] || height < rows || width > 2 * page.chunk[0] || height > 2 * page.chunk[1] {
        let [w, _] = page.chunk;
        return Err(damaged(&format_args!("{width}x{height} pixels in a strip or tile of {w}x{rows}")));
    }
    let components = usize::from(image.color_space().num_channels()) + usize::from(image.has_alpha());
    let together = page.together();
    if components != together || image.original_bit_depth() != page.bits {
        let bits = image.original_bit_depth();
        return Err(damaged(&format_args!("{components} components of {bits} bits for {together} samples")));
    }
    let mut out = image.decode().map_err(|e| damaged(&e))?;
    if out.len() != width * height * together {
        return Err(damaged(&"the number of samples is contradictory"));
    }
    crop(&mut out, width * together, page.chunk[0] * together, rows);
    if together == 3 && (page.compression == APERIO_YCBCR || page.photometric == YCBCR) {
        out.as_chunks_mut::<3>().0.iter_mut().for_each(|p| *p = rgb(*p));
    }
    Ok(out)
}
