//! The tile of the generated matrix product: which one, and where its weights lie.

use crate::kernel::{Caps, Images, KernelKey};

/// Subgroup size that the broadcast kernels are written for.
pub(crate) const SUBGROUP: u32 = 8;

/// A workgroup's share of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Rows: output channels.
    pub rows: usize,
    /// Columns in eights: pixels or Winograd tiles.
    pub eights: usize,
    /// Whether operands are spread by subgroup broadcast, else by workgroup memory.
    pub subgroup: bool,
}

impl Tile {
    /// The best tile for `rows` x `columns` on a device. `image` says whether the columns' operand can be an image where
    /// images are used; the weights always can.
    pub fn choose(caps: &Caps, rows: usize, columns: usize, image: bool) -> Self {
        if !broadcasts(caps) {
            // 8 x 8 a thread: half the reads of workgroup memory per multiply-add of 4 x 8.
            return Self { rows: if rows > 32 { 64 } else { 32 }, eights: 8, subgroup: false };
        }
        // Cost of the blocks that cover the product, measured on lavapipe, in tenths of ns for a step of K: loads of
        // weights and columns, and four multiply-adds for each of the sums. 64 x 8 sums are more than a loop that
        // stays in the caches of the decoder.
        let load = |image: bool| if image { 80 } else { 400 };
        let images = caps.images != Images::Never;
        let (weight, column) = (load(images), load(images && image));
        let tiles = [64, 32, 16, 8, 4].into_iter().flat_map(|r| [8, 4, 2].map(|e| (r, e))).filter(|t| t.0 * t.1 <= 256);
        let cost = |&(r, e): &(usize, usize)| {
            rows.div_ceil(r) * columns.div_ceil(e * 8) * (weight * r.div_ceil(8) + column * e + 4 * 2 * r * e)
        };
        let (rows, eights) = tiles.min_by_key(cost).unwrap_or((64, 4));
        Self { rows, eights, subgroup: true }
    }

    /// Columns of the tile.
    pub fn columns(self) -> usize {
        self.eights * 8
    }

    /// The blocks that cover `columns`, in as few dispatches as the grid's limit allows: first block and number.
    pub fn dispatches(self, caps: &Caps, columns: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (blocks, most) = (columns.div_ceil(self.columns()), caps.max_workgroups.max(1) as usize);
        (0..blocks).step_by(most).map(move |first| (first, most.min(blocks - first)))
    }

    /// Whether the tiles of the same columns should run one after the other: what they share is then still in a cache,
    /// and the weights are read again for the next columns. That pays where the weights, of `steps` vec4s a row in
    /// `tiles` tiles of rows, are less than the `input` of one picture, in vec4s. Measured on lavapipe: 320 channels at
    /// 128 x 128 to 576, 152 ms without and 109 with; 128 to 4 x 64 at 128 x 128, 57 and 29.
    pub fn rows_first(self, tiles: usize, steps: usize, input: usize) -> bool {
        tiles > 1 && tiles * steps * self.rows < input
    }

    /// The key of a kernel around the product for `rows` rows, with the tile's constants.
    pub fn constants(self, key: KernelKey, rows: usize) -> KernelKey {
        key.with("TM", self.rows as u32)
            .with("TN", self.eights as u32)
            .flag("WHOLE", rows.is_multiple_of(self.rows))
            .flag("SUBGROUP", self.subgroup)
    }

    /// Index of the weight vec4 of a row and step of K in `[rows/TM][steps][TM]`.
    pub fn weight(self, steps: usize, row: usize, step: usize) -> usize {
        ((row / self.rows) * steps + step) * self.rows + row % self.rows
    }
}

/// Whether operands are best spread by subgroup broadcast on this device.
pub(crate) fn broadcasts(caps: &Caps) -> bool {
    caps.subgroup == Some(SUBGROUP)
}
