//! Overlap of prediction and target: the sums for Dice and IoU.

use super::{case, expect, expect_pixels, labels, linear, masks, partials, parts, probabilities, second_stage};
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::{Backward, GraphBuilder, Lowering, Op, OpCase, Spatial, ValueId, by_plane};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};
use serde::{Deserialize, Serialize};

/// Extent of each sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapGroup {
    /// Per image.
    #[default]
    Sample,
    /// Per image and channel.
    Class,
    /// The whole batch.
    Batch,
}

/// Encoding of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetEncoding {
    /// Zeros and ones, NCHW `[N, K, H, W]`.
    Masks,
    /// Class indices, NCHW `[N, 1, H, W]`. Labels outside 0 .. K and the ignored label are excluded.
    Classes {
        /// A label to exclude.
        ignore_index: Option<u32>,
    },
}

/// Sums of `p t`, `p` and `t` over groups of pixels. Inputs: p `[N, K, H, W]`, target t. Output: NCHW
/// `[groups, 3, 1, 1]`, for [`OverlapRatio`](crate::ops::OverlapRatio).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Extent of each sum.
    pub per: OverlapGroup,
    /// Encoding of t.
    pub encoding: TargetEncoding,
}

/// Gradient of [`Overlap`]. Inputs: the target, the gradient of the sums. Output: `[N, K, H, W]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlapGrad {
    /// The forward op.
    pub forward: Overlap,
    /// Channels of p.
    pub channels: usize,
}

impl Overlap {
    /// Planes (n, c) per group.
    fn planes(&self, s: Shape) -> usize {
        match self.per {
            OverlapGroup::Sample => s.c,
            OverlapGroup::Class => 1,
            OverlapGroup::Batch => s.n * s.c,
        }
    }

    fn sums(&self, s: Shape) -> Shape {
        Shape::new(s.n * s.c / self.planes(s).max(1), 3, 1, 1)
    }

    fn target_desc(&self, s: Shape) -> TensorDesc {
        TensorDesc::linear(if self.encoding == TargetEncoding::Masks { s } else { s.with_c(1) })
    }

    fn ignored(&self) -> f32 {
        match self.encoding {
            TargetEncoding::Classes { ignore_index: Some(i) } => i as f32,
            _ => -1.0,
        }
    }

    /// The target of a pixel of a plane, if it has one.
    fn at(&self, t: &HostTensor, s: Shape, n: usize, c: usize, i: usize) -> Option<f64> {
        if self.encoding == TargetEncoding::Masks {
            return Some(f64::from(t.data()[s.index(n, c, 0, 0) + i]));
        }
        let v = (t.data()[n * s.pixels() + i] + 0.5).floor();
        let known = v >= 0.0 && v < s.c as f32 && v != self.ignored();
        known.then(|| f64::from(u8::from(v as usize == c)))
    }

    fn key(&self, shader: &'static str) -> KernelKey {
        KernelKey::new(shader).flag("CLASSES", self.encoding != TargetEncoding::Masks)
    }
}

