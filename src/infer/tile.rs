//! Exact tiling: which windows of an image the network runs on, and which pixels of each are kept.
//!
//! Tiled output equals the output of one run on the whole image, pixel for pixel, because every kept pixel sees what
//! it would see there: the same pixels, the same pooling grid (windows start at multiples of `align` from each other)
//! and no window edge closer than `halo` unless it is the edge of the whole run too. One axis at a time; a grid is the
//! product of two.
//!
//! On an axis, a run on `input` pixels gives `output = input - 2 * margin`. The whole run takes the smallest legal input
//! whose output covers the image: it starts `margin` before the image, and what is missing on either side is
//! mirrored.

use std::ops::Range;

use crate::error::{Error, Result};
pub use crate::ops::mirror;

/// Pixels per side that coordinates on the device can count.
const MAX_LENGTH: usize = i32::MAX as usize;

/// What tiling must know of a network, for one axis. Legal inputs are `minimum + k * align`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileSpec {
    /// Shifts of the input by multiples of this shift the output and change nothing else; `2^depth`.
    pub align: usize,
    /// Output pixels closer than this to the edge of a window inside the image are wrong; 0 without padding.
    pub halo: usize,
    /// Pixels lost on each side; 0 with padding `same`, 92 for 572 -> 388.
    pub margin: usize,
    /// Smallest legal input.
    pub minimum: usize,
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

    /// The smallest window that several of can cover an image.
    pub fn smallest_tile(&self) -> Result<usize> {
        let Self { align, halo, margin, minimum } = *self;
        let lost = margin.checked_mul(2);
        let min = || lost?.checked_add(halo.checked_mul(2)?)?.checked_add(align);
        match (lost, min()) {
            (Some(lost), Some(min)) if align > 0 && minimum > lost => self.legal(min),
            _ => Err(Error::invalid("tiling", format!("{self:?} describes no network"))),
        }
    }

    /// The input of a run on a whole image of `length` pixels.
    pub(super) fn whole(&self, length: usize) -> Result<usize> {
        self.legal(length.saturating_add(2 * self.margin))
    }

    /// The largest legal input of at most `length`; `length` itself if there is none.
    pub(super) fn largest_within(&self, length: usize) -> usize {
        length - length.checked_sub(self.minimum).map_or(0, |over| over % self.align)
    }

    /// The smallest legal input of at least `length`.
    pub(super) fn legal(&self, length: usize) -> Result<usize> {
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
    /// The image's pixels that this window provides.
    pub valid: Range<usize>,
    /// Where `valid.start` is in the window's output.
    pub offset: usize,
}

/// The windows of one axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AxisPlan {
    /// Pixels of the image.
    pub length: usize,
    /// Output pixels of a run on the whole image: the image, extended at its end so that the size is legal.
    pub padded: usize,
    /// Input pixels of every window.
    pub window: usize,
    /// Output pixels of every window.
    pub output: usize,
    /// The windows, in the order of the pixels they keep. Together these are the image, each pixel once.
    pub windows: Vec<AxisWindow>,
}

/// Plans windows of at most `window` input pixels over an axis of `length` pixels.
///
/// The size used is the largest legal one not above `window`; an image that fits gets one window. Fails if windows of
/// that size keep nothing, and says which tile would do.
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
    let (mut start, mut kept) = (0, 0);
    while kept < length {
        // At the padded edge the window ends as the whole run does: everything up to it is right.
        let right = if start == last { start + output } else { start + output - halo };
        let valid = kept..right.min(length);
        kept = valid.end;
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

/// The windows of an image: every row window with every column window.
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

    /// Whether there is no tile; never so for a planned grid.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tiles in row-major order.
    pub fn iter(&self) -> impl Iterator<Item = Tile> + '_ {
        let columns = &self.columns.windows;
        self.rows.windows.iter().flat_map(move |y| columns.iter().map(move |x| Tile { y: y.clone(), x: x.clone() }))
    }
}

/// The smallest range of real pixels from which every pixel of a tile can be fetched by [`mirror`]; never longer than the
/// tile or the image.
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
    // The walk over the tile goes up and down between the edges; it turns where it meets one.
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
