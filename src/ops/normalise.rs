//! Normalisations with statistics of the data itself.

use super::batch_norm::{lower_scale_shift, pack_pairs, packed_len};
use super::{
    InputKind, Lowering, Op, OpCase, Spatial, expect_inputs, expect_per_channel, map_elements, output_shape,
};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// `torch.nn.InstanceNorm2d`: every plane by its own mean and biased variance. Inputs: x, then gamma and beta if
/// `affine`. A plane of one pixel becomes beta (PyTorch refuses it).
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceNorm2d {
    /// Added to the variance.
    pub eps: f32,
    /// Scale by gamma and add beta.
    pub affine: bool,
}

/// `torch.nn.BatchNorm2d` in training mode, forward only: every channel by its mean and biased variance over the batch.
/// Inputs: x, gamma, beta. The running statistics stay as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm2dTrain {
    /// Added to the variance.
    pub eps: f32,
}

fn infer(op: &str, eps: f32, affine: bool, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
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
    Ok(vec![TensorDesc::blocked(s)])
}

/// Normalises groups of `images` images together.
fn reference(inputs: &[&HostTensor], images: usize, eps: f32) -> Result<Vec<HostTensor>> {
    let (x, s) = (inputs[0], inputs[0].shape()?);
    let affine = |i: usize, c: usize, otherwise: f64| inputs.get(i).map_or(otherwise, |p| f64::from(p.data()[c]));
    let mut coefficients = Vec::with_capacity(s.n / images * s.c);
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
            let var = values().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
            let scale = affine(1, c, 1.0) / (var + f64::from(eps)).sqrt();
            coefficients.push((mean, scale, affine(2, c, 0.0)));
        }
    }
    let y = map_elements(x, |n, c, v| {
        let (mean, scale, beta) = coefficients[n / images * s.c + c];
        ((f64::from(v) - mean) * scale + beta) as f32
    })?;
    Ok(vec![y])
}

fn lower(cx: &mut Lowering, images: usize, eps: f32) -> Result<()> {
    let s = cx.input(0);
    let (blocks, groups) = (s.c.div_ceil(LANES), s.n / images);
    let parameters: Vec<usize> = (1..cx.inputs.len()).collect();
    let affine = cx.weights_f32(parameters, packed_len(s.c), move |p| {
        let at = |i: usize, c: usize, otherwise: f32| p.get(i).map_or(otherwise, |t| t.data()[c]);
        Ok(pack_pairs((0..s.c).map(|c| (at(0, c, 1.0), at(1, c, 0.0))), s.c))
    });
    let scratch = cx.scratch((groups * packed_len(s.c) * 4) as u64);
    let mut params = cx.input_view(0).to_vec();
    params.extend([s.w, s.h, s.c, images].map(|v| v as u32));
    let factor = 1.0 / (images * s.pixels()) as f64;
    params.extend([(factor as f32).to_bits(), eps.to_bits(), 0, 0]);
    let bindings = [Operand::Input(0), affine, Operand::ScratchWrite(scratch)];
    cx.dispatch(KernelKey::new("norm_statistics"), params, bindings, [blocks, groups, 1])?;
    lower_scale_shift(cx, Operand::ScratchRead(scratch), groups > 1)
}

impl Op for InstanceNorm2d {
    fn name(&self) -> &'static str {
        "instance_norm2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        infer(self.name(), self.eps, self.affine, inputs)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        output_shape(self, inputs)?;
        reference(inputs, 1, self.eps)
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        lower(cx, 1, self.eps)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("instance norm averages over the whole picture")
    }
}

impl Op for BatchNorm2dTrain {
    fn name(&self) -> &'static str {
        "batch_norm2d_train"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        infer(self.name(), self.eps, true, inputs)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let images = output_shape(self, inputs)?.n;
        reference(inputs, images, self.eps)
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let images = cx.input(0).n;
        lower(cx, images, self.eps)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("batch norm in training mode averages over the whole picture")
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let affine = |case: OpCase, c: usize| {
        case.parameter(&[c], InputKind::Positive).parameter(&[c], InputKind::Parameter)
    };
    let instance = |name: &str, s: Shape| {
        let op = InstanceNorm2d { eps: 1e-5, affine: true };
        affine(OpCase::new(format!("instance_norm2d/{name}"), op, &[s]), s.c)
    };
    let plain = |name: &str, s: Shape| {
        OpCase::new(format!("instance_norm2d/{name}"), InstanceNorm2d { eps: 1e-3, affine: false }, &[s])
    };
    let batch = |name: &str, s: Shape| {
        let op = BatchNorm2dTrain { eps: 1e-5 };
        affine(OpCase::new(format!("batch_norm2d_train/{name}"), op, &[s]), s.c)
    };
    vec![
        instance("batch", Shape::new(2, 3, 9, 11)),
        instance("blocks, several rows per invocation", Shape::new(2, 9, 37, 53)),
        plain("not affine", Shape::new(3, 5, 17, 16)),
        plain("one pixel", Shape::new(2, 6, 1, 1)),
        batch("batch", Shape::new(2, 3, 9, 11)),
        batch("blocks, several rows per invocation", Shape::new(3, 9, 33, 50)),
        batch("one image", Shape::new(1, 8, 1, 40)),
        batch("one pixel", Shape::new(4, 5, 1, 1)),
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
        assert!(BatchNorm2dTrain { eps: 1e-5 }.infer(&[x, p, x]).is_err());
    }
}
