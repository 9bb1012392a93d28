//! Which family of kernels a convolution runs on: a pure function of geometry, channels and device.

use super::Conv2d;
use crate::kernel::{Caps, ConvFamily};
use crate::ops::Lowering;
use crate::tensor::HALO;

/// The size that the subgroup kernels are written for.
const SUBGROUP: u32 = 8;

/// The family of an ungrouped convolution.
pub(super) fn choose(op: &Conv2d, cx: &Lowering) -> ConvFamily {
    if let Some(forced) = cx.caps.conv.filter(|&f| applies(f, op, cx.caps)) {
        return forced;
    }
    // Best first; the last one always applies.
    let order = [ConvFamily::Subgroup, ConvFamily::Tile, ConvFamily::Plain];
    order.into_iter().find(|&f| applies(f, op, cx.caps)).unwrap_or(ConvFamily::Plain)
}

fn applies(family: ConvFamily, op: &Conv2d, caps: &Caps) -> bool {
    let dense = op.stride == [1; 2] && op.dilation == [1; 2];
    // The zero halo stands for the padding.
    let halo = op.padding.iter().all(|&p| p <= HALO);
    match family {
        ConvFamily::Plain => true,
        ConvFamily::Tile => dense && halo,
        ConvFamily::Subgroup => {
            dense && halo && caps.subgroup == Some(SUBGROUP) && op.kernel.iter().all(|&k| k <= 3)
        }
        ConvFamily::Gemm | ConvFamily::Winograd => false,
    }
}
