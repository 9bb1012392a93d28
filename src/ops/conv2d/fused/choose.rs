//! Choice of the kernel family of a convolution: a pure function of geometry, channels and target.

use super::FusedConv2d;
use crate::kernel::{ConvFamily, OperandPath};
use crate::ops::Lowering;
use crate::ops::gemm::broadcasts;
use crate::tensor::{HALO, Precision, Shape};

/// The family for an ungrouped convolution, and the reason.
pub(super) fn choose(op: &FusedConv2d, cx: &Lowering) -> (ConvFamily, &'static str) {
    if cx.target.options.deterministic_tiling && applies(ConvFamily::Gemm, op, cx) {
        return (ConvFamily::Gemm, "deterministic tiling");
    }
    if let Some(forced) = cx.target.overrides.conv.filter(|&f| applies(f, op, cx)) {
        return (forced, "forced");
    }
    let tuned = cx.target.tuning.as_ref().and_then(|t| t.family(&op.class(cx.inputs, counted(cx))));
    if let Some(tuned) = tuned.filter(|&f| applies(f, op, cx)) {
        return (tuned, "tuned: the fastest on this device");
    }
    let channels: usize = cx.inputs[..op.sources.len()].iter().map(|i| i.shape.c).sum();
    // Winograd saves 3/4 of the multiply-adds, proportional to the product of the channels; its transforms cost in
    // proportion to their sum. It upsamples in the transform, where other kernels need a pass: worth as much again.
    let upsamples = op.sources.iter().any(|s| s.upsample.is_some());
    let preset = cx.target.preset();
    let training = preset.winograd_training.filter(|_| cx.training && broadcasts(cx.target) == Some(8));
    let transforms = training.unwrap_or(preset.winograd) / if upsamples { 2 } else { 1 };
    let pays = |transforms| channels * op.conv.out_channels > transforms * (channels + op.conv.out_channels);
    let winograd = pays(transforms);
    // F(2, 3) saves only 5/9, and its transforms move twice the data. It is the only Winograd form in f16.
    let winograd2 = match cx.target.options.precision {
        Precision::F32 => winograd && few_tiles_for_large_weights(op, cx, channels),
        Precision::F16 => pays(2 * transforms),
    };
    // Best first; the last one always applies.
    let order = [
        (ConvFamily::Winograd2, winograd2, "3x3; few pixels for the large weights of F(4,3), or f16"),
        (ConvFamily::Winograd, winograd, "3x3, enough channels to pay for the transforms"),
        // With few rows a GEMM reads each pixel nine times for little work. Subgroups of 16 lanes permute them one by
        // one.
        (
            ConvFamily::Subgroup,
            broadcasts(cx.target) == Some(8) && op.conv.kernel != [1; 2] && op.conv.out_channels <= 4,
            "at most 4 output channels",
        ),
        // Without subgroup broadcast, pixels are staged once for all taps instead of once per tap. Not for images: the
        // GEMM skips the empty lanes of their vec4s.
        (
            ConvFamily::Window,
            [OperandPath::Workgroup, OperandPath::Uniform].contains(&cx.target.operand_path())
                && op.conv.kernel != [1; 2]
                && channels > 3
                && op.conv.out_channels > 8,
            "Winograd would not pay; pixels are staged once for all taps",
        ),
        (ConvFamily::Gemm, true, "Winograd would not pay"),
        (ConvFamily::Tile, true, "stride 1"),
    ];
    let best = order.into_iter().find(|&(f, pays, _)| pays && applies(f, op, cx));
    best.map_or((ConvFamily::Plain, "no other kernel supports this geometry"), |b| (b.0, b.2))
}

/// The output shape that choices depend on. Families round differently, and an image must give the same result alone
/// and in a batch, so the batch size counts only in training.
fn counted(cx: &Lowering) -> Shape {
    let out = cx.output(0);
    if cx.training { out } else { Shape { n: 1, ..out } }
}

/// Whether the weights of F(4, 3) are much larger than the data, as in deep layers. With few tiles the GEMM is bound by
/// loading weights, and those of F(2, 3) are less than half as large (1024 to 1024 channels: 67 MB, not 151).
fn few_tiles_for_large_weights(op: &FusedConv2d, cx: &Lowering, channels: usize) -> bool {
    let out = counted(cx);
    let tiles = out.n * out.h.div_ceil(4) * out.w.div_ceil(4);
    let bytes = (36 * op.conv.out_channels * channels * 4) as u64;
    let preset = cx.target.preset();
    bytes > preset.winograd2_weight_bytes && tiles <= preset.winograd2_tiles
}

fn applies(family: ConvFamily, op: &FusedConv2d, cx: &Lowering) -> bool {
    let target = cx.target;
    let dense = op.conv.stride == [1; 2] && op.conv.dilation == [1; 2];
    // The zero halo serves as padding.
    let halo = op.conv.padding.iter().all(|&p| p <= HALO);
    match family {
        ConvFamily::Plain => true,
        ConvFamily::Tile => dense && halo,
        ConvFamily::Subgroup => dense && halo && broadcasts(target).is_some() && op.conv.kernel.iter().all(|&k| k <= 3),
        ConvFamily::Window => dense && halo && op.conv.kernel.iter().all(|&k| k <= 3),
        // F(4, 3) amplifies the rounding of f16 weights to 6e-3 of the output's scale, which is too much. F(2, 3) stays
        // at 7e-4.
        ConvFamily::Winograd => {
            dense
                && halo
                && op.conv.kernel == [3; 2]
                && target.options.precision == Precision::F32
                && in_one_piece(op, cx, 36)
        }
        ConvFamily::Winograd2 => dense && halo && op.conv.kernel == [3; 2] && in_one_piece(op, cx, 16),
        ConvFamily::Gemm => halo,
    }
}

/// Whether transformed weights fit in one binding, as required where they change from run to run. They are padded to
/// tiles of at most 128 rows.
fn in_one_piece(op: &FusedConv2d, cx: &Lowering, points: usize) -> bool {
    let channels: usize = cx.inputs[..op.sources.len()].iter().map(|i| i.shape.c.next_multiple_of(4)).sum();
    let bytes = points * op.conv.out_channels.next_multiple_of(128) * channels.next_multiple_of(16) * 4;
    !cx.training || bytes as u64 <= cx.target.caps.max_binding_bytes
}
