//! Roles of a TIFF file's directories: pages, reduced copies, or channels of one page.

use super::directory::TiffDecoder;
use super::levels::{self, Kind};
use super::stack::images_inside;
use crate::error::Result;
use crate::infer::decode::directory::failed;
use crate::infer::decode::plane::{Plane, Stack};
use crate::infer::decode::{Source, ome, shaped, tag};

/// The directories of page `page`, counted from 0.
pub(in crate::low_level::infer::decode) fn planes(
    source: &Source,
    decoder: &mut TiffDecoder,
    page: usize,
) -> Result<Vec<Plane>> {
    let missing = |count: usize| {
        let have = if count == 1 { "one page".to_string() } else { format!("{count} pages") };
        source.error(format!("has {have}, there is no page {page} (they count from 0)"))
    };
    if let Some((stack, numbers)) = stack(source, decoder)? {
        return match stack.get(page) {
            None => Err(missing(stack.len())),
            Some(planes) => planes
                .iter()
                .map(|p| match p {
                    Ok(number) => Ok(match numbers {
                        Numbers::Directories => Plane { directory: *number, image: 0 },
                        Numbers::Images => Plane { directory: 0, image: *number },
                    }),
                    Err(why) => Err(source.error(why.clone())),
                })
                .collect(),
        };
    }
    if page == 0 {
        return Ok(vec![Plane { directory: 0, image: 0 }]);
    }
    let pages = full_directories(source, decoder, page)?;
    match pages.get(page) {
        Some(&directory) => Ok(vec![Plane { directory, image: 0 }]),
        None => Err(missing(pages.len())),
    }
}

/// Number of pages.
pub(in crate::low_level::infer::decode) fn count(source: &Source, decoder: &mut TiffDecoder) -> Result<usize> {
    match stack(source, decoder)? {
        Some((stack, _)) => Ok(stack.len()),
        None => Ok(full_directories(source, decoder, usize::MAX)?.len()),
    }
}

/// What the numbers of a stack index.
enum Numbers {
    /// Directories of the chain.
    Directories,
    /// Consecutive images, of which only the first has a directory.
    Images,
}

/// The stack that the description of the first directory declares (OME-XML, ImageJ, tifffile).
fn stack(source: &Source, decoder: &mut TiffDecoder) -> Result<Option<(Stack, Numbers)>> {
    decoder.enter_first().map_err(|e| failed(source, e))?;
    let text = decoder.text(tag::DESCRIPTION).unwrap_or_default();
    let text = text.trim();
    if text.contains("<OME") {
        let name = source.path.file_name().unwrap_or_default().to_string_lossy();
        return match ome::stack(text, &name) {
            Ok(stack) => Ok(Some((stack, Numbers::Directories))),
            Err(why) => {
                log::warn!(
                    "{}: its OME description is not understood ({why}); read as plain TIFF",
                    source.path.display()
                );
                Ok(None)
            }
        };
    }
    let described = ome::imagej(text).or_else(|| shaped::stack(text));
    let images = images_inside(source, decoder, text)?;
    if images > 1 {
        let each = || (0..images).map(|image| vec![Ok(image)]).collect();
        return Ok(Some((described.unwrap_or_else(each), Numbers::Images)));
    }
    // If only one image exists, the described channels do not.
    let whole = described.filter(|_| decoder.more_images());
    Ok(whole.map(|stack| (stack, Numbers::Directories)))
}

/// Directories that are pages, until more than `requested` are found.
fn full_directories(source: &Source, decoder: &mut TiffDecoder, requested: usize) -> Result<Vec<usize>> {
    let chain = levels::chain(source, decoder.directories(), requested)?;
    Ok(chain.iter().enumerate().filter(|(_, l)| l.kind == Kind::Page).map(|(i, _)| i).collect())
}
