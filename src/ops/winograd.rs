//! What convolutions by Winograd's algorithm and their weight gradients share: the input transform, and chunks of tiles.

use super::Lowering;
use super::resize::Axis;
use crate::kernel::{Preset, View, shader_struct};
use crate::tensor::LANES;

shader_struct! {
    /// Parameters of `winograd_in`.
    pub(super) struct WinogradInParams {
        x: View,
        /// Used if the source is upsampled.
        columns: Axis,
        rows: Axis,
        column_factor: f32,
        row_factor: f32,
        /// Tiles per row.
        tiles_x: u32,
        /// Tiles per image.
        image_tiles: u32,
        /// Last row and column that a window reads.
        last_row: u32,
        last_column: u32,
        pad_top: u32,
        pad_left: u32,
        /// Size of the upsampled map.
        up_h: u32,
        up_w: u32,
        /// First tile of the chunk, and number of tiles.
        first_tile: u32,
        tiles: u32,
        tile_blocks: u32,
        /// Sum of C/4 over all sources.
        steps: u32,
        /// First channel block of this source.
        first_block: u32,
        h: u32,
        w: u32,
    }
}

/// Tiles of a chunk, a multiple of `block`: as many as keep both buffers in the last-level cache.
pub(super) fn chunk_tiles(cx: &Lowering, tiles: usize, block: usize, channel_blocks: usize, points: usize) -> usize {
    let per_tile = (points * LANES * channel_blocks) as u64 * cx.target.options.precision.bytes();
    let Preset { chunk_bytes: budget, chunk_tiles: min, .. } = cx.target.preset();
    // Both buffers together stay below the binding limit, whatever the budget.
    let max = (cx.target.caps.max_binding_bytes.min(128 << 20) / per_tile) as usize;
    let requested = ((budget / per_tile) as usize).max(min).min(max).min(tiles);
    requested.div_ceil(block).max(1) * block
}
