//! Exact tiling: the windows of an image that the network runs on, and the valid region of each.
//!
//! Tiled output equals the output of one run on the whole image, pixel for pixel, because every valid pixel has the
//! same inputs as there: the same pixels, the same pooling grid (window starts differ by multiples of `align`), and no
//! window edge closer than `halo` unless it is also the edge of the whole run. Axes are planned separately; a grid is
//! the product of two.
//!
//! On an axis, a run on `input` pixels gives `output = input - 2 * margin`. The whole run uses the smallest legal input
//! whose output covers the image: it starts `margin` before the image, and missing pixels on either side are mirrored.

use std::ops::Range;

use crate::error::{Error, Result};
pub use crate::ops::mirror;

/// Maximum side length that coordinates on the device can represent.
const MAX_LENGTH: usize = i32::MAX as usize;

/// Tiling requirements of a network, for one axis. Legal inputs are `minimum + k * align`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileSpec {
    /// Shifting the input by a multiple of this only shifts the output; `2^depth`.
    pub align: usize,
    /// Width of the invalid margin at window edges inside the image; 0 if no layer reads beyond its map.
    pub halo: usize,
    /// Pixels lost on each side; 0 with padding `same`, 92 for 572 -> 388.
    pub margin: usize,
    /// Smallest legal input.
    pub minimum: usize,
}

/// Whether networks can be tiled so that the result equals that of one run on the whole image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tileability {
    /// With tiles that meet these requirements.
    Exact(TileSpec),
    /// Not at all, for this reason.
    Impossible(String),
}

impl TileSpec {
    /// A network with padding `same`: inputs are multiples of `align`.
    pub const fn same(align: usize, halo: usize) -> Self {
        Self { align, halo, margin: 0, minimum: align }
    }

    /// A network without padding, which loses `margin` on each side.
    pub const fn valid(align: usize, margin: usize, minimum: usize) -> Self {
        Self { align, halo: 0, margin, minimum }
    }

    /// The smallest window size with which several windows can cover an image.
    pub fn smallest_tile(&self) -> Result<usize> {
        let Self { align, halo, margin, minimum } = *self;
        let lost = margin.checked_mul(2);
        let min = || lost?.checked_add(halo.checked_mul(2)?)?.checked_add(align);
        match (lost, min()) {
            (Some(lost), Some(min)) if align > 0 && minimum > lost => self.legal(min),
            _ => Err(Error::invalid("tiling", format!("{self:?} describes no network"))),
        }
    }

    /// Input size of a run on a whole image of `length` pixels.
    pub(in crate::low_level::infer) fn whole(&self, length: usize) -> Result<usize> {
        self.legal(length.saturating_add(2 * self.margin))
    }

    /// The largest legal input of at most `length`; `length` itself if there is none.
    pub(in crate::low_level::infer) fn largest_within(&self, length: usize) -> usize {
        length - length.checked_sub(self.minimum).map_or(0, |over| over % self.align)
    }

    /// The smallest legal input of at least `length`.
    pub(in crate::low_level::infer) fn legal(&self, length: usize) -> Result<usize> {
        let steps = length.saturating_sub(self.minimum).div_ceil(self.align);
        steps
            .checked_mul(self.align)
            .and_then(|n| n.checked_add(self.minimum))
            .filter(|&n| n <= MAX_LENGTH)
            .ok_or_else(|| Error::invalid("image", format!("{length} pixels are too many for one side")))
    }
}

/// One window on one axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AxisWindow {
    /// First input pixel in image coordinates; negative inside the margin before the image.
    pub start: isize,
    /// Valid region in image coordinates.
    pub valid: Range<usize>,
    /// Position of `valid.start` in the window's output.
    pub offset: usize,
}

/// The windows of one axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AxisPlan {
    /// Pixels of the image.
    pub length: usize,
    /// Output pixels of a run on the whole image, which is extended at its end to a legal size.
    pub padded: usize,
    /// Input pixels of every window.
    pub window: usize,
    /// Output pixels of every window.
    pub output: usize,
    /// The windows in order of their valid regions, which partition the image.
    pub windows: Vec<AxisWindow>,
}

