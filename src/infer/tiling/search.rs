//! Search for the tile size with the least work that fits.

use crate::error::{Error, Result};
use crate::infer::tile::grid::{TileGrid, TileSpec};

/// One axis divided into `count` windows of `window` input pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    window: usize,
    count: usize,
}

/// Candidate window sizes of an axis, largest first: the sizes that give 1, 2, 3, .. windows, one by one up to 16 and
/// in steps of an eighth beyond; none above `cap`, and always the largest legal one under it and the smallest.
fn cuts(length: usize, cap: usize, spec: &TileSpec) -> Result<Vec<Cut>> {
    let TileSpec { align, halo, margin, .. } = *spec;
    let smallest = spec.smallest_tile()?;
    let whole = spec.whole(length)?;
    let padded = whole - 2 * margin;
    let cut = |window: usize| match window >= whole {
        true => Cut { window: whole, count: 1 },
        false => {
            let output = window - 2 * margin;
            let stride = (output - 2 * halo) / align * align;
            // Windows are added until they reach the end of the image, or of the whole run.
            let left = (length + halo).saturating_sub(output).min(padded - output);
            Cut { window, count: 1 + left.div_ceil(stride) }
        }
    };
    let mut found = vec![cut(spec.largest_within(cap).max(smallest))];
    let inner = padded.saturating_sub(2 * halo);
    let mut n = 2usize;
    while let Some(last) = found.last().filter(|c| c.window > smallest && c.count < length) {
        let stride = inner.div_ceil(n).max(1).next_multiple_of(align);
        let window = spec.legal(stride + 2 * (halo + margin))?;
        if window < last.window {
            found.push(cut(window));
        }
        n += (n / 8).max(1);
    }
    Ok(found)
}

/// A grid with its work.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Input pixels of all tiles.
    work: u128,
    /// Cost of one tile, in any unit.
    size: u128,
    tiles: u128,
    window: [usize; 2],
}

/// The candidates that may be optimal, in order of work, each with smaller tiles than all before it.
fn candidates(rows: &[Cut], columns: &[Cut], size: impl Fn([usize; 2]) -> u128) -> Vec<Candidate> {
    let grid = |r: &Cut, c: &Cut| {
        let (area, tiles) = (r.window as u128 * c.window as u128, r.count as u128 * c.count as u128);
        let window = [r.window, c.window];
        Candidate { work: area * tiles, size: size(window), tiles, window }
    };
    let mut all: Vec<_> = rows.iter().flat_map(|r| columns.iter().map(move |c| grid(r, c))).collect();
    all.sort_by_key(|c| (c.work, c.tiles, c.window));
    let mut min = u128::MAX;
    all.retain(|c| {
        let smaller = c.size < min;
        min = min.min(c.size);
        smaller
    });
    all
}

/// The grid with the least work whose tiles, of at most `cap` pixels per side, fit. `size` estimates the cost of a
/// tile. `fits` fails with [`Error::Limit`] for rows and columns that do not fit; larger tiles are then assumed not to
/// fit either, so few are tried.
pub(in crate::low_level::infer) fn choose(
    [height, width]: [usize; 2],
    cap: usize,
    spec: &TileSpec,
    size: impl Fn([usize; 2]) -> u128,
    mut fits: impl FnMut([usize; 2]) -> Result<()>,
) -> Result<TileGrid> {
    // Also fails if `cap` is too small.
    let largest = TileGrid::plan(height, width, (cap, cap), spec)?;
    let candidates = candidates(&cuts(height, cap, spec)?, &cuts(width, cap, spec)?, size);
    // All before `low` do not fit; the one at `high`, if any, does.
    let (mut low, mut high) = (0, candidates.len());
    let mut problem = None;
    // The first is the most likely: most images fit undivided.
    let mut at = 0;
    while low < high {
        match fits(candidates[at].window) {
            Ok(()) => high = at,
            Err(e @ Error::Limit { .. }) => (low, problem) = (at + 1, Some(e)),
            Err(e) => return Err(e),
        }
        at = (low + high) / 2;
    }
    match (candidates.get(high), problem) {
        (Some(best), _) => TileGrid::plan(height, width, (best.window[0], best.window[1]), spec),
        (None, Some(e)) => Err(e),
        (None, None) => Ok(largest),
    }
}

#[cfg(test)]
mod tests;
