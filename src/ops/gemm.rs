//! Tiles of the generated GEMM: choice of a tile, and order of its weights.

use super::packing::TileOrder;
use crate::kernel::{KernelKey, OperandPath, Target, TensorStorage};

/// The part of a GEMM that a workgroup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Rows: output channels.
    pub rows: usize,
    /// Columns / 8: pixels or Winograd tiles.
    pub column_blocks: usize,
    /// How operands are fetched.
    pub path: OperandPath,
    /// Size of the cooperative matrices, where they are used.
    pub matrix: usize,
    /// Lanes of a subgroup, where operands are broadcast.
    pub lanes: usize,
}

impl Tile {
    /// The best tile for `copies` GEMMs of `rows` x `columns` on a device. `texture` says whether the column operand
    /// can be a texture where textures are used; the weights always can.
    pub(super) fn choose(target: &Target, rows: usize, columns: usize, copies: usize, texture: bool) -> Self {
        let matrix = target.matrix().unwrap_or(0) as usize;
        let lanes = target.policy.broadcast_lanes.unwrap_or(8) as usize;
        // With few rows a GEMM is bound by memory, and half of a matrix would be empty.
        let path = match target.operand_path() {
            OperandPath::Matrix if rows <= 16 => OperandPath::Workgroup,
            path => path,
        };
        if let Some([rows, column_blocks]) = target.overrides.tile.filter(|t| path.tiles().contains(t)) {
            return Self { rows, column_blocks, path, matrix, lanes };
        }
        if path != OperandPath::Subgroup {
            let tiles =
                path.tiles().iter().map(|&[rows, column_blocks]| Self { rows, column_blocks, path, matrix, lanes });
            let first = Self { rows: path.tiles()[0][0], column_blocks: path.tiles()[0][1], path, matrix, lanes };
            let best = tiles.min_by_key(|t| t.cost(target, rows, columns, copies)).unwrap_or(first);
            let other = best.narrow() && target.overrides.operands.is_none();
            return if other { Self { path: target.preset().narrow, ..best } } else { best };
        }
        // Cost of the tiles that cover the product: loads of weights and columns, and multiply-adds. With 64 x 8 sums
        // in 8 lanes the unrolled loop exceeds the decoder's cache.
        let costs = target.policy.broadcast_costs();
        let textures = target.options.storage != TensorStorage::Buffers;
        let load = |texture: bool| if texture { costs.texture_load } else { costs.buffer_load };
        let (weight, column) = (load(textures), load(textures && texture));
        let vectors = |e: usize| e * 8 / lanes;
        let tiles = [64, 32, 16, 8, 4].into_iter().flat_map(|r| [8, 4, 2].map(|e| (r, e)));
        // Each tile takes half a second to compile the first time. 32 x 8 loads as little as 64 x 4 with 8 lanes, and
        // replaces 64 x 8 with 16 lanes where there is little work.
        let little = lanes == 8 || rows * columns * copies.max(1) < 1 << 22;
        let max = if textures && texture && little { 32 } else { 64 };
        let tiles = tiles.filter(|&(r, e)| r <= max && r * vectors(e) <= 256);
        let cost = |&(r, e): &(usize, usize)| {
            let loads = weight * r.div_ceil(lanes) + column * vectors(e);
            rows.div_ceil(r) * columns.div_ceil(e * 8) * (loads + costs.sum * r * vectors(e))
        };
        let (rows, column_blocks) = tiles.min_by_key(cost).unwrap_or((64, 4));
        Self { rows, column_blocks, path, matrix, lanes }
    }

    /// Cost of the product on a device with many lanes: multiply-adds and loads of the tiles that cover it, scaled up
    /// if there are too few invocations to fill the device.
    fn cost(self, target: &Target, rows: usize, columns: usize, copies: usize) -> usize {
        let (width, full) = (self.columns(), target.preset().invocations);
        let blocks = rows.div_ceil(self.rows) * columns.div_ceil(width) * copies.max(1);
        // A load goes to the L2 cache and costs about 16 multiply-adds of one lane.
        let work = blocks * (self.rows * width + 16 * (self.rows + width));
        work * full.max(1) / (blocks * self.invocations()).clamp(1, full.max(1))
    }

    fn invocations(self) -> usize {
        match self.path {
            OperandPath::Subgroup => self.lanes,
            OperandPath::Matrix => 32,
            OperandPath::Workgroup if !self.narrow() => self.rows * self.column_blocks / 8,
            OperandPath::Workgroup | OperandPath::Uniform => 64,
        }
    }

    /// Whether there are so few rows that only the weights are worth staging in workgroup memory.
    fn narrow(self) -> bool {
        self.path == OperandPath::Workgroup && self.rows <= 16
    }

