//! Which family of kernels a convolution runs on: a pure function of geometry, channels and device.

use super::Conv2d;
use crate::kernel::{Caps, ConvFamily, preset};
use crate::ops::Lowering;
use crate::ops::gemm::broadcasts;
use crate::tensor::{HALO, Shape};

/// The family of an ungrouped convolution.
pub(super) fn choose(op: &Conv2d, cx: &Lowering) -> ConvFamily {
    if let Some(forced) = cx.caps.conv.filter(|&f| applies(f, op, cx.caps)) {
        return forced;
    }
    let channels: usize = cx.inputs[..op.sources.len()].iter().map(|i| i.shape.c).sum();
    // Winograd saves 3/4 of the multiply-adds, as the product of the channels, and costs transforms, as their sum.
    let transforms = preset(cx.caps.class).winograd;
    let winograd = channels * op.out_channels > transforms * (channels + op.out_channels);
    // Best first; the last one always applies.
    let order = [
        (ConvFamily::Winograd2, winograd && few_tiles_for_large_weights(op, channels, cx.output(0))),
        (ConvFamily::Winograd, winograd),
        // Few rows make the product read each pixel nine times for little.
        (ConvFamily::Subgroup, op.kernel != [1; 2] && op.out_channels <= 4),
        // The narrowest tile of workgroup memory has 16 rows.
        (ConvFamily::Gemm, broadcasts(cx.caps) || op.out_channels > 8),
        (ConvFamily::Tile, true),
    ];
    let best = order.into_iter().find(|&(f, pays)| pays && applies(f, op, cx.caps));
    best.map_or(ConvFamily::Plain, |b| b.0)
}

/// Whether the weights of F(4, 3) are much larger than what they work on, as in deep layers: those of F(2, 3) are less
/// than half as large (1024 to 1024 channels: 67 MB, not 151), and the few tiles leave the product waiting for weights
/// anyway.
fn few_tiles_for_large_weights(op: &Conv2d, channels: usize, out: Shape) -> bool {
    let tiles = out.n * out.h.div_ceil(4) * out.w.div_ceil(4);
    36 * op.out_channels * channels * 4 > 64 << 20 && tiles <= 32
}

fn applies(family: ConvFamily, op: &Conv2d, caps: &Caps) -> bool {
    let dense = op.stride == [1; 2] && op.dilation == [1; 2];
    // The zero halo stands for the padding.
    let halo = op.padding.iter().all(|&p| p <= HALO);
    match family {
        ConvFamily::Plain => true,
        ConvFamily::Tile => dense && halo,
        ConvFamily::Subgroup => {
            dense && halo && broadcasts(caps) && op.kernel.iter().all(|&k| k <= 3)
        }
        ConvFamily::Winograd | ConvFamily::Winograd2 => dense && halo && op.kernel == [3; 2],
        ConvFamily::Gemm => halo,
    }
}
