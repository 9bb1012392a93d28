//! Exact Euclidean distance transform.

use crate::parallel::*;

/// The nearest site of a pixel.
#[derive(Clone, Copy)]
pub(crate) struct Nearest {
    /// Squared distance; `u64::MAX` if there is no site.
    pub squared: u64,
    /// Index of its pixel; `usize::MAX` if there is none.
    pub site: usize,
}

/// The site nearest to every pixel: the exact Euclidean distance transform in integers, columns first, then rows
/// (Meijster, Roerdink, Hesselink, "A general algorithm for computing distance transforms in linear time", 2000).
pub(crate) fn nearest_sites(width: usize, pixels: usize, is_site: impl Fn(usize) -> bool) -> Vec<Nearest> {
    let rows = nearest_rows(width, pixels, is_site);
    let mut out = vec![Nearest { squared: u64::MAX, site: NONE }; pixels];
    let rows_of = |y: usize| &rows[y * width..(y + 1) * width];
    out.par_chunks_mut(width).enumerate().for_each(|(y, line)| nearest_in_line(rows_of(y), y, line));
    out
}

/// [`nearest_sites`] on the calling thread: for small windows, of which many threads have one each.
pub(crate) fn nearest_sites_here(width: usize, pixels: usize, is_site: impl Fn(usize) -> bool) -> Vec<Nearest> {
    let rows = nearest_rows(width, pixels, is_site);
    let mut out = vec![Nearest { squared: u64::MAX, site: NONE }; pixels];
    out.chunks_mut(width)
        .zip(rows.chunks(width))
        .enumerate()
        .for_each(|(y, (line, rows))| nearest_in_line(rows, y, line));
    out
}

/// No row, or no pixel.
const NONE: usize = usize::MAX;

/// The row of the nearest site in the same column, for every pixel.
fn nearest_rows(width: usize, pixels: usize, is_site: impl Fn(usize) -> bool) -> Vec<usize> {
    // First among those above, then also among those below.
    let mut row_of = vec![NONE; pixels];
    for i in 0..pixels {
        row_of[i] = match is_site(i) {
            true => i / width,
            false => i.checked_sub(width).map_or(NONE, |above| row_of[above]),
        };
    }
    for i in (0..pixels.saturating_sub(width)).rev() {
        let (y, below) = (i / width, row_of[i + width]);
        if below != NONE && (row_of[i] == NONE || below.abs_diff(y) < row_of[i].abs_diff(y)) {
            row_of[i] = below;
        }
    }
    row_of
}

/// The nearest sites of the pixels of row `y`, where those in the same column are in `rows`.
fn nearest_in_line(rows: &[usize], y: usize, line: &mut [Nearest]) {
    let width = line.len();
    let vertical = |c: usize| (rows[c].abs_diff(y) as i64).pow(2);
    let squared = |x: i64, c: usize| (x - c as i64).pow(2) + vertical(c);
    // Columns whose sites are nearest somewhere in this row, each with the first position where that holds.
    let mut nearest: Vec<(usize, i64)> = Vec::with_capacity(width);
    for c in (0..width).filter(|&c| rows[c] != NONE) {
        while nearest.last().is_some_and(|&(last, from)| squared(from, last) > squared(from, c)) {
            nearest.pop();
        }
        let from = match nearest.last() {
            None => 0,
            Some(&(last, _)) => {
                let (l, r) = (last as i64, c as i64);
                1 + (r * r - l * l + vertical(c) - vertical(last)) / (2 * (r - l))
            }
        };
        if from < width as i64 {
            nearest.push((c, from));
        }
    }
    let mut at = nearest.len();
    for (x, pixel) in line.iter_mut().enumerate().rev() {
        while at > 0 && nearest[at - 1].1 > x as i64 {
            at -= 1;
        }
        if let Some(&(c, _)) = at.checked_sub(1).and_then(|i| nearest.get(i)) {
            *pixel = Nearest { squared: squared(x as i64, c) as u64, site: rows[c] * width + c };
        }
    }
}
