//! Lowering to the direct kernel with subgroup broadcast.

use super::FusedConv2d;
use crate::error::Result;
use crate::kernel::{Operand, View, shader_struct};
use crate::ops::gemm::broadcasts;
use crate::ops::{ConvOrder, Lowering};
use crate::tensor::LANES;

/// Output channels of a tile, for `channels` in total. With 16 the unrolled loop exceeds the instruction cache: 22 ms
/// instead of 15 ms for 16 -> 16 channels at 256 x 256.
fn tile_channels(channels: usize) -> usize {
    if channels <= 4 { 4 } else { 8 }
}

/// Output rows of the tile: as many as the instruction cache and the image allow.
fn tile_rows(rows: usize) -> usize {
    [4, 2].into_iter().find(|&r| rows >= r).unwrap_or(1)
}

shader_struct! {
    /// Parameters of `conv2d_subgroup`.
    struct SubgroupParams {
        x: View,
        y: View,
        ow: u32,
        oh: u32,
        out_blocks: u32,
        in_blocks: u32,
        pad_top: u32,
        pad_left: u32,
        /// Tiles of output channels.
        groups: u32,
        alpha: f32,
        beta: f32,
    }
}

/// One dispatch per source.
pub(super) fn lower(op: &FusedConv2d, cx: &mut Lowering) -> Result<()> {
    let out = cx.output(0);
    let lanes = broadcasts(cx.target).unwrap_or(8) as usize;
    let taps = op.conv.kernel[0] * op.conv.kernel[1];
    let (ocs, rows) = (tile_channels(out.c), tile_rows(out.h));
    let (ob, groups) = (out.c.div_ceil(LANES), out.c.div_ceil(ocs));
    for pass in op.source_passes(cx)? {
        let ib = pass.channels.div_ceil(LANES);
        let order = ConvOrder::Direct { outputs: ocs, side: 1, blocks: ib, bias_blocks: ob };
        let weights = op.pack(cx, &pass, LANES * (ob + groups * ib * taps * ocs), order);
        // A tile loads its lines and, in a few more loads, the columns to their right.
        let lines = rows + op.conv.kernel[0] - 1;
        let loads = lines + (lines * (op.conv.kernel[1] - 1)).div_ceil(lanes);
        cx.reads(pass.operand, (loads * groups) as f64 / rows as f64);
        let params = SubgroupParams {
            x: pass.view,
            y: cx.output_view(0),
            ow: out.w as u32,
            oh: out.h as u32,
            out_blocks: ob as u32,
            in_blocks: ib as u32,
            pad_top: op.conv.padding[0] as u32,
            pad_left: op.conv.padding[1] as u32,
            groups: groups as u32,
            alpha: pass.activation.arguments()[0],
            beta: pass.activation.arguments()[1],
        };
        let key = pass
            .key(op, "conv2d_subgroup")
            .with("ROWS", rows as u32)
            .with("OCS", ocs as u32)
            .with("SUBGROUP", lanes as u32);
        let bindings = [pass.operand, weights, Operand::Output(0)];
        cx.dispatch(key, params, bindings, [out.w.div_ceil(lanes), out.h.div_ceil(rows), out.n * groups])?;
    }
    Ok(())
}
