//! Instance normalisation, and the lowering that it shares with batch normalisation in training.

use super::batch_norm::lower_scale_shift;
use super::norm_groups::lower_groups;
use super::packing::Packing;
use super::{
    Backward, Function, GraphBuilder, InputKind, InstanceNorm2dGrad, Lowering, Op, OpCase, Spatial, ValueId,
    expect_inputs, expect_per_channel, map_elements, output_shape,
};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};
use std::sync::Arc;

/// `torch.nn.InstanceNorm2d`: normalises every plane by its mean and biased variance. Inputs: x `[N, C, H, W]`, then
/// gamma and beta `[C]` if `affine`. A plane of one pixel becomes beta (PyTorch rejects it).
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceNorm2d {
    /// Added to the variance.
    pub eps: f32,
    /// Scale by gamma and add beta.
    pub affine: bool,
}

/// Planes of at least this many pixels compute their statistics in bands.
const LARGE_PLANE: usize = 1 << 14;

/// The output description of a normalisation with or without gamma and beta.
pub(super) fn infer_affine(op: &str, eps: f32, affine: bool, inputs: &[TensorDesc]) -> Result<TensorDesc> {
    expect_inputs(op, inputs, if affine { 3 } else { 1 })?;
    let s = inputs[0].shape;
    // A constant plane has variance 0.
    if !(eps > 0.0 && eps.is_finite()) {
        return Err(Error::op(op, format!("eps is {eps}")));
    }
    if s.is_empty() {
        return Err(Error::op(op, format!("input {s} is empty")));
    }
    for (name, p) in ["gamma", "beta"].iter().zip(&inputs[1..]) {
        expect_per_channel(op, name, p, s.c)?;
    }
    Ok(TensorDesc::blocked(s))
}

/// Mean and biased variance of every channel of groups of images.
pub(super) struct Statistics {
    images: usize,
    channels: usize,
    all: Vec<(f64, f64)>,
}

impl Statistics {
    /// Statistics of groups of `images` images each.
    pub(super) fn of(x: &HostTensor, images: usize) -> Result<Self> {
        let s = x.shape()?;
        let mut all = Vec::with_capacity(s.n / images * s.c);
        for first in (0..s.n).step_by(images) {
            for c in 0..s.c {
                let values = || {
                    (first..first + images).flat_map(move |n| {
                        let start = s.index(n, c, 0, 0);
                        x.data()[start..start + s.pixels()].iter().map(|&v| f64::from(v))
                    })
                };
                let count = (images * s.pixels()) as f64;
                let mean = values().sum::<f64>() / count;
                all.push((mean, values().map(|v| (v - mean).powi(2)).sum::<f64>() / count));
            }
        }
        Ok(Self { images, channels: s.c, all })
    }

    /// Mean and variance of a channel in the first group.
    pub(super) fn of_channel(&self, c: usize) -> (f64, f64) {
        self.all[c]
    }

    fn at(&self, n: usize, c: usize) -> (f64, f64) {
        self.all[n / self.images * self.channels + c]
    }
}

/// Normalises groups of `images` images together. With `write_statistics`, outputs 1 and 2 are their mean and variance.
pub(super) fn lower_normalise(
    cx: &mut Lowering,
    images: usize,
    eps: f32,
    activation: Function,
    write_statistics: bool,
) -> Result<()> {
    let s = cx.input(0);
    let (blocks, groups) = (s.c.div_ceil(LANES), s.n / images);
    let parameters: Vec<usize> = (1..cx.inputs.len()).collect();
    let affine = Packing::affine(s.c, parameters.len());
    let affine = cx.weights_f32(parameters, Packing::pairs_len(s.c), affine);
    let scratch = cx.scratch((groups * Packing::pairs_len(s.c) * 4) as u64);
    let Size { w, h, c, .. } = s.into();
    let (x, factor) = (cx.input_view(0), (1.0 / (images * s.pixels()) as f64) as f32);
    let params = NormStatisticsParams { x, w, h, c, images: images as u32, factor, eps };
    let mut bindings = vec![Operand::Input(0), affine, Operand::ScratchWrite(scratch)];
    bindings.extend(write_statistics.then_some([Operand::Output(1), Operand::Output(2)]).into_iter().flatten());
    cx.dispatch(
        cx.per_map(KernelKey::new("norm_statistics").flag("KEEP", write_statistics)),
        params,
        bindings,
        [blocks, groups, 1],
    )?;
    cx.reads(Operand::ScratchRead(scratch), s.pixels() as f64);
    lower_scale_shift(cx, Operand::ScratchRead(scratch), groups > 1, activation)
}

