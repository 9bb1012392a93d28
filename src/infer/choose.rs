//! Which tiles an image is cut into: those of the least work that fit.

use super::tile::{TileGrid, TileSpec};
use crate::error::{Error, Result};

/// One axis cut into `count` windows of `window` input pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    window: usize,
    count: usize,
}

/// The sizes of window worth trying on an axis, the largest first: what cuts it into 1, 2, 3, .. windows, one by one up to
/// 16 and in steps of an eighth beyond; none above `cap`, the largest legal one under it, and the smallest.
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

/// A grid with the work it takes.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Input pixels of all tiles.
    work: u128,
    /// What one takes, in whatever unit.
    size: u128,
    tiles: u128,
    window: [usize; 2],
}

/// The candidates that may be the best: in the order of their work, each with smaller tiles than all before it.
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

/// The grid of the least work whose tiles, of at most `cap` pixels a side, fit. `size` is about what a tile takes; `fits` fails with [`Error::Limit`] for
/// rows and columns that do not; what does not fit is taken not to fit larger either, so few are tried.
pub(super) fn choose(
    [height, width]: [usize; 2],
    cap: usize,
    spec: &TileSpec,
    size: impl Fn([usize; 2]) -> u128,
    mut fits: impl FnMut([usize; 2]) -> Result<()>,
) -> Result<TileGrid> {
    // Also says so if `cap` is too small.
    let largest = TileGrid::plan(height, width, (cap, cap), spec)?;
    let candidates = candidates(&cuts(height, cap, spec)?, &cuts(width, cap, spec)?, size);
    // All before `low` do not fit; the one at `high`, if any, does.
    let (mut low, mut high) = (0, candidates.len());
    let mut problem = None;
    // The first is the likeliest: most images fit as they are.
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
