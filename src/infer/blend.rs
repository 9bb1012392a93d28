//! Tiles that overlap and are averaged with Gaussian weights, as nnU-Net and MONAI do it: for networks that cannot be tiled
//! exactly, and to compare with those.
//!
//! Weights are a Gaussian of the tile's edge / 8 around its middle, tiles lie half an edge apart or a little less, spread
//! evenly (nnU-Net's `compute_gaussian` and `compute_steps_for_sliding_window`, step 0.5). What is averaged is what the
//! network decides on, and its probabilities. The result is not that of the whole image.

use super::mask::Ids;
use super::source::ImageSource;
use super::stream::{Assembly, Emitter, TileResult, no_ids, zeros};
use crate::error::{Error, Result};
use crate::ops::MaskRule;

/// One axis of overlapping tiles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BlendAxis {
    /// Pixels of the image.
    pub length: usize,
    /// Pixels of a tile; may reach beyond a small image.
    pub tile: usize,
    /// First pixels of the tiles, ascending.
    pub starts: Vec<usize>,
    /// Weight of a tile's pixels.
    weight: Vec<f32>,
    /// Sum of all tiles' weights over the image's pixels.
    total: Vec<f32>,
}

impl BlendAxis {
    /// Tiles of `tile` pixels over `length`.
    pub fn new(length: usize, tile: usize) -> Self {
        let left = length.saturating_sub(tile);
        let count = (2 * left).div_ceil(tile.max(1)) + 1;
        let step = if count > 1 { left as f64 / (count - 1) as f64 } else { 0.0 };
        let starts: Vec<usize> = (0..count).map(|i| (step * i as f64).round_ties_even() as usize).collect();
        let sigma = tile as f64 / 8.0;
        let far = |i: usize| i as f64 - (tile / 2) as f64;
        let weight: Vec<f32> = (0..tile).map(|i| (-far(i) * far(i) / (2.0 * sigma * sigma)).exp() as f32).collect();
        let mut total = vec![0.0f32; length];
        for &start in &starts {
            total.iter_mut().skip(start).zip(&weight).for_each(|(sum, w)| *sum += w);
        }
        Self { length, tile, starts, weight, total }
    }
}

/// Rows and columns of overlapping tiles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BlendGrid {
    pub rows: BlendAxis,
    pub columns: BlendAxis,
}

impl BlendGrid {
    pub fn new([height, width]: [usize; 2], [h, w]: [usize; 2]) -> Self {
        Self { rows: BlendAxis::new(height, h), columns: BlendAxis::new(width, w) }
    }
}

/// Puts overlapping tiles together. A tile's planes are `decision` planes that the class is decided on, then probabilities
/// if they are needed. Rows go on when no further tile covers them.
pub(super) struct Blended<'a> {
    grid: &'a BlendGrid,
    rule: MaskRule,
    decision: usize,
    /// Weighted sums of the rows from the first of the present tiles on.
    sums: Vec<f32>,
}

impl<'a> Blended<'a> {
    pub fn new(grid: &'a BlendGrid, rule: MaskRule, decision: usize) -> Self {
        Self { grid, rule, decision, sums: Vec::new() }
    }
}

