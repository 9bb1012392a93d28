//! Lowering to the direct kernel through workgroup memory.

use super::Conv2d;
use crate::error::Result;
use crate::kernel::{Caps, Operand, preset};
use crate::ops::Lowering;
use crate::tensor::{LANES, Shape};

/// Output channels of an invocation.
const SIDE: usize = 8;

/// Output rows of an invocation.
const ROWS: usize = 8;

/// A workgroup's share of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    /// Output channels.
    channels: usize,
    /// Columns.
    width: usize,
    /// Rows in eights.
    bands: usize,
}

/// The blocks that kernels are made for: 64 to 256 invocations, at most 16 KiB of pixels and weights with 3x3 taps.
const BLOCKS: [Block; 5] = [
    Block { channels: 64, width: 16, bands: 2 },
    Block { channels: 32, width: 16, bands: 2 },
    Block { channels: 16, width: 32, bands: 2 },
    Block { channels: 64, width: 8, bands: 1 },
    Block { channels: 32, width: 16, bands: 1 },
];

impl Block {
    fn choose(caps: &Caps, out: Shape) -> Self {
        BLOCKS.into_iter().min_by_key(|b| b.cost(caps, out)).unwrap_or(BLOCKS[0])
    }

    /// As [`crate::ops::gemm::Tile`]'s: multiply-adds of the blocks that cover the output and their loads, and more where
    /// too few invocations fill the device.
    fn cost(self, caps: &Caps, out: Shape) -> usize {
        let full = preset(caps.class).invocations.max(1);
        let [x, y, z] = self.grid(out);
        let (rows, taps) = (self.bands * ROWS, 9);
        let blocks = x * y * z;
        let loads = (self.width + 2) * (rows + 2) + taps * self.channels;
        let work = blocks * (taps * self.channels * self.width * rows + 16 * loads);
        work * full / (blocks * self.channels / SIDE * self.width * self.bands).clamp(1, full)
    }

    fn grid(self, out: Shape) -> [usize; 3] {
        [out.w.div_ceil(self.width), out.h.div_ceil(self.bands * ROWS), out.n * out.c.div_ceil(self.channels)]
    }
}

/// One dispatch per source.
pub(super) fn lower(op: &Conv2d, cx: &mut Lowering) -> Result<()> {
    let out = cx.output(0);
    let taps = op.kernel[0] * op.kernel[1];
    let block = Block::choose(cx.caps, out);
    let (tm, ob, tiles) = (block.channels, out.c.div_ceil(LANES), out.c.div_ceil(block.channels));
    for part in op.parts(cx)? {
        let ib = part.channels.div_ceil(LANES);
        let weights = op.pack(cx, &part, LANES * (ob + tiles * ib * taps * tm), move |o, i, t| {
            let row = o % tm;
            // As the invocations read workgroup memory: neighbours side by side, each one's channels apart.
            let vec4 = (((o / tm) * ib + i / LANES) * taps + t) * tm + row % SIDE * (tm / SIDE) + row / SIDE;
            (ob + vec4) * LANES + i % LANES
        });
        let mut params = Vec::with_capacity(20);
        params.extend(part.view);
        params.extend(cx.output_view(0));
        params.extend([out.w, out.h, ob, ib].map(|v| v as u32));
        params.extend([op.padding[0], op.padding[1], tiles, op.kernel[1]].map(|v| v as u32));
        params.extend([part.activation.slope().to_bits(), 0, 0, 0]);
        let key = part
            .key(op, "conv2d_window")
            .with("TM", tm as u32)
            .with("BW", block.width as u32)
            .with("BANDS", block.bands as u32)
            .flag("WHOLE", out.c.is_multiple_of(tm));
        let bindings = [part.operand, weights, Operand::Output(0)];
        cx.dispatch(key, params, bindings, block.grid(out))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fit_every_device() {
        for b in BLOCKS {
            let pixels = (b.width + 2) * (b.bands * ROWS + 2);
            assert!((pixels + 9 * b.channels) * 16 <= 16 << 10, "{b:?}");
            let invocations = b.channels / SIDE * b.width * b.bands;
            assert!((64..=256).contains(&invocations), "{b:?}");
        }
    }
}
