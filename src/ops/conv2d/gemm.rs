//! Lowering to the implicit matrix product.

use super::Conv2d;
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, OperandPath};
use crate::ops::Lowering;
use crate::ops::gemm::Tile;
use crate::tensor::LANES;

/// One dispatch per source.
pub(super) fn lower(op: &Conv2d, cx: &mut Lowering) -> Result<()> {
    let out = cx.output(0);
    let taps = op.kernel[0] * op.kernel[1];
    let tile = Tile::choose(cx.caps, out.c, out.pixels(), out.n, true);
    // One to three channels leave much of a vec4 empty: steps of K then go on over the taps. On lavapipe that saves less than
    // 1 % of a network, and is one more kernel to compile.
    let few = |channels: usize| match tile.path {
        OperandPath::Workgroup | OperandPath::Matrix => channels <= 3 && taps > 1,
        OperandPath::Subgroup | OperandPath::Uniform => false,
    };
    let parts = op.parts(cx)?;
    let tile = if parts.iter().any(|p| few(p.channels)) { tile.gathering() } else { tile };
    let (ob, tiles) = (out.c.div_ceil(LANES), out.c.div_ceil(tile.rows));
    for part in parts {
        let ib = part.channels.div_ceil(LANES);
        let few = few(part.channels);
        let channels = if few { part.channels } else { tile.packed(ib) * LANES };
        let needed = (taps * channels).div_ceil(LANES);
        let steps = if few { Tile::packed_gathered(needed) } else { needed };
        let weights = op.pack(cx, &part, LANES * (ob + tiles * steps * tile.rows), move |o, i, t| {
            let k = t * channels + i;
            (ob + tile.weight(steps, o, k / LANES)) * LANES + k % LANES
        });
        cx.reads(part.operand, (taps * tiles) as f64 / (op.stride[0] * op.stride[1]) as f64);
        let rows_first = tile.rows_first(tiles, steps, op.region(cx.input(0)).iter().product::<usize>() * ib);
        // On lavapipe a kernel of each size costs half a second of compiling, and a size that is known gains nothing.
        let key = match tile.path {
            OperandPath::Subgroup => part.finish(KernelKey::new("conv2d_gemm")),
            OperandPath::Workgroup | OperandPath::Matrix | OperandPath::Uniform => part.key(op, "conv2d_gemm"),
        };
        let key = match few {
            true => tile.constants_gathered(key, out.c, needed, channels),
            false => tile.constants(key, out.c, ib),
        };
        for (first, blocks) in tile.dispatches(cx.caps, out.pixels()) {
            let mut params = Vec::with_capacity(28);
            params.extend(part.view);
            params.extend(cx.output_view(0));
            params.extend([out.w, out.h, ob, ib].map(|v| v as u32));
            params.extend([op.padding[0], op.padding[1], op.stride[0], op.stride[1]].map(|v| v as u32));
            params.extend([op.dilation[0], op.dilation[1], steps, first].map(|v| v as u32));
            params.extend([op.kernel[0], op.kernel[1], usize::from(rows_first), 0].map(|v| v as u32));
            params.extend([part.activation.slope().to_bits(), 0, 0, 0]);
            let bindings = [part.operand, weights, Operand::Output(0)];
            let grid = if rows_first { [tiles, blocks, out.n] } else { [blocks, tiles, out.n] };
            cx.dispatch(key.clone(), params, bindings, grid)?;
        }
    }
    Ok(())
}
