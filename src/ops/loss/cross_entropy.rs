//! Pixel-weighted softmax cross entropy (U-Net, section 3), plain and focal.

use super::{PIXELS, case, expect, expect_pixels, labels, linear, partials, parts, pixel_weights, second_stage};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, Spatial, ValueId};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// Three sums over the pixels that have a class: the loss `w (1 - p)^gamma (-log p)` with `p = softmax(x)` at the
/// label, the number of pixels, and their weights. Inputs: x `[N, K, H, W]`, class indices NCHW `[N, 1, H, W]`, weights
/// NCHW `[N, 1, H, W]` if `weighted`. Output: `[1, 3, 1, 1]`, for [`LossMean`](crate::ops::LossMean). Labels outside
/// 0 .. K and the ignored label are excluded.
///
/// From: Ronneberger et al., U-Net, arXiv 1505.04597; Lin et al., Focal loss, arXiv 1708.02002.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxCrossEntropy {
    /// Whether there is a weight map.
    pub weighted: bool,
    /// Focusing parameter γ; 0 for plain cross entropy.
    pub gamma: f32,
    /// A label to exclude.
    pub ignore_index: Option<u32>,
}

/// Gradient of [`SoftmaxCrossEntropy`]. Inputs: those of the forward op, then the gradient of the sums, of which only
/// the first matters. Output: `[N, K, H, W]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxCrossEntropyGrad {
    /// The forward op.
    pub forward: SoftmaxCrossEntropy,
}

/// Shape of the sums.
const SUMS: Shape = Shape::new(1, 3, 1, 1);

impl SoftmaxCrossEntropy {
    fn infer_inputs(&self, op: &str, inputs: &[TensorDesc], more: &[(&str, TensorDesc)]) -> Result<Shape> {
        let s = expect_pixels(op, inputs)?;
        if !(self.gamma >= 0.0 && self.gamma.is_finite()) {
            return Err(Error::op(op, format!("gamma is {}", self.gamma)));
        }
        let map = TensorDesc::linear(s.with_c(1));
        let mut expected = vec![("x", TensorDesc::blocked(s)), ("target", map)];
        if self.weighted {
            expected.push(("weight", map));
        }
        expected.extend(more);
        expect(op, inputs, &expected).map(|()| s)
    }

    fn ignored(&self) -> f32 {
        self.ignore_index.map_or(-1.0, |i| i as f32)
    }

    /// The class of a pixel, if it has one.
    fn label(&self, v: f32, classes: usize) -> Option<usize> {
        let v = (v + 0.5).floor();
        (v >= 0.0 && v < classes as f32 && v != self.ignored()).then_some(v as usize)
    }

    fn key(&self, shader: &'static str, bindings: usize) -> KernelKey {
        KernelKey::new(shader)
            .with("Y", bindings as u32)
            .with("CLASSES", 1)
            .flag("WEIGHTED", self.weighted)
            .flag("FOCAL", self.gamma != 0.0)
    }

    /// Calls `f(n, y, x, label, weight, p, nll)` for every pixel that has a class.
    fn each(&self, inputs: &[&HostTensor], mut f: impl FnMut([usize; 3], usize, f64, &[f64], f64)) -> Result<()> {
        let s = inputs[0].shape()?;
        let mut p = vec![0.0; s.c];
        for n in 0..s.n {
            for i in 0..s.pixels() {
                let map = n * s.pixels() + i;
                let Some(label) = self.label(inputs[1].data()[map], s.c) else { continue };
                let at = |c: usize| f64::from(inputs[0].data()[s.index(n, c, 0, 0) + i]);
                let top = (0..s.c).map(at).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = (0..s.c).map(|c| (at(c) - top).exp()).sum();
                p.iter_mut().enumerate().for_each(|(c, p)| *p = (at(c) - top).exp() / sum);
                let w = if self.weighted { f64::from(inputs[2].data()[map]) } else { 1.0 };
                f([n, i / s.w, i % s.w], label, w, &p, sum.ln() - (at(label) - top));
            }
        }
        Ok(())
    }
}

fn descs(inputs: &[&HostTensor]) -> Result<Vec<TensorDesc>> {
    let desc = |(i, t): (usize, &&HostTensor)| {
        t.shape().map(|s| if i == 0 { TensorDesc::blocked(s) } else { TensorDesc::linear(s) })
    };
    inputs.iter().enumerate().map(desc).collect()
}

