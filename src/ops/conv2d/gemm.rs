//! Lowering to the implicit matrix product.

use super::Conv2d;
use crate::error::Result;
use crate::kernel::Operand;
use crate::ops::Lowering;
use crate::ops::gemm::Tile;
use crate::tensor::LANES;

/// One dispatch per source.
pub(super) fn lower(op: &Conv2d, cx: &mut Lowering) -> Result<()> {
    let out = cx.output(0);
    let taps = op.kernel[0] * op.kernel[1];
    let tile = Tile::choose(cx.caps, out.c, out.pixels());
    let (ob, tiles) = (out.c.div_ceil(LANES), out.c.div_ceil(tile.rows));
    for part in op.parts(cx) {
        let ib = part.channels.div_ceil(LANES);
        let weights = op.pack(cx, &part, LANES * (ob + tiles * taps * ib * tile.rows), move |o, i, t| {
            (ob + tile.weight(taps * ib, o, t * ib + i / LANES)) * LANES + i % LANES
        });
        let mut params = Vec::with_capacity(24);
        params.extend(op.view(cx, &part));
        params.extend(cx.output_view(0));
        params.extend([out.w, out.h, ob, ib].map(|v| v as u32));
        params.extend([op.padding[0], op.padding[1], op.stride[0], op.stride[1]].map(|v| v as u32));
        params.extend([op.dilation[0], op.dilation[1], 0, 0].map(|v| v as u32));
        params.extend([part.activation.slope().to_bits(), 0, 0, 0]);
        let key = tile.constants(part.key(op, "conv2d_gemm"), out.c);
        let bindings = [Operand::Input(part.source), weights, Operand::Output(0)];
        cx.dispatch(key, params, bindings, [out.pixels().div_ceil(tile.columns()), tiles, out.n])?;
    }
    Ok(())
}