shader_struct! {
    /// Parameters of `norm_statistics`.
    struct NormStatisticsParams {
        x: View,
        w: u32,
        h: u32,
        c: u32,
        /// Images per statistic: 1 or N.
        images: u32,
        /// 1 / elements per statistic.
        factor: f32,
        eps: f32,
    }
}

impl Op for InstanceNorm2d {
    fn name(&self) -> &'static str {
        "instance_norm2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![infer_affine(self.name(), self.eps, self.affine, inputs)?])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        output_shape(self, inputs)?;
        let statistics = Statistics::of(inputs[0], 1)?;
        let affine = |i: usize, c: usize, otherwise: f64| inputs.get(i).map_or(otherwise, |p| f64::from(p.data()[c]));
        let y = map_elements(inputs[0], |n, c, v| {
            let (mean, var) = statistics.at(n, c);
            let hat = (f64::from(v) - mean) / (var + f64::from(self.eps)).sqrt();
            (hat * affine(1, c, 1.0) + affine(2, c, 0.0)) as f32
        })?;
        Ok(vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        // One workgroup per plane would leave most of a GPU idle.
        if cx.input(0).pixels() >= LARGE_PLANE {
            return lower_groups(cx, cx.input(0).c, self.eps);
        }
        lower_normalise(cx, 1, self.eps, Function::Identity, false)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("instance norm averages over the whole image")
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None; node.inputs.len()]) };
        let mut inputs = vec![node.inputs[0], dy];
        inputs.extend(node.inputs.get(1));
        let op = InstanceNorm2dGrad { eps: self.eps, affine: self.affine };
        let grads = builder.emit("grad", Arc::new(op), &inputs)?;
        Ok((0..node.inputs.len()).map(|i| grads.get(i).copied().filter(|_| node.needs_grad(i))).collect())
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let affine =
        |case: OpCase, c: usize| case.parameter(&[c], InputKind::Positive).parameter(&[c], InputKind::Parameter);
    let instance = |name: &str, s: Shape| {
        let op = InstanceNorm2d { eps: 1e-5, affine: true };
        affine(OpCase::new(format!("instance_norm2d/{name}"), op, &[s]), s.c)
    };
    let plain = |name: &str, s: Shape| {
        OpCase::new(format!("instance_norm2d/{name}"), InstanceNorm2d { eps: 1e-3, affine: false }, &[s])
    };
    // The rough mean takes some rows; a wrong one would leave deviations without digits.
    let mut far = plain("far from zero, more rows than a rough mean takes", Shape::new(1, 5, 150, 9));
    // Multiples of 1 / 64, which f16 holds.
    let values = (0..5 * 150 * 9).map(|i| 8.0 + (i * 7919 % 1009 % 64) as f32 / 64.0).collect();
    far.inputs[0].1 = InputKind::Fixed(values);
    vec![
        far,
        instance("batch", Shape::new(2, 3, 9, 11)),
        instance("blocks, several rows per invocation", Shape::new(2, 9, 37, 53)),
        instance("large planes", Shape::new(1, 5, 120, 140)),
        plain("not affine", Shape::new(3, 5, 17, 16)),
        plain("one pixel", Shape::new(2, 6, 1, 1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eps_and_parameters_are_checked() {
        let x = TensorDesc::blocked(Shape::new(1, 2, 3, 3));
        let p = TensorDesc::linear(Shape::new(1, 2, 1, 1));
        assert!(InstanceNorm2d { eps: 0.0, affine: false }.infer(&[x]).is_err());
        assert!(InstanceNorm2d { eps: 1e-5, affine: false }.infer(&[x, p, p]).is_err());
        assert!(InstanceNorm2d { eps: 1e-5, affine: true }.infer(&[x, p, p]).is_ok());
    }
}
