//! Gradients of a convolution: of each source by a convolution with the flipped weight, of the weight by a product over
//! pixels, of the bias by a sum.

use super::{Conv2d, Source};
use crate::error::{Error, Result};
use crate::ops::{
    ActivationGrad, Backward, ChannelSlice, ChannelSum, Concat, ConvTranspose2d, ConvWeightGrad, ConvWeightGradPlain,
    Crop2d, Emit, FlipWeights, Function, Pad2d, ValueId, WeightSource,
};
use crate::tensor::{HALO, Shape};

pub(super) fn backward(op: &Conv2d, node: &Backward, emit: &mut dyn Emit) -> Result<Vec<Option<ValueId>>> {
    let Some(mut dy) = node.grad(0) else { return Ok(vec![None; node.inputs.len()]) };
    let enlarges = op.sources.iter().any(|s| s.enlarge.is_some());
    if op.pool || enlarges {
        return Err(Error::op(
            "conv2d",
            "has no gradient where neighbours were fused into it: differentiate before rewriting",
        ));
    }
    if op.activation != Function::Identity {
        dy = emit.node("activation_grad", ActivationGrad { kind: op.activation }, &[node.outputs[0], dy])?;
    }
    if !is_dense(op) {
        return general(op, node, dy, emit);
    }
    let mut grads = vec![None; node.inputs.len()];
    let k = op.sources.len();
    let [h, w] = op.region(emit.desc(node.inputs[0]).shape);
    let mut padded = None;
    let mut first = 0;
    for (s, source) in op.sources.iter().enumerate() {
        let shape = emit.desc(node.inputs[s]).shape;
        if node.wants(s) {
            let (from, padding) = match padded {
                Some(padded) => padded,
                None => *padded.insert(pad(op, dy, emit)?),
            };
            let flip = FlipWeights { first, count: shape.c };
            let weight = emit.node("flip", flip, &[node.inputs[op.weight_input()]])?;
            let conv = Conv2d { kernel: op.kernel, padding, ..Conv2d::new(shape.c, 1, 0) };
            let dx = emit.node("grad_input", conv, &[from, weight])?;
            grads[s] = Some(uncrop(dx, shape, source, [h, w], emit)?);
        }
        first += shape.c;
    }
    if node.wants(k) {
        let sources = op.sources.iter().map(|s| WeightSource { top: s.top, left: s.left }).collect();
        let weight = ConvWeightGrad { kernel: op.kernel, stride: 1, padding: op.padding, sources };
        let mut inputs = vec![dy];
        inputs.extend(&node.inputs[..k]);
        grads[k] = Some(emit.node("grad_weight", weight, &inputs)?);
    }
    if node.wants(k + 1) {
        grads[k + 1] = Some(emit.node("grad_bias", ChannelSum, &[dy])?);
    }
    Ok(grads)
}

/// Whether the gradient of a source is a dense convolution, and that of the weight has a kernel of its own.
fn is_dense(op: &Conv2d) -> bool {
    let reach = |axis: usize| op.padding[axis] < op.kernel[axis % 2];
    op.stride == [1; 2]
        && op.dilation == [1; 2]
        && op.groups == 1
        && (0..4).all(reach)
        && op.kernel.iter().all(|&k| k <= 3)
}

/// Of any geometry: the sources, put together, have the gradient of a transposed convolution with the same weight.
fn general(op: &Conv2d, node: &Backward, dy: ValueId, emit: &mut dyn Emit) -> Result<Vec<Option<ValueId>>> {
    let k = op.sources.len();
    let mut grads = vec![None; node.inputs.len()];
    let [h, w] = op.region(emit.desc(node.inputs[0]).shape);
    let shapes: Vec<Shape> = node.inputs[..k].iter().map(|&v| emit.desc(v).shape).collect();
    let channels = shapes.iter().map(|s| s.c).sum();
    let rest = |axis: usize, n: usize| {
        let span = op.dilation[axis] * (op.kernel[axis] - 1) + 1;
        (n + op.padding[axis] + op.padding[axis + 2] - span) % op.stride[axis]
    };
    if (0..k).any(|s| node.wants(s)) {
        let back = ConvTranspose2d {
            out_channels: channels,
            kernel: op.kernel,
            stride: op.stride,
            padding: op.padding,
            dilation: op.dilation,
            groups: op.groups,
            // Rows and columns at the end that no window reached.
            output_padding: [rest(0, h), rest(1, w)],
            bias: false,
            activation: Function::Identity,
        };
        let dx = emit.node("grad_input", back, &[dy, node.inputs[op.weight_input()]])?;
        let mut first = 0;
        for (s, source) in op.sources.iter().enumerate() {
            let count = shapes[s].c;
            if node.wants(s) {
                let part = if k == 1 { dx } else { emit.node("grad_part", ChannelSlice { first, count }, &[dx])? };
                grads[s] = Some(uncrop(part, shapes[s], source, [h, w], emit)?);
            }
            first += count;
        }
    }
    if node.wants(k) {
        let mut parts = Vec::with_capacity(k);
        for ((&input, source), s) in node.inputs[..k].iter().zip(&op.sources).zip(&shapes) {
            let crop = Crop2d { top: source.top, left: source.left, h, w };
            parts.push(if (s.h, s.w) == (h, w) { input } else { emit.node("grad_crop", crop, &[input])? });
        }
        let x = if k == 1 { parts[0] } else { emit.node("grad_concat", Concat, &parts)? };
        let weight = ConvWeightGradPlain {
            kernel: op.kernel,
            stride: op.stride,
            padding: op.padding,
            dilation: op.dilation,
            groups: op.groups,
        };
        grads[k] = Some(weight.emit(dy, x, emit)?);
    }
    if node.wants(k + 1) {
        grads[k + 1] = Some(emit.node("grad_bias", ChannelSum, &[dy])?);
    }
    Ok(grads)
}

/// The gradient of the result with so much padding added that the rest, the second value, is at most the halo.
fn pad(op: &Conv2d, dy: ValueId, emit: &mut dyn Emit) -> Result<(ValueId, [usize; 4])> {
    let [kh, kw] = op.kernel;
    let mut padding = [kh, kw, kh, kw];
    for (p, forward) in padding.iter_mut().zip(op.padding) {
        *p = (*p - 1).checked_sub(forward).ok_or_else(|| {
            Error::op("conv2d", format!("has no gradient for padding {:?} of a kernel {:?}", op.padding, op.kernel))
        })?;
    }
    let [top, left, bottom, right] = padding.map(|p| p.saturating_sub(HALO) as i64);
    if [top, left, bottom, right] == [0; 4] {
        return Ok((dy, padding));
    }
    let padded = emit.node("grad_pad", Pad2d { left, right, top, bottom }, &[dy])?;
    Ok((padded, padding.map(|p| p.min(HALO))))
}

/// The gradient of a whole source from that of the region that was read.
fn uncrop(dx: ValueId, shape: Shape, source: &Source, [h, w]: [usize; 2], emit: &mut dyn Emit) -> Result<ValueId> {
    if (shape.h, shape.w) == (h, w) {
        return Ok(dx);
    }
    let pad = Pad2d {
        left: source.left as i64,
        right: (shape.w - source.left - w) as i64,
        top: source.top as i64,
        bottom: (shape.h - source.top - h) as i64,
    };
    emit.node("grad_uncrop", pad, &[dx])
}
