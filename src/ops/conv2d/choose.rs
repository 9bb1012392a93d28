//! Which family of kernels a convolution runs on: a pure function of geometry, channels and device.

use super::Conv2d;
use crate::kernel::{Caps, ConvFamily};
use crate::ops::Lowering;
use crate::ops::gemm::broadcasts;
use crate::tensor::HALO;

/// The family of an ungrouped convolution, and why.
pub(super) fn choose(op: &Conv2d, cx: &Lowering) -> (ConvFamily, &'static str) {
    if let Some(forced) = cx.caps.conv.filter(|&f| applies(f, op, cx.caps)) {
        return (forced, "forced");
    }
    let tuned = cx.caps.tuned.as_ref().and_then(|t| t.family(&op.class(cx.inputs, cx.output(0))));
    if let Some(tuned) = tuned.filter(|&f| applies(f, op, cx.caps)) {
        return (tuned, "tuned: the fastest on this device");
    }
    let channels: usize = cx.inputs[..op.sources.len()].iter().map(|i| i.shape.c).sum();
    // Winograd saves 3/4 of the multiply-adds, as the product of the channels, and costs transforms, as their sum. The
    // factor is measured on lavapipe and untuned elsewhere. Product against Winograd, ms: 16 -> 16 channels at 256 x 256
    // 9.4 and 10.0, 32 -> 16 there 19.3 and 17.8, 16 -> 32 at 128 x 128 5.9 and 4.7, 32 -> 32 there 8.2 and 6.2.
    let transforms = if broadcasts(cx.caps) { 10 } else { 64 };
    let winograd = channels * op.out_channels > transforms * (channels + op.out_channels);
    // Best first; the last one always applies.
    let order = [
        (ConvFamily::Winograd, winograd, "3x3, channels enough to pay for transforms"),
        // Few rows make the product read each pixel nine times for little.
        (ConvFamily::Subgroup, op.kernel != [1; 2] && op.out_channels <= 4, "at most 4 output channels"),
        // Narrower tiles than 32 in workgroup memory waste half a workgroup.
        (ConvFamily::Gemm, broadcasts(cx.caps) || op.out_channels > 16, "fills a tile; Winograd would not pay"),
        (ConvFamily::Tile, true, "few channels, stride 1"),
    ];
    let best = order.into_iter().find(|&(f, pays, _)| pays && applies(f, op, cx.caps));
    best.map_or((ConvFamily::Plain, "no other kernel takes this geometry"), |b| (b.0, b.2))
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
        ConvFamily::Winograd => dense && halo && op.kernel == [3; 2],
        ConvFamily::Gemm => halo,
    }
}
