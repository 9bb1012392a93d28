//! Lowering to the direct kernel with workgroup memory.

use super::FusedConv2d;
use crate::error::Result;
use crate::kernel::{Operand, Target, View, shader_struct};
use crate::ops::{ConvOrder, Lowering};
use crate::tensor::{LANES, Shape};

/// Output channels per invocation.
const SIDE: usize = 8;

/// Output rows per invocation.
const ROWS: usize = 8;

/// The block of the output that a workgroup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    /// Output channels.
    channels: usize,
    /// Columns.
    width: usize,
    /// Rows / 8.
    bands: usize,
}

/// Available blocks: 64 to 256 invocations, at most 16 KiB of pixels and weights with 3x3 taps.
const BLOCKS: [Block; 5] = [
    Block { channels: 64, width: 16, bands: 2 },
    Block { channels: 32, width: 16, bands: 2 },
    Block { channels: 16, width: 32, bands: 2 },
    Block { channels: 64, width: 8, bands: 1 },
    Block { channels: 32, width: 16, bands: 1 },
];

impl Block {
    fn choose(target: &Target, out: Shape) -> Self {
        BLOCKS.into_iter().min_by_key(|b| b.cost(target, out)).unwrap_or(BLOCKS[0])
    }

    /// As for [`crate::ops::gemm::Tile`]: multiply-adds and loads of the blocks that cover the output, scaled up if
    /// there are too few invocations to fill the device.
    fn cost(self, target: &Target, out: Shape) -> usize {
        let full = target.preset().invocations.max(1);
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

shader_struct! {
    /// Parameters of `conv2d_window`.
    struct WindowParams {
        x: View,
        y: View,
        ow: u32,
        oh: u32,
        out_blocks: u32,
        in_blocks: u32,
        pad_top: u32,
        pad_left: u32,
        /// Tiles of output channels.
        tiles: u32,
        kw: u32,
        alpha: f32,
        beta: f32,
    }
}

/// One dispatch per source.
pub(super) fn lower(op: &FusedConv2d, cx: &mut Lowering) -> Result<()> {
    let out = cx.output(0);
    let taps = op.conv.kernel[0] * op.conv.kernel[1];
    let block = Block::choose(cx.target, out);
    let (tm, ob, tiles) = (block.channels, out.c.div_ceil(LANES), out.c.div_ceil(block.channels));
    for pass in op.source_passes(cx)? {
        let ib = pass.channels.div_ceil(LANES);
        // The order in which workgroup memory is read: neighbouring invocations read adjacent vec4s.
        let order = ConvOrder::Direct { outputs: tm, side: SIDE, blocks: ib, bias_blocks: ob };
        let weights = op.pack(cx, &pass, LANES * (ob + tiles * ib * taps * tm), order);
        let params = WindowParams {
            x: pass.view,
            y: cx.output_view(0),
            ow: out.w as u32,
            oh: out.h as u32,
            out_blocks: ob as u32,
            in_blocks: ib as u32,
            pad_top: op.conv.padding[0] as u32,
            pad_left: op.conv.padding[1] as u32,
            tiles: tiles as u32,
            kw: op.conv.kernel[1] as u32,
            alpha: pass.activation.arguments()[0],
            beta: pass.activation.arguments()[1],
        };
        let key = pass
            .key(op, "conv2d_window")
            .with("TM", tm as u32)
            .with("BW", block.width as u32)
            .with("BANDS", block.bands as u32)
            .flag("WHOLE", out.c.is_multiple_of(tm));
        let bindings = [pass.operand, weights, Operand::Output(0)];
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