impl Op for Overlap {
    fn name(&self) -> &'static str {
        "overlap"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let s = expect_pixels(self.name(), inputs)?;
        expect(self.name(), inputs, &[("x", TensorDesc::blocked(s)), ("target", self.target_desc(s))])?;
        Ok(vec![TensorDesc::linear(self.sums(s))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let shapes = inputs.iter().map(|t| t.shape()).collect::<Result<Vec<_>>>()?;
        let desc = |(i, s): (usize, &Shape)| if i == 0 { TensorDesc::blocked(*s) } else { TensorDesc::linear(*s) };
        let out = self.infer(&shapes.iter().enumerate().map(desc).collect::<Vec<_>>())?[0].shape;
        let s = shapes[0];
        let mut sums = vec![[0.0; 3]; out.n];
        for plane in 0..s.n * s.c {
            let (n, c) = (plane / s.c, plane % s.c);
            let sums = &mut sums[plane / self.planes(s)];
            for i in 0..s.pixels() {
                let p = f64::from(inputs[0].data()[plane * s.pixels() + i]);
                if let Some(t) = self.at(inputs[1], s, n, c, i) {
                    *sums = [sums[0] + p * t, sums[1] + p, sums[2] + t];
                }
            }
        }
        Ok(vec![HostTensor::new(out.dims(), sums.into_iter().flatten().map(|v| v as f32).collect::<Vec<_>>())?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let parts = parts(s);
        let scratch = partials(cx, s.n * s.c * parts);
        let Size { w, h, c, .. } = s.into();
        let (x, ignored) = (cx.input_view(0), self.ignored());
        let params = OverlapParams { x, w, h, c, parts: parts as u32, ignored };
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::ScratchWrite(scratch)];
        cx.dispatch(self.key("loss_overlap"), params, bindings, [parts, s.n * s.c.div_ceil(LANES), 1])?;
        second_stage(cx, scratch, [self.sums(s).n, self.planes(s) * parts], 3, 0, 1.0)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let (Some(dy), true) = (node.grad(0), node.needs_grad(0)) else { return Ok(vec![None, None]) };
        let grad = OverlapGrad { forward: self.clone(), channels: builder.desc(node.inputs[0]).shape.c };
        Ok(vec![Some(builder.node("grad", grad, &[node.inputs[1], dy])?), None])
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("a loss sums over the whole image")
    }
}

impl Op for OverlapGrad {
    fn name(&self) -> &'static str {
        "overlap_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let s = expect_pixels(self.name(), inputs)?.with_c(self.channels);
        let expected =
            [("target", self.forward.target_desc(s)), ("gradient", TensorDesc::linear(self.forward.sums(s)))];
        expect(self.name(), inputs, &expected)?;
        Ok(vec![TensorDesc::blocked(s)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let descs = inputs.iter().map(|t| t.shape().map(TensorDesc::linear)).collect::<Result<Vec<_>>>()?;
        let s = self.infer(&descs)?[0].shape;
        Ok(vec![by_plane(s, |n, c, plane| {
            let group = (n * s.c + c) / self.forward.planes(s);
            let d = |k: usize| f64::from(inputs[1].data()[3 * group + k]);
            for (i, dx) in plane.iter_mut().enumerate() {
                *dx = self.forward.at(inputs[0], s, n, c, i).map_or(0.0, |t| d(0) * t + d(1)) as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.output(0);
        let Size { w, h, c, .. } = s.into();
        let (x, planes) = (cx.output_view(0), self.forward.planes(s) as u32);
        let params = OverlapGradParams { x, w, h, c, ignored: self.forward.ignored(), planes };
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        cx.dispatch(self.forward.key("loss_overlap_grad"), params, bindings, Lowering::per_vec4(s))
    }
}

shader_struct! {
    /// Parameters of `loss_overlap`.
    struct OverlapParams {
        x: View,
        w: u32,
        h: u32,
        c: u32,
        parts: u32,
        ignored: f32,
    }

    /// Parameters of `loss_overlap_grad`.
    struct OverlapGradParams {
        x: View,
        w: u32,
        h: u32,
        c: u32,
        ignored: f32,
        planes: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let ignore = TargetEncoding::Classes { ignore_index: Some(255) };
    let mut all = Vec::new();
    for (name, per, encoding, s) in [
        ("per sample", OverlapGroup::Sample, TargetEncoding::Masks, Shape::new(2, 3, 2, 3)),
        ("per class, classes", OverlapGroup::Class, ignore, Shape::new(2, 3, 3, 2)),
        ("batch, classes", OverlapGroup::Batch, TargetEncoding::Classes { ignore_index: None }, Shape::new(2, 2, 2, 3)),
        ("several workgroups and blocks", OverlapGroup::Sample, ignore, Shape::new(2, 6, 61, 73)),
        ("batch of several workgroups", OverlapGroup::Batch, TargetEncoding::Masks, Shape::new(3, 5, 61, 73)),
    ] {
        let forward = Overlap { per, encoding };
        let t = if encoding == TargetEncoding::Masks {
            masks(s)
        } else {
            labels(s, s.c, (encoding == ignore).then_some(255.0))
        };
        let sums = linear(forward.sums(s));
        all.push(case(format!("overlap/{name}"), forward.clone(), vec![probabilities(s), t.clone()]));
        let grad = OverlapGrad { forward, channels: s.c };
        all.push(case(format!("overlap_grad/{name}"), grad, vec![t, sums]));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_pixels_are_excluded() {
        let op = Overlap { per: OverlapGroup::Class, encoding: TargetEncoding::Classes { ignore_index: Some(255) } };
        let p = HostTensor::new([1, 2, 1, 3], vec![0.25, 0.5, 1.0, 0.75, 0.5, 1.0]).unwrap();
        let t = HostTensor::new([1, 1, 1, 3], vec![0.0, 1.0, 255.0]).unwrap();
        assert_eq!(op.reference(&[&p, &t]).unwrap()[0].data(), [0.25, 0.75, 1.0, 0.5, 1.25, 1.0]);
        assert!(op.reference(&[&p, &p]).unwrap_err().to_string().contains("1x1x1x3"));
    }
}
