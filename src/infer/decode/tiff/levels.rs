//! Pyramids: finds the reduced copies of a page, by `SubIFDs` (OME-TIFF), by `NewSubfileType` (cloud-optimised GeoTIFF,
//! libvips), or by Aperio's order of tiled directories (SVS).

use std::collections::HashSet;
use std::io::{Read, Seek};

use super::directory::TiffDecoder;
use crate::error::Result;
use crate::infer::decode::directory::{Directories, Directory, failed};
use crate::infer::decode::plane::Plane;
use crate::infer::decode::{Source, tag};

/// Files with more directories are refused.
const MAX_DIRECTORIES: usize = 1 << 16;
/// Maximum number of reduced copies of a page.
const MAX_LEVELS: usize = 64;

/// Role of a directory of the main chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::low_level::infer::decode) enum Kind {
    Page,
    /// A reduced copy of the page before it.
    Reduced,
    /// A transparency mask.
    Mask,
    /// A slide's label, overview or thumbnail.
    Associated,
}

/// A directory of the main chain.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::low_level::infer::decode) struct Listed {
    pub directory: Directory,
    pub kind: Kind,
    pub size: [u64; 2],
}

/// A resolution of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::low_level::infer::decode) struct Level {
    pub offset: u64,
    /// Columns and rows.
    pub size: [u64; 2],
}

/// The main chain of directories, until it has more than `requested` pages.
pub(in crate::low_level::infer::decode) fn chain<R: Read + Seek>(
    source: &Source,
    file: &mut Directories<R>,
    requested: usize,
) -> Result<Vec<Listed>> {
    let (mut found, mut seen, mut pages): (Vec<Listed>, _, usize) = (Vec::new(), HashSet::new(), 0);
    let mut next = file.header.first;
    let mut aperio = false;
    while next != 0 {
        if !seen.insert(next) {
            return Err(source.error("damaged TIFF file: its directories form a circle"));
        }
        if found.len() == MAX_DIRECTORIES {
            return Err(source.error(format!("has more than {MAX_DIRECTORIES} directories")));
        }
        let directory = file.read(next).map_err(|e| failed(source, e))?;
        next = directory.next;
        let size = [tag::WIDTH, tag::HEIGHT].map(|t| file.number(&directory, t).unwrap_or(0));
        let first = found.first().map(|f| f.size);
        if first.is_none() {
            aperio = file.text(&directory, tag::DESCRIPTION).is_some_and(|t| t.starts_with("Aperio"));
        }
        let kind = match first {
            // The first is a page whatever its tags.
            None => Kind::Page,
            Some(first) if aperio => match directory.has(tag::TILE_WIDTH) {
                true if size == first => Kind::Page,
                true => Kind::Reduced,
                false => Kind::Associated,
            },
            Some(_) => kind(file, &directory),
        };
        pages += usize::from(kind == Kind::Page);
        found.push(Listed { directory, kind, size });
        if pages > requested {
            break;
        }
    }
    match found.is_empty() {
        true => Err(source.error("damaged TIFF file: it has no directory")),
        false => Ok(found),
    }
}

/// The role of a directory by its tags.
fn kind<R: Read + Seek>(file: &mut Directories<R>, directory: &Directory) -> Kind {
    let old = file.number(directory, tag::SUBFILE_TYPE);
    match (file.number(directory, tag::NEW_SUBFILE_TYPE), old) {
        (Some(bits), _) if bits & 4 != 0 => Kind::Mask,
        (Some(bits), _) if bits & 1 != 0 => Kind::Reduced,
        (None, Some(2)) => Kind::Reduced,
        _ => Kind::Page,
    }
}

