//! Building blocks shared by the three networks.

use crate::error::Result;
use crate::graph::{Graph, ValueId};
use crate::ops::{
    BatchNorm2d, Concat, Conv2d, ConvTranspose2d, Function, MaskRule, Resize, ResizeMode, ResizeSize, Softmax, Unary,
};

/// PyTorch's default, used by every network of the family.
pub(super) const BN_EPS: f32 = 1e-5;

/// Options of all 3x3 convolutions of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvStyle {
    /// Zero padding: 1 keeps the size, 0 loses a pixel on each side.
    pub padding: usize,
    /// Batch normalisation after the convolution.
    pub norm: bool,
    /// Bias of the convolution.
    pub bias: bool,
}

/// A convolution with parameters `{name}.weight` and, if `op.bias`, `{name}.bias`.
pub(super) fn conv(g: &mut Graph, name: &str, x: ValueId, op: Conv2d) -> Result<ValueId> {
    let dims = [op.out_channels, g.shape(x).c, op.kernel[0], op.kernel[1]];
    let mut inputs = vec![x, g.parameter(format!("{name}.weight"), &dims)?];
    if op.bias {
        inputs.push(g.parameter(format!("{name}.bias"), &dims[..1])?);
    }
    g.node(name, op, &inputs)
}

/// The names of a [`conv_norm_relu`].
pub(super) struct UnitNames<'a> {
    /// Label of the result.
    pub label: &'a str,
    /// Label and parameter prefix of the convolution.
    pub conv: &'a str,
    /// Label and parameter prefix of the batch normalisation.
    pub norm: &'a str,
}

/// conv3x3 -> [BN] -> ReLU with parameters `{conv}.*` and `{norm}.*`.
pub(super) fn conv_norm_relu(
    g: &mut Graph,
    names: UnitNames,
    x: ValueId,
    out: usize,
    style: ConvStyle,
) -> Result<ValueId> {
    let mut y = conv(g, names.conv, x, Conv2d::new(out, 3, style.padding).with_bias(style.bias))?;
    if style.norm {
        let mut inputs = vec![y];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            inputs.push(g.parameter(format!("{}.{part}", names.norm), &[out])?);
        }
        y = g.node(names.norm, BatchNorm2d { eps: BN_EPS }, &inputs)?;
    }
    g.node(names.label, Unary { kind: Function::Relu }, &[y])
}

/// The double convolution of a level: `[N, C, H, W]` -> `[N, out, H', W']`. The result is labelled `name`.
pub(super) fn double_conv(
    g: &mut Graph,
    name: &str,
    x: ValueId,
    mid: usize,
    out: usize,
    style: ConvStyle,
) -> Result<ValueId> {
    let part = |p: &str| format!("{name}.{p}");
    let (relu1, conv1, bn1, conv2, bn2) = (part("relu1"), part("conv1"), part("bn1"), part("conv2"), part("bn2"));
    let y = conv_norm_relu(g, UnitNames { label: &relu1, conv: &conv1, norm: &bn1 }, x, mid, style)?;
    conv_norm_relu(g, UnitNames { label: name, conv: &conv2, norm: &bn2 }, y, out, style)
}

/// The 2x2 transposed convolution with stride 2, parameters `{name}.weight` `[C, out, 2, 2]` and `{name}.bias`.
pub(super) fn up_conv(g: &mut Graph, name: &str, x: ValueId, out: usize) -> Result<ValueId> {
    let weight = g.parameter(format!("{name}.weight"), &[g.shape(x).c, out, 2, 2])?;
    let bias = g.parameter(format!("{name}.bias"), &[out])?;
    g.node(name, ConvTranspose2d::up2(out), &[x, weight, bias])
}

/// Upsamples by an integer factor; a factor of 1 adds no node.
pub(super) fn resize(g: &mut Graph, label: &str, x: ValueId, factor: usize, mode: ResizeMode) -> Result<ValueId> {
    match factor {
        1 => Ok(x),
        _ => g.node(label, Resize { mode, size: ResizeSize::Scale(factor) }, &[x]),
    }
}

/// Concatenation along the channel axis; a single part adds no node.
pub(super) fn concat(g: &mut Graph, label: &str, parts: &[ValueId]) -> Result<ValueId> {
    match parts {
        [one] => Ok(*one),
        _ => g.node(label, Concat, parts),
    }
}

/// Logits to class probabilities: sigmoid for one class, softmax over several.
pub(super) fn probability(g: &mut Graph, label: &str, logits: ValueId) -> Result<ValueId> {
    match g.shape(logits).c {
        1 => sigmoid(g, label, logits),
        _ => g.node(label, Softmax, &[logits]),
    }
}

/// The logistic function.
pub(super) fn sigmoid(g: &mut Graph, label: &str, x: ValueId) -> Result<ValueId> {
    g.node(label, Unary { kind: Function::Sigmoid }, &[x])
}

/// The mask rule for [`probability`].
pub(super) fn mask_rule(classes: usize) -> MaskRule {
    if classes == 1 { MaskRule::Threshold(0.5) } else { MaskRule::Argmax }
}
