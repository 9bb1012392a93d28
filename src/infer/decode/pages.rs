//! What the directories of a TIFF file are: pages, reduced copies, or channels of one page.

use super::Source;
use super::directory::Directories;
use super::levels::{self, Kind};
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

/// `ImageDescription`.
const DESCRIPTION: u16 = 270;

/// The directories of page `page`, counted from 0.
pub(super) fn planes(source: &Source, decoder: &mut TiffDecoder, page: usize) -> Result<Vec<Plane>> {
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
pub(super) fn count(source: &Source, decoder: &mut TiffDecoder) -> Result<usize> {
    match stack(source, decoder)? {
        Some((stack, _)) => Ok(stack.len()),
        None => Ok(full_directories(source, decoder, usize::MAX)?.len()),
    }
}

/// Pages of a stack, each with the directories of its channels, or why one cannot be read.
pub(super) type Stack = Vec<Vec<Result<usize, String>>>;

/// What the numbers of a stack count.
enum Numbers {
    /// Directories of the chain.
    Directories,
    /// Images behind each other, of which the first has the only directory.
    Images,
}

/// What OME-XML, ImageJ and others say in the description of the first directory.
fn stack(source: &Source, decoder: &mut TiffDecoder) -> Result<Option<(Stack, Numbers)>> {
    let mut file = Directories::new(decoder.inner()).map_err(|e| levels::failed(source, e))?;
    let first = file.read(file.header.first).map_err(|e| levels::failed(source, e))?;
    let text = file.text(&first, DESCRIPTION).unwrap_or_default();
    let text = text.trim();
    decoder.enter_first().map_err(|e| error(source, e))?;
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
    // Channels of a stack of which only one image is there are none.
    let whole = described.filter(|_| decoder.more_images());
    Ok(whole.map(|stack| (stack, Numbers::Directories)))
}

/// Directories that are pages, until there are more than `requested`.
fn full_directories(source: &Source, decoder: &mut TiffDecoder, requested: usize) -> Result<Vec<usize>> {
    let mut file = Directories::new(decoder.inner()).map_err(|e| levels::failed(source, e))?;
    let chain = levels::chain(source, &mut file, requested)?;
    Ok(chain.iter().enumerate().filter(|(_, l)| l.kind == Kind::Page).map(|(i, _)| i).collect())
}