impl Assembly for Blended<'_> {
    fn tiles(&self) -> usize {
        self.grid.rows.starts.len() * self.grid.columns.starts.len()
    }

    fn shape(&self) -> [usize; 2] {
        [self.grid.rows.tile, self.grid.columns.tile]
    }

    fn start(&self, tile: usize) -> [isize; 2] {
        let BlendGrid { rows, columns } = self.grid;
        let across = columns.starts.len().max(1);
        [rows.starts.get(tile / across), columns.starts.get(tile % across)].map(|s| s.map_or(0, |&s| s as isize))
    }

    fn take(
        &mut self,
        tile: usize,
        result: &TileResult,
        source: &mut dyn ImageSource,
        out: &mut Emitter,
    ) -> Result<()> {
        let [first, left] = self.start(tile).map(isize::unsigned_abs);
        let Self { grid, rule, decision, sums } = self;
        let BlendGrid { rows, columns } = *grid;
        let [h, w, width] = [rows.tile, columns.tile, columns.length];
        let planes = *decision + if out.needs.probabilities { out.info.planes } else { 0 };
        let (reach, across) = (h.min(rows.length), columns.starts.len().max(1));
        if tile == 0 {
            *sums = zeros(planes * reach * width)?;
        }
        if result.planes.len() != planes * h * w {
            return Err(Error::invalid("tile", "the network's output has another size than planned"));
        }
        for (plane, values) in result.planes.chunks_exact((h * w).max(1)).enumerate() {
            for ((y, line), wy) in values.chunks_exact(w.max(1)).enumerate().zip(&rows.weight).take(reach) {
                let at = (plane * reach + y) * width;
                let to = sums.get_mut(at + left..at + width).unwrap_or_default();
                to.iter_mut().zip(line.iter().zip(&columns.weight)).for_each(|(sum, (v, wx))| *sum += v * (wy * wx));
            }
        }
        if !(tile + 1).is_multiple_of(across) {
            return Ok(());
        }
        // Up to the next row of tiles all is said.
        let end = rows.starts.get(tile / across + 1).copied().unwrap_or(rows.length).min(rows.length);
        let ready = end - first;
        emit(source, grid, (*rule, *decision), out, sums, [first, ready, reach])?;
        for plane in sums.chunks_exact_mut((reach * width).max(1)) {
            plane.copy_within(ready * width.., 0);
            plane.iter_mut().skip((reach - ready) * width).for_each(|v| *v = 0.0);
        }
        Ok(())
    }
}

/// Turns the first `ready` rows of sums into means and classes, and hands them on.
fn emit(
    source: &mut dyn ImageSource,
    grid: &BlendGrid,
    (rule, decision): (MaskRule, usize),
    out: &mut Emitter,
    sums: &mut [f32],
    [first, ready, reach]: [usize; 3],
) -> Result<()> {
    let width = grid.columns.length;
    for plane in sums.chunks_exact_mut((reach * width).max(1)) {
        for (row, wy) in plane.chunks_exact_mut(width.max(1)).zip(grid.rows.total.iter().skip(first)).take(ready) {
            row.iter_mut().zip(&grid.columns.total).for_each(|(v, wx)| *v /= wy * wx);
        }
    }
    let mut ids = no_ids(out.info.classes.len(), ready * width)?;
    for i in 0..ready * width {
        let value = |c: usize| sums.get(c * reach * width + i).copied().unwrap_or(f32::NEG_INFINITY);
        let class = rule.class(decision, value);
        match &mut ids {
            Ids::U8(v) => v.iter_mut().skip(i).take(1).for_each(|id| *id = class as u8),
            Ids::U16(v) => v.iter_mut().skip(i).take(1).for_each(|id| *id = class as u16),
        }
    }
    let probabilities = sums.get(decision * reach * width..).unwrap_or_default();
    out.rows(source, ready, &ids, probabilities, reach)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_as_nnunet_lays_them() {
        // By the formula of nnU-Net's compute_steps_for_sliding_window, worked out by hand; nnU-Net itself was not run.
        let starts = |length, tile| BlendAxis::new(length, tile).starts;
        assert_eq!(starts(110, 64), [0, 23, 46]);
        assert_eq!(starts(64, 64), [0]);
        assert_eq!(starts(65, 64), [0, 1]);
        assert_eq!(starts(1000, 256), [0, 124, 248, 372, 496, 620, 744]);
        assert_eq!(starts(30, 64), [0]);
    }

    #[test]
    fn weights_are_a_gaussian_of_an_eighth() {
        let axis = BlendAxis::new(64, 64);
        assert_eq!((axis.weight[32], axis.weight[40]), (1.0, (-0.5f64).exp() as f32));
        assert!((axis.weight[0] / (-8.0f64).exp() as f32 - 1.0).abs() < 1e-6);
        let many = BlendAxis::new(1000, 64);
        assert!(many.total.iter().all(|&t| t > 0.0));
    }
}
