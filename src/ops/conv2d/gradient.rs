//! Gradients of a convolution: of each source by a convolution with the flipped weight, of the weight by a product over
//! pixels, of the bias by a sum.

use super::{Conv2d, Source};
use crate::error::{Error, Result};
use crate::ops::{
    ActivationGrad, ActivationKind, Backward, ChannelSum, ConvWeightGrad, Emit, FlipWeights, Pad2d, ValueId, WeightSource,
};
use crate::tensor::{HALO, Shape};

pub(super) fn backward(op: &Conv2d, node: &Backward, emit: &mut dyn Emit) -> Result<Vec<Option<ValueId>>> {
    let Some(mut dy) = node.grad(0) else { return Ok(vec![None; node.inputs.len()]) };
    let enlarges = op.sources.iter().any(|s| s.enlarge.is_some());
    if op.stride != [1; 2] || op.dilation != [1; 2] || op.groups != 1 || op.pool || enlarges {
        let reason = format!(
            "has no gradient for stride {:?}, dilation {:?}, {} groups, pooling or enlarged sources",
            op.stride, op.dilation, op.groups
        );
        return Err(Error::op("conv2d", reason));
    }
    if op.activation != ActivationKind::None {
        dy = emit.node("activation_grad", ActivationGrad { kind: op.activation }, &[node.outputs[0], dy])?;
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
