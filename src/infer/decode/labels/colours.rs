//! Ids from colours by a table.

use std::path::Path;

use super::at;
use crate::error::{Error, Result};
use crate::infer::colours::{ColourTable, Found, Rgba, name};

/// Ids of pixels. `of` gives their colours, `None` for numbers that have no colour.
pub(super) fn through_table<T: PartialEq>(
    path: &Path,
    width: usize,
    table: &ColourTable,
    pixels: &[T],
    of: impl Fn(&T) -> Option<Rgba>,
) -> Result<Vec<u32>> {
    let mut out = Vec::new();
    out.try_reserve_exact(pixels.len()).map_err(|_| Error::file(path, "does not fit in memory"))?;
    let mut last: Option<(&T, u32)> = None;
    for (i, pixel) in pixels.iter().enumerate() {
        // Neighbours mostly have the same colour.
        let id = match last {
            Some((same, id)) if same == pixel => id,
            _ => match of(pixel).map(|colour| (colour, table.id(colour))) {
                Some((_, Some(id))) => id,
                Some((colour, None)) => return Err(unlisted(path, width, i, table, colour, pixels, of)),
                None => return Err(at(path, width, i, "an index without a colour", "its palette is too short")),
            },
        };
        last = Some((pixel, id));
        out.push(id);
    }
    Ok(out)
}

fn unlisted<T>(
    path: &Path,
    width: usize,
    i: usize,
    table: &ColourTable,
    colour: Rgba,
    pixels: &[T],
    of: impl Fn(&T) -> Option<Rgba>,
) -> Error {
    let nearest = table.nearest(colour).map(|c| format!(" (its nearest is {})", name(c))).unwrap_or_default();
    let unknown = Found::of(pixels.iter().filter_map(of).filter(|&c| table.id(c).is_none()));
    let what = format!("the colour {}", name(colour));
    at(path, width, i, &what, &format!("`colours` has no id for it{nearest}; not there: {}", unknown.list()))
}
