//! Weight gradient of 3x3 convolutions in Winograd's domain: the transpose of F(4, 3), with a quarter of the
//! multiplications. A chunk of tiles of x and g is transformed, a product per point sums over its tiles, and at the end
//! the sums are transformed to the gradient.

use super::conv_weight_lanes::Share;
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, View, shader_struct};
use crate::ops::winograd::{WinogradInParams, chunk_tiles};
use crate::ops::{Lowering, WinogradForm};
use crate::tensor::{LANES, Precision, Shape};

/// Tiles per block, as in most forward passes, whose kernel transforms x here too.
const COLUMNS: usize = 64;
/// Outputs of a tile along an axis.
const OUT: usize = 4;

/// The gradient in Winograd's domain.
pub(super) struct Winograd {
    /// How a subgroup computes the products.
    share: Share,
    /// Views of the sources.
    views: Vec<View>,
}

impl Winograd {
    /// Whether it is possible and pays off. The geometry is that of a [`ConvWeightGrad`](super::ConvWeightGrad).
    pub(super) fn choose(kernel: [usize; 2], stride: usize, cx: &Lowering, views: Vec<View>) -> Option<Self> {
        let (rows, channels) = (cx.input(0).c, cx.output(0).c);
        let pays = rows * channels > CHANNELS * (rows + channels);
        if kernel != [3; 2] || stride != 1 || cx.target.options.precision != Precision::F32 || !pays {
            return None;
        }
        let blocks: usize = (1..cx.inputs.len()).map(|i| cx.input(i).c.div_ceil(LANES)).sum();
        let share = Share::choose(cx, rows, blocks)?;
        // A chunk has no fewer tiles than a block, however small bindings are.
        let g = cx.input(0);
        let tiles = g.n * g.w.div_ceil(OUT) * g.h.div_ceil(OUT);
        let own = g.c.div_ceil(LANES);
        let chunk = chunk_tiles(cx, tiles, COLUMNS, blocks + own, POINTS);
        let vec4s = POINTS * (chunk * blocks.max(own)).max(rows * blocks);
        ((vec4s * LANES * 4) as u64 <= cx.target.caps.max_binding_bytes).then_some(Self { share, views })
    }

    pub(super) fn lower(&self, padding: [usize; 4], cx: &mut Lowering) -> Result<()> {
        let g = cx.input(0);
        let [tiles_x, tiles_y] = [g.w, g.h].map(|n| n.div_ceil(OUT));
        let tiles = g.n * tiles_x * tiles_y;
        let sources: Vec<Shape> = (1..cx.inputs.len()).map(|i| cx.input(i)).collect();
        let steps: usize = sources.iter().map(|s| s.c.div_ceil(LANES)).sum();
        let blocks = g.c.div_ceil(LANES);
        let chunk = chunk_tiles(cx, tiles, COLUMNS, steps + blocks, POINTS);
        let scratch = |cx: &mut Lowering, vec4s: usize| cx.scratch((vec4s * LANES * 4) as u64);
        let v = scratch(cx, POINTS * chunk * steps);
        let u = scratch(cx, POINTS * chunk * blocks);
        let m = scratch(cx, POINTS * g.c * steps);
        let share = self.share;
        cx.reads(Operand::ScratchRead(v), g.c.div_ceil(share.rows) as f64);
        cx.reads(Operand::ScratchRead(u), share.columns(steps) as f64);
        for first in (0..tiles).step_by(chunk) {
            let count = chunk.min(tiles - first);
            self.transforms(cx, padding, [first, count], [v, u])?;
            let params = WinogradGradGemmParams {
                tiles: count as u32,
                tile_blocks: count.div_ceil(COLUMNS) as u32,
                steps: steps as u32,
                blocks: blocks as u32,
                rows: g.c as u32,
                trips: count.div_ceil(share.steps()) as u32,
                add: u32::from(first > 0),
            };
            let key = share.constants(KernelKey::new("winograd_grad_gemm").with("COLUMNS", COLUMNS as u32));
            let bindings = [Operand::ScratchRead(v), Operand::ScratchRead(u), Operand::ScratchWrite(m)];
            let workgroups = [share.columns(steps), g.c.div_ceil(share.rows), POINTS];
            cx.dispatch(key, params, bindings, workgroups)?;
        }
        let (mut first, mut first4) = (0, 0);
        for s in sources {
            let own = s.c.div_ceil(LANES);
            let len = g.c * own;
            let params = WinogradGradOutParams {
                len: len as u32,
                row: cx.linear_row(len),
                steps: steps as u32,
                first4: first4 as u32,
                blocks: own as u32,
                points: (g.c * steps) as u32,
                c: s.c as u32,
                inputs: cx.output(0).c as u32,
                first: first as u32,
            };
            (first, first4) = (first + s.c, first4 + own);
            let bindings = [Operand::ScratchRead(m), Operand::Output(0)];
            cx.dispatch(KernelKey::new("winograd_grad_out"), params, bindings, cx.per_element(len))?;
        }
        Ok(())
    }