/// Plans windows of at most `window` input pixels over an axis of `length` pixels.
///
/// Uses the largest legal size not above `window`; an image that fits gets one window. Fails if windows of that size
/// have no valid region; the error names a usable size.
pub fn plan_axis(length: usize, window: usize, spec: &TileSpec) -> Result<AxisPlan> {
    let smallest = spec.smallest_tile()?;
    let TileSpec { align, halo, margin, .. } = *spec;
    if length == 0 {
        return Err(Error::invalid("image", "has no pixels"));
    }
    let whole = spec.whole(length)?;
    let padded = whole - 2 * margin;
    // Legal inputs are far below isize::MAX.
    let input_start = |output_start: usize| output_start as isize - margin as isize;
    if window >= whole {
        let only = AxisWindow { start: input_start(0), valid: 0..length, offset: 0 };
        return Ok(AxisPlan { length, padded, window: whole, output: padded, windows: vec![only] });
    }
    if window < smallest {
        let usable = smallest.min(whole);
        let reason = format!("{window} pixels are too few for this network; the smallest usable tile is {usable}");
        return Err(Error::invalid("tile", reason));
    }
    let window = spec.largest_within(window);
    let output = window - 2 * margin;
    let stride = (output - 2 * halo) / align * align;
    // Both sizes are legal, so the last start is a multiple of `align` too.
    let last = padded - output;
    let mut windows = Vec::new();
    let (mut start, mut covered) = (0, 0);
    while covered < length {
        // At the padded edge the window ends where the whole run does: everything up to it is valid.
        let valid_end = if start == last { start + output } else { start + output - halo };
        let valid = covered..valid_end.min(length);
        covered = valid.end;
        windows.push(AxisWindow { start: input_start(start), offset: valid.start - start, valid });
        start = (start + stride).min(last);
    }
    Ok(AxisPlan { length, padded, window, output, windows })
}

/// A window of an image: a row window and a column window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Rows.
    pub y: AxisWindow,
    /// Columns.
    pub x: AxisWindow,
}

/// The windows of an image: all pairs of row and column windows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TileGrid {
    /// The vertical axis.
    pub rows: AxisPlan,
    /// The horizontal axis.
    pub columns: AxisPlan,
}

impl TileGrid {
    /// Plans tiles of at most `tile` (rows, columns) input pixels over an image of `height` x `width`.
    pub fn plan(height: usize, width: usize, tile: (usize, usize), spec: &TileSpec) -> Result<Self> {
        Ok(Self { rows: plan_axis(height, tile.0, spec)?, columns: plan_axis(width, tile.1, spec)? })
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.rows.windows.len() * self.columns.windows.len()
    }

    /// Whether there are no tiles; never true for a planned grid.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tiles in row-major order.
    pub fn iter(&self) -> impl Iterator<Item = Tile> + '_ {
        let columns = &self.columns.windows;
        self.rows.windows.iter().flat_map(move |y| columns.iter().map(move |x| Tile { y: y.clone(), x: x.clone() }))
    }
}

/// The smallest range of image pixels from which [`mirror`] can fetch every pixel of a tile; never longer than the tile
/// or the image.
pub fn source_window(tile_start: isize, tile_len: usize, image_len: usize) -> Range<usize> {
    let first = mirror(tile_start, image_len);
    if tile_len == 0 || image_len == 0 {
        return first..first;
    }
    if image_len == 1 {
        return 0..1;
    }
    let edge = image_len as i128 - 1;
    let period = 2 * edge;
    // Mirrored coordinates bounce between the image's edges.
    let begin = (tile_start as i128).rem_euclid(period);
    let end = begin + (tile_len as i128 - 1);
    let fold = |i: i128| {
        let phase = i.rem_euclid(period);
        phase.min(period - phase)
    };
    let meets = |at: i128| (begin..=end).contains(&at) || (begin..=end).contains(&(at + period));
    let low = if meets(0) { 0 } else { fold(begin).min(fold(end)) };
    let high = if meets(edge) { edge } else { fold(begin).max(fold(end)) };
    low as usize..high as usize + 1
}

#[cfg(test)]
mod tests;