impl Op for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.infer_inputs(self.name(), inputs, &[])?;
        Ok(vec![TensorDesc::linear(SUMS)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        self.infer(&descs(inputs)?)?;
        let mut sums = [0.0; 3];
        self.each(inputs, |_, label, w, p, nll| {
            let complement: f64 = p.iter().enumerate().filter(|c| c.0 != label).map(|c| c.1).sum();
            sums[0] += w * complement.powf(f64::from(self.gamma)) * nll;
            sums[1] += 1.0;
            sums[2] += w;
        })?;
        Ok(vec![HostTensor::new(SUMS.dims(), sums.map(|v| v as f32).to_vec())?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let parts = parts(s);
        let scratch = partials(cx, s.n * parts);
        let mut bindings: Vec<_> = (0..cx.inputs.len()).map(Operand::Input).collect();
        bindings.push(Operand::ScratchWrite(scratch));
        let key = self.key("loss_cross_entropy", bindings.len());
        let Size { w, h, c, .. } = s.into();
        let (x, ignored, gamma) = (cx.input_view(0), self.ignored(), self.gamma);
        let params = CrossEntropyParams { x, w, h, c, parts: parts as u32, ignored, gamma };
        cx.dispatch(key, params, bindings, [parts, s.n, 1])?;
        second_stage(cx, scratch, [1, s.n * parts], 3, 0, 1.0)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let mut grads = vec![None; node.inputs.len()];
        if let (Some(dy), true) = (node.grad(0), node.needs_grad(0)) {
            let inputs = [node.inputs, &[dy]].concat();
            grads[0] = Some(builder.node("grad", SoftmaxCrossEntropyGrad { forward: self.clone() }, &inputs)?);
        }
        Ok(grads)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("a loss sums over the whole image")
    }
}

impl Op for SoftmaxCrossEntropyGrad {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let s = self.forward.infer_inputs(self.name(), inputs, &[("gradient", TensorDesc::linear(SUMS))])?;
        Ok(vec![TensorDesc::blocked(s)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = self.infer(&descs(inputs)?)?[0].shape;
        let dy = inputs.last().map_or(0.0, |d| f64::from(d.data()[0]));
        let gamma = f64::from(self.forward.gamma);
        let mut dx = HostTensor::zeros(s);
        self.forward.each(inputs, |[n, y, x], label, w, p, nll| {
            let complement: f64 = p.iter().enumerate().filter(|c| c.0 != label).map(|c| c.1).sum();
            let focal = if gamma == 0.0 || complement == 0.0 { 0.0 } else { gamma * p[label] * nll / complement };
            let scale = dy * w * complement.powf(gamma) * (1.0 + focal);
            for (c, p) in p.iter().enumerate() {
                let v = scale * (p - f64::from(u8::from(c == label)));
                dx.data_mut()[s.index(n, c, y, x)] = v as f32;
            }
        })?;
        Ok(vec![dx])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let mut bindings: Vec<_> = (0..cx.inputs.len()).map(Operand::Input).collect();
        bindings.push(Operand::Output(0));
        let key = self.forward.key("loss_cross_entropy_grad", bindings.len());
        let grid = [s.w.div_ceil(16), s.h.div_ceil(4), s.n];
        let Size { w, h, c, .. } = s.into();
        let (x, ignored, gamma) = (cx.input_view(0), self.forward.ignored(), self.forward.gamma);
        cx.dispatch(key, CrossEntropyGradParams { x, w, h, c, ignored, gamma }, bindings, grid)
    }
}

shader_struct! {
    /// Parameters of `loss_cross_entropy`.
    struct CrossEntropyParams {
        x: View,
        w: u32,
        h: u32,
        c: u32,
        parts: u32,
        ignored: f32,
        gamma: f32,
    }

    /// Parameters of `loss_cross_entropy_grad`.
    struct CrossEntropyGradParams {
        x: View,
        w: u32,
        h: u32,
        c: u32,
        ignored: f32,
        gamma: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let several = Shape::new(2, 2, 61, 73);
    assert!(several.pixels() > PIXELS);
    let mut all = Vec::new();
    for (name, s, weighted, gamma, ignored) in [
        ("two classes, weighted", Shape::new(2, 2, 2, 3), true, 0.0, None),
        ("ignored pixels", Shape::new(1, 3, 3, 4), false, 0.0, Some(255.0)),
        ("an ignored class, weighted", Shape::new(1, 3, 3, 4), true, 0.0, Some(1.0)),
        ("focal", Shape::new(1, 3, 2, 4), false, 2.0, None),
        ("focal, gamma below 1, weighted", Shape::new(1, 5, 2, 3), true, 0.5, Some(255.0)),
        ("one class", Shape::new(1, 1, 2, 3), false, 0.0, None),
        ("several workgroups, weighted", several, true, 0.0, Some(255.0)),
        ("several blocks, focal", Shape::new(2, 9, 17, 19), false, 1.5, None),
    ] {
        let forward = SoftmaxCrossEntropy { weighted, gamma, ignore_index: ignored.map(|v| v as u32) };
        let mut inputs = vec![(TensorDesc::blocked(s), InputKind::Data), labels(s, s.c, ignored)];
        inputs.extend(weighted.then(|| pixel_weights(s)));
        all.push(case(format!("softmax_cross_entropy/{name}"), forward.clone(), inputs.clone()));
        inputs.push(linear(SUMS));
        all.push(case(format!("softmax_cross_entropy_grad/{name}"), SoftmaxCrossEntropyGrad { forward }, inputs));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_without_a_class_are_excluded() {
        let op = SoftmaxCrossEntropy { weighted: false, gamma: 0.0, ignore_index: Some(1) };
        let x = HostTensor::new([1, 2, 1, 5], vec![0.0; 10]).unwrap();
        let t = HostTensor::new([1, 1, 1, 5], vec![0.0, 1.0, 2.0, -1.0, f32::NAN]).unwrap();
        assert_eq!(op.reference(&[&x, &t]).unwrap()[0].data(), [std::f32::consts::LN_2, 1.0, 1.0]);
    }

    #[test]
    fn shapes_are_checked() {
        let op = SoftmaxCrossEntropy { weighted: true, gamma: 0.0, ignore_index: None };
        let x = TensorDesc::blocked(Shape::new(1, 2, 3, 4));
        let t = TensorDesc::linear(Shape::new(1, 2, 3, 4));
        let e = op.infer(&[x, t, t]).unwrap_err().to_string();
        assert_eq!(e, "softmax_cross_entropy: target is 1x2x3x4 NCHW, not 1x1x3x4 NCHW");
        assert!(op.infer(&[x, t]).is_err() && op.infer(&[]).is_err());
    }
}