    /// The transforms of a chunk of tiles, its first tile and their number: of all sources to `v`, of g to `u`.
    fn transforms(
        &self,
        cx: &mut Lowering,
        padding: [usize; 4],
        [first, count]: [usize; 2],
        [v, u]: [usize; 2],
    ) -> Result<()> {
        let g = cx.input(0);
        let [tiles_x, tiles_y] = [g.w, g.h].map(|n| n.div_ceil(OUT));
        let steps: usize = (1..cx.inputs.len()).map(|i| cx.input(i).c.div_ceil(LANES)).sum();
        let tile_blocks = count.div_ceil(COLUMNS);
        let mut block = 0;
        for (i, &x) in (1..).zip(&self.views) {
            let s = cx.input(i);
            if first == 0 {
                cx.reads(Operand::Input(i), (POINTS as f64) / (OUT * OUT) as f64);
            }
            let params = WinogradInParams {
                x,
                tiles_x: tiles_x as u32,
                image_tiles: (tiles_x * tiles_y) as u32,
                last_row: g.h as u32 + 1,
                last_column: g.w as u32 + 1,
                pad_top: padding[0] as u32,
                pad_left: padding[1] as u32,
                first_tile: first as u32,
                tiles: count as u32,
                tile_blocks: tile_blocks as u32,
                steps: steps as u32,
                first_block: block as u32,
                h: s.h as u32,
                w: s.w as u32,
                ..WinogradInParams::default()
            };
            let key = KernelKey::new("winograd_in").with("OUT", OUT as u32).with("COLUMNS", COLUMNS as u32);
            let bindings = [Operand::Input(i), Operand::ScratchWrite(v)];
            cx.dispatch(key, params, bindings, [count.div_ceil(64), s.c.div_ceil(LANES), 1])?;
            block += s.c.div_ceil(LANES);
        }
        let padded = count.next_multiple_of(self.share.steps());
        let blocks = g.c.div_ceil(LANES);
        let params = WinogradGradInParams {
            g: cx.input_view(0),
            tiles_x: tiles_x as u32,
            image_tiles: (tiles_x * tiles_y) as u32,
            oh: g.h as u32,
            ow: g.w as u32,
            first_tile: first as u32,
            tiles: count as u32,
            padded: padded as u32,
            tile_blocks: tile_blocks as u32,
            blocks: blocks as u32,
        };
        let key = KernelKey::new("winograd_grad_in").with("COLUMNS", COLUMNS as u32);
        let bindings = [Operand::Input(0), Operand::ScratchWrite(u)];
        cx.dispatch(key, params, bindings, [padded.div_ceil(64), blocks, 1])
    }
}

/// Points of the transform.
const POINTS: usize = WinogradForm::F4.points();
/// It saves 3/4 of the multiply-adds, proportional to the product of the channels; its transforms cost in proportion to
/// their sum.
const CHANNELS: usize = 5;

shader_struct! {
    /// Parameters of `winograd_grad_in`.
    struct WinogradGradInParams {
        g: View,
        /// Tiles per row.
        tiles_x: u32,
        /// Tiles per image.
        image_tiles: u32,
        oh: u32,
        ow: u32,
        /// First tile of the chunk, and number of tiles.
        first_tile: u32,
        tiles: u32,
        /// Tiles that are written.
        padded: u32,
        tile_blocks: u32,
        /// R/4
        blocks: u32,
    }

    /// Parameters of `winograd_grad_gemm`.
    struct WinogradGradGemmParams {
        tiles: u32,
        tile_blocks: u32,
        /// C/4
        steps: u32,
        /// R/4
        blocks: u32,
        /// R
        rows: u32,
        trips: u32,
        /// 1 to add to the sums so far.
        add: u32,
    }

    /// Parameters of `winograd_grad_out`.
    struct WinogradGradOutParams {
        len: u32,
        row: u32,
        /// C/4 of all sources.
        steps: u32,
        /// First channel block of the source.
        first4: u32,
        /// ceil(c / 4)
        blocks: u32,
        /// R C/4
        points: u32,
        c: u32,
        /// I
        inputs: u32,
        first: u32,
    }
}
