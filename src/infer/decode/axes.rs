//! What the pages of a file are: z planes, times.

use super::directory::Directories;
use super::{Bounds, MAX_PIXELS, begin, ome, pages_of, shaped, tag};
use crate::error::Result;
use crate::io::Input;
use crate::io::image_formats::Decoder;

/// Z planes and times of the pages, which run through the planes of a time first. Pages of which the file does not say what they
/// are, are planes.
pub(in crate::low_level::infer) fn axes_of(input: &Input) -> Result<[usize; 2]> {
    let pages = pages_of(input)?;
    let axes = described(input).filter(|[planes, times]| planes.checked_mul(*times) == Some(pages));
    Ok(axes.unwrap_or([pages, 1]))
}

fn described(input: &Input) -> Option<[usize; 2]> {
    #[cfg(feature = "ome-zarr")]
    if let Some(folder) = super::zarr::folder(input) {
        return super::zarr::axes(folder).ok();
    }
    let (_, reader, head) = begin(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX }).ok()?;
    if Decoder::of_head(&head) != Some(Decoder::Tiff) {
        return None;
    }
    let mut file = Directories::new(reader).ok()?;
    let first = file.read(file.header.first).ok()?;
    let text = file.text(&first, tag::DESCRIPTION)?;
    let text = text.trim();
    if text.contains("<OME") { ome::axes(text) } else { ome::imagej_axes(text).or_else(|| shaped::axes(text)) }
}
