//! What the directories of a TIFF file are: pages, reduced copies, or channels of one page.

use super::Source;
use super::directory::Directories;
use super::levels::{self, Kind};
use super::ome;
use super::tiff::TiffDecoder;
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
    if let Some(stack) = stack(source, decoder)? {
        return match stack.get(page) {
            None => Err(missing(stack.len())),
            Some(planes) => planes
                .iter()
                .map(|p| match p {
                    Ok(directory) => Ok(Plane { directory: *directory, image: 0 }),
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
        Some(stack) => Ok(stack.len()),
        None => Ok(full_directories(source, decoder, usize::MAX)?.len()),
    }
}

/// Pages of a stack, each with the directories of its channels, or why one cannot be read.
pub(super) type Stack = Vec<Vec<Result<usize, String>>>;

/// What OME-XML or ImageJ say in the description of the first directory.
fn stack(source: &Source, decoder: &mut TiffDecoder) -> Result<Option<Stack>> {
    let mut file = Directories::new(decoder.inner()).map_err(|e| levels::failed(source, e))?;
    let first = file.read(file.header.first).map_err(|e| levels::failed(source, e))?;
    let Some(text) = file.text(&first, DESCRIPTION) else { return Ok(None) };
    let text = text.trim();
    if text.contains("<OME") {
        let name = source.path.file_name().unwrap_or_default().to_string_lossy();
        return match ome::stack(text, &name) {
            Ok(stack) => Ok(Some(stack)),
            Err(why) => {
                log::warn!(
                    "{}: its OME description is not understood ({why}); read as plain TIFF",
                    source.path.display()
                );
                Ok(None)
            }
        };
    }
    Ok(ome::imagej(text))
}

/// Directories that are pages, until there are more than `wanted`.
fn full_directories(source: &Source, decoder: &mut TiffDecoder, wanted: usize) -> Result<Vec<usize>> {
    let mut file = Directories::new(decoder.inner()).map_err(|e| levels::failed(source, e))?;
    let chain = levels::chain(source, &mut file, wanted)?;
    Ok(chain.iter().enumerate().filter(|(_, l)| l.kind == Kind::Page).map(|(i, _)| i).collect())
}
