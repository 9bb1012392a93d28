//! Gradients of a convolution: for each source a convolution with the flipped weight, for the weight a product over
//! pixels, for the bias a sum.

use super::JoinedConv2d;
use crate::error::{Error, Result};
use crate::ops::{
    Backward, ChannelSlice, ChannelSum, Concat, Conv2d, ConvTranspose2d, ConvWeightGrad, ConvWeightGradPlain, Corner,
    Crop2d, FlipWeights, GraphBuilder, Pad2d, ValueId,
};
use crate::tensor::{HALO, Shape};

pub(super) fn backward(
    op: &JoinedConv2d,
    node: &Backward,
    builder: &mut dyn GraphBuilder,
) -> Result<Vec<Option<ValueId>>> {
    let Some(dy) = node.grad(0) else { return Ok(vec![None; node.inputs.len()]) };
    if !is_dense(op) {
        return general(op, node, dy, builder);
    }
    let mut grads = vec![None; node.inputs.len()];
    let k = op.sources.len();
    let [h, w] = region(op, builder.desc(node.inputs[0]).shape);
    let mut padded = None;
    let mut first = 0;
    for (s, source) in op.sources.iter().enumerate() {
        let shape = builder.desc(node.inputs[s]).shape;
        if node.needs_grad(s) {
            let (from, padding) = match padded {
                Some(padded) => padded,
                None => *padded.insert(pad(op, dy, builder)?),
            };
            let flip = FlipWeights { first, count: shape.c };
            let weight = builder.node("flip", flip, &[node.inputs[op.sources.len()]])?;
            let conv = Conv2d { kernel: op.conv.kernel, padding, ..Conv2d::new(shape.c, 1, 0) };
            let dx = builder.node("grad_input", conv, &[from, weight])?;
            grads[s] = Some(uncrop(dx, shape, source, [h, w], builder)?);
        }
        first += shape.c;
    }
    if node.needs_grad(k) {
        let sources = op.sources.clone();
        let weight = ConvWeightGrad { kernel: op.conv.kernel, stride: 1, padding: op.conv.padding, sources };
        let mut inputs = vec![dy];
        inputs.extend(&node.inputs[..k]);
        grads[k] = Some(builder.node("grad_weight", weight, &inputs)?);
    }
    if node.needs_grad(k + 1) {
        grads[k + 1] = Some(builder.node("grad_bias", ChannelSum, &[dy])?);
    }
    Ok(grads)
}

/// Rows and columns of the region, where `first` is the first input's shape.
fn region(op: &JoinedConv2d, first: Shape) -> [usize; 2] {
    op.region.unwrap_or([first.h, first.w])
}

/// Whether the gradient of a source is a dense convolution, and that of the weight is a [`ConvWeightGrad`].
fn is_dense(op: &JoinedConv2d) -> bool {
    let reach = |axis: usize| op.conv.padding[axis] < op.conv.kernel[axis % 2];
    op.conv.stride == [1; 2]
        && op.conv.dilation == [1; 2]
        && op.conv.groups == 1
        && (0..4).all(reach)
        && op.conv.kernel.iter().all(|&k| k <= 3)
}

/// Any geometry: the gradient of the concatenated sources is a transposed convolution with the same weight.
fn general(
    op: &JoinedConv2d,
    node: &Backward,
    dy: ValueId,
    builder: &mut dyn GraphBuilder,
) -> Result<Vec<Option<ValueId>>> {
    let k = op.sources.len();
    let mut grads = vec![None; node.inputs.len()];
    let [h, w] = region(op, builder.desc(node.inputs[0]).shape);
    let shapes: Vec<Shape> = node.inputs[..k].iter().map(|&v| builder.desc(v).shape).collect();
    let channels = shapes.iter().map(|s| s.c).sum();
    let remainder = |axis: usize, n: usize| {
        let span = op.conv.dilation[axis] * (op.conv.kernel[axis] - 1) + 1;
        (n + op.conv.padding[axis] + op.conv.padding[axis + 2] - span) % op.conv.stride[axis]
    };
    if (0..k).any(|s| node.needs_grad(s)) {
        let back = ConvTranspose2d {
            out_channels: channels,
            kernel: op.conv.kernel,
            stride: op.conv.stride,
            padding: op.conv.padding,
            dilation: op.conv.dilation,
            groups: op.conv.groups,
            // Rows and columns at the end that no window reaches.
            output_padding: [remainder(0, h), remainder(1, w)],
            bias: false,
        };
        let dx = builder.node("grad_input", back, &[dy, node.inputs[op.sources.len()]])?;
        let mut first = 0;
        for (s, source) in op.sources.iter().enumerate() {
            let count = shapes[s].c;
            if node.needs_grad(s) {
                let part = if k == 1 { dx } else { builder.node("grad_part", ChannelSlice { first, count }, &[dx])? };
                grads[s] = Some(uncrop(part, shapes[s], source, [h, w], builder)?);
            }
            first += count;
        }
    }
    if node.needs_grad(k) {
        let mut parts = Vec::with_capacity(k);
        for ((&input, source), s) in node.inputs[..k].iter().zip(&op.sources).zip(&shapes) {
            let crop = Crop2d { top: source.top, left: source.left, h, w };
            parts.push(if (s.h, s.w) == (h, w) { input } else { builder.node("grad_crop", crop, &[input])? });
        }
        let x = if k == 1 { parts[0] } else { builder.node("grad_concat", Concat, &parts)? };
        let weight = ConvWeightGradPlain {
            kernel: op.conv.kernel,
            stride: op.conv.stride,
            padding: op.conv.padding,
            dilation: op.conv.dilation,
            groups: op.conv.groups,
        };
        grads[k] = Some(weight.emit(dy, x, builder)?);
    }
    if node.needs_grad(k + 1) {
        grads[k + 1] = Some(builder.node("grad_bias", ChannelSum, &[dy])?);
    }
    Ok(grads)
}

/// Pads the gradient of the result so that the remaining padding, the second value, is at most the halo.
fn pad(op: &JoinedConv2d, dy: ValueId, builder: &mut dyn GraphBuilder) -> Result<(ValueId, [usize; 4])> {
    let [kh, kw] = op.conv.kernel;
    let mut padding = [kh, kw, kh, kw];
    for (p, forward) in padding.iter_mut().zip(op.conv.padding) {
        *p = (*p - 1).checked_sub(forward).ok_or_else(|| {
            Error::op(
                "conv2d",
                format!("has no gradient for padding {:?} of a kernel {:?}", op.conv.padding, op.conv.kernel),
            )
        })?;
    }
    let [top, left, bottom, right] = padding.map(|p| p.saturating_sub(HALO) as i64);
    if [top, left, bottom, right] == [0; 4] {
        return Ok((dy, padding));
    }
    let padded = builder.node("grad_pad", Pad2d { left, right, top, bottom }, &[dy])?;
    Ok((padded, padding.map(|p| p.min(HALO))))
}

/// The gradient of a whole source from that of its region.
fn uncrop(
    dx: ValueId,
    shape: Shape,
    source: &Corner,
    [h, w]: [usize; 2],
    builder: &mut dyn GraphBuilder,
) -> Result<ValueId> {
    if (shape.h, shape.w) == (h, w) {
        return Ok(dx);
    }
    let pad = Pad2d {
        left: source.left as i64,
        right: (shape.w - source.left - w) as i64,
        top: source.top as i64,
        bottom: (shape.h - source.top - h) as i64,
    };
    builder.node("grad_uncrop", pad, &[dx])
}
