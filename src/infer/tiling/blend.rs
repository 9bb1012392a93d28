//! Overlapping tiles averaged with Gaussian weights, as in nnU-Net and MONAI: for networks that cannot be tiled
//! exactly, and for comparison with those programs.
//!
//! Weights are a Gaussian with sigma = tile side / 8 around the centre. Tiles are at most half a side apart, evenly
//! spaced (nnU-Net's `compute_gaussian` and `compute_steps_for_sliding_window`, step 0.5). The planes that decide the
//! class are averaged, and so are probabilities and geometry. The result differs from a run on the whole image.

use super::assembly::{Assembly, Emitter, TileIndex, TilePositions, TileResult};
use super::buffers::{no_ids, zeros};
use crate::error::{Error, Result};
use crate::infer::mask::Ids;
use crate::infer::source::ImageSource;
use crate::ops::MaskRule;

/// One axis of overlapping tiles.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::low_level::infer) struct BlendAxis {
    /// Pixels of the image.
    pub length: usize,
    /// Pixels of a tile; may exceed a small image.
    pub tile: usize,
    /// First pixels of the tiles, ascending.
    pub starts: Vec<usize>,
    /// Weight of a tile's pixels.
    weight: Vec<f32>,
    /// Sum of all tiles' weights over the image's pixels.
    total: Vec<f32>,
}

impl BlendAxis {
    /// Covers `length` pixels with tiles of `tile` pixels.
    pub(crate) fn new(length: usize, tile: usize) -> Self {
        let left = length.saturating_sub(tile);
        let count = (2 * left).div_ceil(tile.max(1)) + 1;
        let step = if count > 1 { left as f64 / (count - 1) as f64 } else { 0.0 };
        let starts: Vec<usize> = (0..count).map(|i| (step * i as f64).round_ties_even() as usize).collect();
        let sigma = tile as f64 / 8.0;
        let distance = |i: usize| i as f64 - (tile / 2) as f64;
        let weight: Vec<f32> =
            (0..tile).map(|i| (-distance(i) * distance(i) / (2.0 * sigma * sigma)).exp() as f32).collect();
        let mut total = vec![0.0f32; length];
        for &start in &starts {
            total.iter_mut().skip(start).zip(&weight).for_each(|(sum, w)| *sum += w);
        }
        Self { length, tile, starts, weight, total }
    }
}

/// Rows and columns of overlapping tiles.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::low_level::infer) struct BlendGrid {
    pub rows: BlendAxis,
    pub columns: BlendAxis,
}

impl BlendGrid {
    pub(crate) fn new([height, width]: [usize; 2], [h, w]: [usize; 2]) -> Self {
        Self { rows: BlendAxis::new(height, h), columns: BlendAxis::new(width, w) }
    }
}

impl From<&BlendGrid> for TilePositions {
    fn from(BlendGrid { rows, columns }: &BlendGrid) -> Self {
        let starts = |axis: &BlendAxis| axis.starts.iter().map(|&s| s as isize).collect();
        Self { shape: [rows.tile, columns.tile], rows: starts(rows), columns: starts(columns) }
    }
}

/// Assembles overlapping tiles. A tile's planes are `decision` planes that decide the class, then probabilities and geometry
/// if needed. Rows are emitted once no further tile covers them.
pub(in crate::low_level::infer) struct Blended<'a> {
    grid: &'a BlendGrid,
    rule: MaskRule,
    decision: usize,
    /// Weighted sums of rows, from the first row of the current tiles.
    sums: Vec<f32>,
}

impl<'a> Blended<'a> {
    pub(crate) fn new(grid: &'a BlendGrid, rule: MaskRule, decision: usize) -> Self {
        Self { grid, rule, decision, sums: Vec::new() }
    }
}

impl Assembly for Blended<'_> {
    fn positions(&self) -> TilePositions {
        self.grid.into()
    }

    fn take(
        &mut self,
        tile: TileIndex,
        result: &TileResult,
        source: &mut dyn ImageSource,
        out: &mut Emitter,
    ) -> Result<()> {
        let Self { grid, decision, sums, .. } = self;
        let BlendGrid { rows, columns } = *grid;
        let (Some(&first), Some(&left)) = (rows.starts.get(tile.row), columns.starts.get(tile.column)) else {
            return Err(Error::invalid("tile", "lies outside the grid"));
        };
        let [h, w, width] = [rows.tile, columns.tile, columns.length];
        let planes = *decision + out.info.values(out.needs);
        let reach = h.min(rows.length);
        if (tile.row, tile.column) == (0, 0) {
            *sums = zeros(planes * reach * width)?;
        }
        if result.planes.len() != planes * h * w {
            return Err(Error::invalid("tile", "the network's output differs in size from the plan"));
        }
        for (plane, values) in result.planes.chunks_exact((h * w).max(1)).enumerate() {
            for ((y, line), wy) in values.chunks_exact(w.max(1)).enumerate().zip(&rows.weight).take(reach) {
                let at = (plane * reach + y) * width;
                let to = sums.get_mut(at + left..at + width).unwrap_or_default();
                to.iter_mut().zip(line.iter().zip(&columns.weight)).for_each(|(sum, (v, wx))| *sum += v * (wy * wx));
            }
        }
        if !tile.ends_row {
            return Ok(());
        }
        // Rows above the next row of tiles are final.
        let end = rows.starts.get(tile.row + 1).copied().unwrap_or(rows.length).min(rows.length);
        let ready = end - first;
        self.emit(Ready { first, rows: ready, reach }, source, out)?;
        for plane in self.sums.chunks_exact_mut((reach * width).max(1)) {
            plane.copy_within(ready * width.., 0);
            plane.iter_mut().skip((reach - ready) * width).for_each(|v| *v = 0.0);
        }
        Ok(())
    }
}

/// Rows of sums that no further tile covers.
struct Ready {
    /// First row in the image.
    first: usize,
    /// Number of rows.
    rows: usize,
    /// Rows per plane of sums.
    reach: usize,
}

impl Blended<'_> {
    /// Converts rows of sums to means and classes, and emits them.
    fn emit(&mut self, ready: Ready, source: &mut dyn ImageSource, out: &mut Emitter) -> Result<()> {
        let (Ready { first, rows, reach }, grid, rule, decision) = (ready, self.grid, self.rule, self.decision);
        let (width, sums) = (grid.columns.length, &mut self.sums);
        for plane in sums.chunks_exact_mut((reach * width).max(1)) {
            for (row, wy) in plane.chunks_exact_mut(width.max(1)).zip(grid.rows.total.iter().skip(first)).take(rows) {
                row.iter_mut().zip(&grid.columns.total).for_each(|(v, wx)| *v /= wy * wx);
            }
        }
        let mut ids = no_ids(out.info.classes.len(), rows * width)?;
        for i in 0..rows * width {
            let value = |c: usize| sums.get(c * reach * width + i).copied().unwrap_or(f32::NEG_INFINITY);
            let class = rule.class(decision, value);
            match &mut ids {
                Ids::U8(v) => v.iter_mut().skip(i).take(1).for_each(|id| *id = class as u8),
                Ids::U16(v) => v.iter_mut().skip(i).take(1).for_each(|id| *id = class as u16),
            }
        }
        let values = sums.get(decision * reach * width..).unwrap_or_default();
        out.rows(source, rows, &ids, values, reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tile_positions_match_nnunet() {
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
