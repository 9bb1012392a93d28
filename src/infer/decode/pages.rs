//! What the directories of a TIFF file are: pages, reduced copies, or channels of one page.

use ::tiff::tags::Tag;

use super::Source;
use super::tiff::{TiffDecoder, error, images_inside};
use super::{ome, shaped};
use crate::error::Result;

/// A directory that holds channels of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    /// Its place in the file's chain of directories.
    pub directory: usize,
    /// Which image of the directory, where it describes one and more follow in the file (ImageJ).
    pub image: usize,
}

/// More directories than this are refused.
const MAX_DIRECTORIES: usize = 1 << 16;
/// `NewSubfileType`: a smaller copy of another picture.
const REDUCED: u32 = 1;

/// The directories of page `page`, counted from 0.
pub(super) fn planes(source: &Source, decoder: &mut TiffDecoder, page: usize) -> Result<Vec<Plane>> {
    let missing = |count: usize| {
        let have = if count == 1 { "one page".to_string() } else { format!("{count} pages") };
        source.error(format!("has {have}, there is no page {page} (they count from 0)"))
    };
    if let Some((stack, kind)) = stack(source, decoder)? {
        return match stack.get(page) {
            None => Err(missing(stack.len())),
            Some(planes) => planes
                .iter()
                .map(|p| match p {
                    Ok(number) => Ok(match kind {
                        Kind::Directories => Plane { directory: *number, image: 0 },
                        Kind::Images => Plane { directory: 0, image: *number },
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
pub(super) fn count(source: &Source, decoder: &mut TiffDecoder) -> Result<usize> {
    match stack(source, decoder)? {
        Some((stack, _)) => Ok(stack.len()),
        None => Ok(full_directories(source, decoder, usize::MAX)?.len()),
    }
}

/// Pages of a stack, each with the directories of its channels, or why one cannot be read.
pub(super) type Stack = Vec<Vec<Result<usize, String>>>;

/// What the numbers of a stack count.
enum Kind {
    /// Directories of the chain.
    Directories,
    /// Images behind each other, of which the first has the only directory.
    Images,
}

/// What OME-XML, ImageJ and others say in the description of the first directory.
fn stack(source: &Source, decoder: &mut TiffDecoder) -> Result<Option<(Stack, Kind)>> {
    let value = decoder.find_tag(Tag::ImageDescription).map_err(|e| error(source, e))?;
    // Descriptions in other encodings than ASCII are none of ours.
    let text = value.and_then(|v| v.into_string().ok()).unwrap_or_default();
    let text = text.trim_end_matches('\0').trim();
    if text.contains("<OME") {
        let name = source.path.file_name().unwrap_or_default().to_string_lossy();
        return match ome::stack(text, &name) {
            Ok(stack) => Ok(Some((stack, Kind::Directories))),
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
        return Ok(Some((described.unwrap_or_else(each), Kind::Images)));
    }
    // Channels of a stack of which only one image is there are none.
    let whole = described.filter(|_| decoder.more_images());
    Ok(whole.map(|stack| (stack, Kind::Directories)))
}

/// Directories that are no reduced copies, until there are more than `wanted`.
fn full_directories(source: &Source, decoder: &mut TiffDecoder, wanted: usize) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    for directory in 0..MAX_DIRECTORIES {
        if directory > 0 {
            if !decoder.more_images() {
                return Ok(found);
            }
            decoder.seek_to_image(directory).map_err(|e| error(source, e))?;
        }
        let kind: Option<u32> = decoder.find_tag_unsigned(Tag::NewSubfileType).map_err(|e| error(source, e))?;
        // The first is a page whatever it says.
        if directory == 0 || kind.unwrap_or(0) & REDUCED == 0 {
            found.push(directory);
        }
        if found.len() > wanted {
            return Ok(found);
        }
    }
    Err(source.error(format!("has more than {MAX_DIRECTORIES} directories")))
}