/// The levels of a page: itself, then its reduced copies, largest first. `at` is its index in the chain, which must
/// extend to the next page.
pub(in crate::low_level::infer::decode) fn of<R: Read + Seek>(
    source: &Source,
    file: &mut Directories<R>,
    chain: &[Listed],
    at: usize,
) -> Result<Vec<Level>> {
    let Some(full) = chain.get(at) else {
        return Err(source.error(format!("damaged: its description names directory {at}, there are {}", chain.len())));
    };
    let samples = |file: &mut Directories<R>, d: &Directory| {
        (file.number(d, tag::SAMPLES_PER_PIXEL).unwrap_or(1), file.number(d, tag::BITS_PER_SAMPLE).unwrap_or(1))
    };
    let own = samples(file, &full.directory);
    let mut copies = Vec::new();
    for offset in file.whole(&full.directory, tag::SUB_IFDS).unwrap_or_default().into_iter().take(MAX_LEVELS) {
        let directory = file.read(offset).map_err(|e| failed(source, e))?;
        let size = [tag::WIDTH, tag::HEIGHT].map(|t| file.number(&directory, t).unwrap_or(0));
        if kind(file, &directory) != Kind::Mask {
            copies.push((directory, size));
        }
    }
    if copies.is_empty() {
        let behind = chain.iter().skip(at + 1).take_while(|l| l.kind != Kind::Page);
        copies = behind.filter(|l| l.kind == Kind::Reduced).map(|l| (l.directory.clone(), l.size)).collect();
    }
    let mut levels = vec![Level { offset: full.directory.offset, size: full.size }];
    for (directory, size) in copies {
        if is_copy(full.size, size) && samples(file, &directory) == own {
            levels.push(Level { offset: directory.offset, size });
        }
    }
    levels.sort_by_key(|l| std::cmp::Reverse(l.size));
    levels.dedup_by_key(|l| l.size);
    Ok(levels)
}

/// Whether a size is smaller with the same aspect ratio, up to rounding.
fn is_copy([w, h]: [u64; 2], [a, b]: [u64; 2]) -> bool {
    let range = |part: u64, whole: u64| {
        let (part, whole) = (part as f64, whole as f64);
        ((part - 1.5) / whole, (part + 1.5) / whole)
    };
    let (across, down) = (range(a, w), range(b, h));
    a > 0 && b > 0 && a <= w && b <= h && (a, b) != (w, h) && across.0 <= down.1 && down.0 <= across.1
}

/// Moves the decoder to the reduced copies of planes (level 0 is the full size) and returns the planes' new indices.
pub(in crate::low_level::infer::decode) fn seek(
    source: &Source,
    decoder: &mut TiffDecoder,
    planes: Vec<Plane>,
    level: usize,
) -> Result<Vec<Plane>> {
    if level == 0 {
        return Ok(planes);
    }
    let file = decoder.directories();
    // Read up to the page after the last requested one.
    let last = planes.iter().map(|p| p.directory).max().unwrap_or(0);
    let chain = chain(source, file, last + 1)?;
    let (mut offsets, mut moved) = (Vec::new(), Vec::new());
    for plane in &planes {
        let levels = of(source, file, &chain, plane.directory)?;
        let Some(chosen) = levels.get(level) else { return Err(source.error(missing(&levels, level))) };
        let place = offsets.iter().position(|o| *o == chosen.offset).unwrap_or_else(|| {
            offsets.push(chosen.offset);
            offsets.len() - 1
        });
        moved.push(Plane { directory: place, ..*plane });
    }
    decoder.follow(offsets);
    Ok(moved)
}

/// The message for a missing level; lists the existing ones.
pub(in crate::low_level::infer::decode) fn missing(levels: &[Level], level: usize) -> String {
    let sizes: Vec<String> = levels.iter().map(|l| format!("{}x{}", l.size[0], l.size[1])).collect();
    match sizes.len() {
        0 | 1 => format!("holds the image in its full size only, there is no level {level} (level 0 is the full size)"),
        n => format!("has levels 0 to {} ({}), there is no level {level}", n - 1, sizes.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_the_same_shape() {
        for (full, part) in
            [([1001, 701], [500, 350]), ([1001, 701], [501, 351]), ([1001, 701], [62, 43]), ([100_001, 37], [390, 1])]
        {
            assert!(is_copy(full, part), "{full:?} {part:?}");
        }
        // The image itself, a larger one, a slide's label, its overview, and an empty one.
        for part in [[1001, 701], [1002, 701], [300, 300], [701, 500], [0, 0]] {
            assert!(!is_copy([1001, 701], part), "{part:?}");
        }
    }
}
