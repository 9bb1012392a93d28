//! Lowering to the implicit GEMM.

use super::FusedConv2d;
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, OperandPath};
use crate::ops::conv2d::params::GemmParams;
use crate::ops::gemm::Tile;
use crate::ops::{ConvOrder, Lowering};
use crate::tensor::LANES;

/// One dispatch per source.
pub(super) fn lower(op: &FusedConv2d, cx: &mut Lowering) -> Result<()> {
    let out = cx.output(0);
    let taps = op.conv.kernel[0] * op.conv.kernel[1];
    let tile = Tile::choose(cx.target, out.c, out.pixels(), out.n, true);
    // One to three channels leave much of a vec4 empty, so K blocks then run across taps. With subgroup broadcast that
    // saves less than 1 % of a network's time, and is one more kernel to compile.
    let few = |channels: usize| match tile.path {
        OperandPath::Workgroup | OperandPath::Matrix => channels <= 3 && taps > 1,
        OperandPath::Subgroup | OperandPath::Uniform => false,
    };
    let passes = op.source_passes(cx)?;
    let tile = if passes.iter().any(|p| few(p.channels)) { tile.gathering() } else { tile };
    let (ob, tiles) = (out.c.div_ceil(LANES), out.c.div_ceil(tile.rows));
    for pass in passes {
        let ib = pass.channels.div_ceil(LANES);
        let few = few(pass.channels);
        let channels = if few { pass.channels } else { tile.packed(ib) * LANES };
        let needed = (taps * channels).div_ceil(LANES);
        let steps = if few { Tile::packed_gathered(needed) } else { needed };
        let order = ConvOrder::Gemm { tile: tile.order(), steps, channels, bias_blocks: ob };
        let weights = op.pack(cx, &pass, LANES * (ob + tiles * steps * tile.rows), order);
        cx.reads(pass.operand, (taps * tiles) as f64 / (op.conv.stride[0] * op.conv.stride[1]) as f64);
        let rows_first = tile.rows_first(tiles, steps, op.region(cx.input(0)).iter().product::<usize>() * ib);
        // With subgroup broadcast a constant kernel size gains nothing, and one kernel serves all sizes.
        let key = match tile.path {
            OperandPath::Subgroup => pass.finish(KernelKey::new("conv2d_gemm")),
            OperandPath::Workgroup | OperandPath::Matrix | OperandPath::Uniform => pass.key(op, "conv2d_gemm"),
        };
        let key = match few {
            true => tile.constants_gathered(key, out.c, needed, channels),
            false => tile.constants(key, out.c, ib),
        };
        for (first, blocks) in tile.dispatches(cx.target, out.pixels()) {
            let params = GemmParams {
                x: pass.view,
                y: cx.output_view(0),
                ow: out.w as u32,
                oh: out.h as u32,
                out_blocks: ob as u32,
                in_blocks: ib as u32,
                pad_top: op.conv.padding[0] as u32,
                pad_left: op.conv.padding[1] as u32,
                stride_y: op.conv.stride[0] as u32,
                stride_x: op.conv.stride[1] as u32,
                dilation_y: op.conv.dilation[0] as u32,
                dilation_x: op.conv.dilation[1] as u32,
                steps: steps as u32,
                first_block: first as u32,
                kh: op.conv.kernel[0] as u32,
                kw: op.conv.kernel[1] as u32,
                rows_first: rows_first.into(),
                up: 0,
                alpha: pass.activation.arguments()[0],
                beta: pass.activation.arguments()[1],
            };
            let bindings = [pass.operand, weights, Operand::Output(0)];
            let grid = if rows_first { [tiles, blocks, out.n] } else { [blocks, tiles, out.n] };
            cx.dispatch(key.clone(), params, bindings, grid)?;
        }
    }
    Ok(())
}
