//! Stacks in which only the first image has a directory; the others follow it (ImageJ, MetaMorph, tifffile).

use super::codes;
use super::directory::TiffDecoder;
use super::layout::{Page, Places};
use super::tag;
use crate::error::Result;
use crate::infer::decode::Source;

/// Files with more images are refused.
const MAX_IMAGES: usize = 1 << 20;

/// Number of images that the only directory of a file describes, by its description `text`; 1 for an ordinary
/// directory.
pub(in crate::low_level::infer::decode) fn images_inside(
    source: &Source,
    decoder: &mut TiffDecoder,
    text: &str,
) -> Result<usize> {
    if decoder.more_images() {
        return Ok(1);
    }
    let claimed = match imagej(text) {
        Some(images) => images,
        None => decoder.count_of(tag::UIC2).unwrap_or(1),
    };
    let samples = samples_of_shape(text);
    if claimed <= 1 && samples.is_none() {
        return Ok(1);
    }
    let page = Page::read(source, decoder)?;
    let places = Places::read(source, decoder, &page)?;
    let claimed = match samples {
        Some(samples) => samples / (page.width * page.height * page.stored).max(1),
        None => claimed,
    };
    if claimed <= 1 {
        return Ok(1);
    }
    let first = places.offsets().first().copied().unwrap_or(0);
    let available = match page.compression == codes::NONE && places.follow(&page) && first > 0 {
        true => source.bytes.saturating_sub(first) / page.image_bytes().max(1),
        false => 1,
    };
    if (available as usize) < claimed {
        let path = source.path.display();
        log::warn!("{path}: its description speaks of {claimed} images, the file holds one; that is read");
        return Ok(1);
    }
    match claimed > MAX_IMAGES {
        true => Err(source.error(format!("has more than {MAX_IMAGES} images"))),
        false => Ok(claimed),
    }
}

/// ImageJ's number of images.
fn imagej(text: &str) -> Option<usize> {
    text.strip_prefix("ImageJ=")?;
    text.lines().find_map(|l| l.strip_prefix("images=")).and_then(|n| n.trim().parse().ok())
}

/// Samples of all images, if tifffile states that it wrote only one directory.
fn samples_of_shape(text: &str) -> Option<usize> {
    let value: serde_json::Value = serde_json::from_str(text.strip_prefix('{').map(|_| text)?).ok()?;
    value.get("truncated")?.as_bool().filter(|t| *t)?;
    let sides = value.get("shape")?.as_array()?;
    sides.iter().try_fold(1usize, |n, side| n.checked_mul(usize::try_from(side.as_u64()?).ok()?))
}

impl Places {
    /// Whether the strips of an uncompressed image are contiguous.
    fn follow(&self, page: &Page) -> bool {
        let offsets = self.offsets();
        let bytes = (page.row_bytes() as u64).saturating_mul(page.strip_rows() as u64);
        let next = |pair: &[u64]| matches!(pair, [a, b] if a.checked_add(bytes) == Some(*b));
        match page.strips {
            true => offsets.len() == 1 || !page.planar && offsets.windows(2).all(next),
            false => false,
        }
    }
}