    /// K blocks staged at a time, of `steps` per tap; at most 4, as workgroup memory and registers are limited.
    fn staged(self, steps: usize) -> usize {
        match self.path {
            OperandPath::Workgroup => {
                // Invocations beyond the columns stage further K blocks; both operands fit in 16 KiB.
                let min = (self.invocations() / self.columns()).max(1);
                let max = if self.narrow() { 64 / self.rows } else { 1024 / (self.rows + self.columns()) };
                let padded = |kb: &usize| steps.div_ceil(*kb) * kb * 8 + steps.div_ceil(*kb);
                let fits = [4, 2, 1].into_iter().filter(|&kb| kb <= max && kb >= min);
                fits.min_by_key(padded).unwrap_or(min)
            }
            OperandPath::Matrix => self.matrix / 4,
            OperandPath::Subgroup | OperandPath::Uniform => 1,
        }
    }

    /// The tile for 1 to 3 input channels, where vec4s of K are gathered: each invocation stages one column. With more
    /// columns Intel's compiler spills, and such layers are bound by memory anyway.
    pub(super) fn gathering(self) -> Self {
        Self { rows: 64, column_blocks: 16, path: OperandPath::Workgroup, ..self }
    }

    /// K blocks staged at a time for `steps` gathered vec4s in total, and the K blocks of the packed weights.
    fn gathered(steps: usize) -> (usize, usize) {
        let blocks = steps.div_ceil(4);
        let kb = steps.div_ceil(blocks);
        (kb, kb * blocks)
    }

    /// As [`Tile::packed`], for `steps` gathered vec4s.
    pub(super) fn packed_gathered(steps: usize) -> usize {
        Self::gathered(steps).1
    }

    /// As [`Tile::constants`], for `steps` vec4s gathered from taps of `channels` channels.
    pub(super) fn constants_gathered(self, key: KernelKey, rows: usize, steps: usize, channels: usize) -> KernelKey {
        key.with("TM", self.rows as u32)
            .with("TN", self.column_blocks as u32)
            .flag("WHOLE", rows.is_multiple_of(self.rows))
            .with("KB", Self::gathered(steps).0 as u32)
            .with("CIN", channels as u32)
    }

    /// K blocks of the packed weights for a tap of `steps` K blocks.
    pub(super) fn packed(self, steps: usize) -> usize {
        steps.next_multiple_of(self.staged(steps))
    }

    /// Columns of the tile.
    pub(super) fn columns(self) -> usize {
        self.column_blocks * 8
    }

    /// The blocks that cover `columns`, in as few dispatches as the grid's limit allows: first block and number of
    /// blocks.
    pub(super) fn dispatches(self, target: &Target, columns: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (blocks, max) = (columns.div_ceil(self.columns()), target.caps.max_workgroups.max(1) as usize);
        (0..blocks).step_by(max).map(move |first| (first, max.min(blocks - first)))
    }

    /// Whether tiles of the same columns should run consecutively, so that their input stays in a cache while the
    /// weights are read again for the next columns. That pays off if the weights, of `steps` vec4s per row in `tiles`
    /// tiles of rows, are smaller than the `input` of one image, in vec4s. Measured on a software driver at 128 x 128:
    /// 320 to 576 channels take 152 ms without and 109 ms with it, 128 to 4 x 64 channels 57 ms and 29 ms.
    pub(super) fn rows_first(self, tiles: usize, steps: usize, input: usize) -> bool {
        tiles > 1 && tiles * steps * self.rows < input
    }

    /// Adds the tile's constants to the key of a GEMM kernel with `rows` rows and `steps` K blocks per tap.
    pub(super) fn constants(self, key: KernelKey, rows: usize, steps: usize) -> KernelKey {
        let key = key
            .with("TM", self.rows as u32)
            .with("TN", self.column_blocks as u32)
            .flag("WHOLE", rows.is_multiple_of(self.rows));
        match self.path {
            OperandPath::Subgroup => key.with("SUBGROUP", self.lanes as u32),
            OperandPath::Uniform => key.flag("UNIFORM", true),
            OperandPath::Matrix => key.with("KB", self.staged(steps) as u32).with("MATRIX", self.matrix as u32),
            OperandPath::Workgroup => {
                let kb = self.staged(steps);
                let even = !self.narrow() && steps.is_multiple_of(kb);
                key.with("KB", kb as u32).flag("EVEN", even).flag("NARROW", self.narrow())
            }
        }
    }

    /// The order of the packed weights.
    pub(super) fn order(self) -> TileOrder {
        TileOrder { rows: self.rows, interleaved: self.path == OperandPath::Workgroup && !self.narrow() }
    }
}

/// Lanes of a subgroup, if subgroup broadcast is the best operand path on this device.
pub(crate) fn broadcasts(target: &Target) -> Option<u32> {
    target.policy.broadcast_lanes.filter(|_| target.operand_path() == OperandPath::Subgroup)
}
