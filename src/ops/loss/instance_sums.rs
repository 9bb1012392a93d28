//! Losses of a network that predicts the geometry of instances: sums over pixels.

use super::{PIXELS, case, expect, expect_pixels, linear, logistic, partials, parts, second_stage};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, Spatial, ValueId};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// The sum of `w e` and the sum of `w` over pixels, for each term `e` with its weights `w`: cross entropy of the
/// foreground, squared error of the distance; with `offsets`, cross entropy of the touching border and smooth L1 of
/// the offsets; with `classes`, softmax cross entropy of the classes and an empty term. Inputs: x `[N, C, H, W]`, raw planes
/// (foreground, distance, touching border, offset y, offset x) and then logits of classes; the target NCHW
/// `[N, T, H, W]`: 1 where a pixel is known, the target of each raw plane, and the class of the pixel's instance from 1.
/// Output: NCHW `[1, 4 k, 1, 1]`, for [`InstanceMean`](crate::ops::InstanceMean).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSums {
    /// Whether there are planes of touching borders and offsets.
    pub offsets: bool,
    /// Channels of classes; 0 without.
    pub classes: usize,
}

/// Gradient of [`InstanceSums`]. Inputs: those of the forward op, then the gradient of the sums, of which that of the
/// weights does not matter. Output: `[N, C, H, W]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSumsGrad {
    /// The forward op.
    pub forward: InstanceSums,
}

/// A pixel: its raw planes and logits, and its target.
struct Pixel<'a> {
    x: &'a [f64],
    target: &'a [f64],
    /// Weights of foreground, distance, touching border and offsets; the latter are those of classes too.
    weights: [f64; 4],
}

/// Smooth L1 with beta 0.25.
fn smooth_l1(e: f64) -> f64 {
    if e.abs() < 0.25 { 2.0 * e * e } else { e.abs() - 0.125 }
}

/// Binary cross entropy of a logit.
fn cross_entropy(z: f64, t: f64) -> f64 {
    z.max(0.0) - z * t + (-z.abs()).exp().ln_1p()
}

impl InstanceSums {
    /// Raw planes before those of classes.
    const fn planes(&self) -> usize {
        if self.offsets { 5 } else { 2 }
    }

    /// Index of the sum of the classes' term.
    const fn class_sum(&self) -> usize {
        if self.offsets { 8 } else { 4 }
    }

    fn sums(&self) -> Shape {
        let count = self.class_sum() + if self.classes > 0 { 4 } else { 0 };
        Shape::new(1, count, 1, 1)
    }

    fn target(&self, s: Shape) -> TensorDesc {
        TensorDesc::linear(s.with_c(1 + self.planes() + usize::from(self.classes > 0)))
    }

    fn infer_inputs(&self, op: &str, inputs: &[TensorDesc], more: &[(&str, TensorDesc)]) -> Result<Shape> {
        let s = expect_pixels(op, inputs)?;
        let channels = self.planes() + self.classes;
        if s.c != channels {
            return Err(Error::op(op, format!("x has {} channels, not {channels}", s.c)));
        }
        let mut expected = vec![("x", TensorDesc::blocked(s)), ("target", self.target(s))];
        expected.extend(more);
        expect(op, inputs, &expected).map(|()| s)
    }

    fn key(&self, shader: &'static str) -> KernelKey {
        let key = KernelKey::new(shader)
            .with("PLANES", self.planes() as u32)
            .with("TARGETS", self.target(Shape::new(1, 1, 1, 1)).shape.c as u32)
            .flag("OFFSETS", self.offsets);
        if self.classes > 0 { key.with("CLASSES", self.class_sum() as u32) } else { key }
    }

    /// Calls `f(n, y, x, pixel)` for every pixel.
    fn each(&self, inputs: &[&HostTensor], mut f: impl FnMut([usize; 3], &Pixel)) -> Result<()> {
        let (s, t) = (inputs[0].shape()?, inputs[1].shape()?);
        let values = |of: usize, s: Shape, n: usize, i: usize| -> Vec<f64> {
            (0..s.c).map(|c| f64::from(inputs[of].data()[s.index(n, c, 0, 0) + i])).collect()
        };
        for (n, i) in (0..s.n).flat_map(|n| (0..s.pixels()).map(move |i| (n, i))) {
            let (x, target) = (values(0, s, n, i), values(1, t, n, i));
            let (known, foreground) = (target[0], target[1]);
            let border = if self.offsets { target[3] } else { 0.0 };
            let weights = [1.0, 0.5 + foreground, 1.0 + 3.0 * border, foreground].map(|w| known * w);
            f([n, i / s.w, i % s.w], &Pixel { x: &x, target: &target, weights });
        }
        Ok(())
    }

    /// The class of a pixel, from 0, if it has one.
    fn class(&self, pixel: &Pixel) -> Option<usize> {
        let id = (pixel.target.last()? + 0.5).floor();
        (self.classes > 0 && id >= 1.0 && id <= self.classes as f64).then(|| id as usize - 1)
    }

    /// The largest logit of a class, and the sum of exponentials relative to it.
    fn partition(&self, pixel: &Pixel) -> (f64, f64) {
        let logits = &pixel.x[self.planes()..];
        let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (top, logits.iter().map(|z| (z - top).exp()).sum())
    }

    /// Every term with its weight.
    fn terms(&self, pixel: &Pixel) -> Vec<[f64; 2]> {
        let Pixel { x, target, weights } = pixel;
        let mut terms = vec![[cross_entropy(x[0], target[1]), weights[0]], [(x[1] - target[2]).powi(2), weights[1]]];
        if self.offsets {
            terms.push([cross_entropy(x[2], target[3]), weights[2]]);
            terms.push([0.5 * (smooth_l1(x[3] - target[4]) + smooth_l1(x[4] - target[5])), weights[3]]);
        }
        if let Some(class) = self.class(pixel) {
            let (top, sum) = self.partition(pixel);
            terms.push([sum.ln() - (x[self.planes() + class] - top), weights[3]]);
        }
        terms
    }

    /// The gradient of the pixel's channels, given that of the sums.
    fn slopes(&self, pixel: &Pixel, dsums: &[f32]) -> Vec<f64> {
        let Pixel { x, target, weights } = pixel;
        let d = |i: usize| f64::from(dsums[i]);
        let mut slopes =
            vec![d(0) * weights[0] * (logistic(x[0]) - target[1]), d(2) * weights[1] * 2.0 * (x[1] - target[2])];
        if self.offsets {
            slopes.push(d(4) * weights[2] * (logistic(x[2]) - target[3]));
            let offset = |c: usize| d(6) * weights[3] * 0.5 * (4.0 * (x[c] - target[c + 1])).clamp(-1.0, 1.0);
            slopes.extend([3, 4].map(offset));
        }
        let Some(class) = self.class(pixel) else {
            slopes.resize(x.len(), 0.0);
            return slopes;
        };
        let (top, sum) = self.partition(pixel);
        let of_class = |(i, z): (usize, &f64)| {
            d(self.class_sum()) * weights[3] * ((z - top).exp() / sum - f64::from(u8::from(i == class)))
        };
        slopes.extend(x[self.planes()..].iter().enumerate().map(of_class));
        slopes
    }
}

fn descs(inputs: &[&HostTensor]) -> Result<Vec<TensorDesc>> {
    let desc = |(i, t): (usize, &&HostTensor)| {
        t.shape().map(|s| if i == 0 { TensorDesc::blocked(s) } else { TensorDesc::linear(s) })
    };
    inputs.iter().enumerate().map(desc).collect()
}

impl Op for InstanceSums {
    fn name(&self) -> &'static str {
        "instance_sums"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.infer_inputs(self.name(), inputs, &[])?;
        Ok(vec![TensorDesc::linear(self.sums())])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        self.infer(&descs(inputs)?)?;
        let mut sums = vec![0.0; self.sums().c];
        self.each(inputs, |_, pixel| {
            for (sums, [e, w]) in sums.chunks_exact_mut(2).zip(self.terms(pixel)) {
                sums[0] += w * e;
                sums[1] += w;
            }
        })?;
        Ok(vec![HostTensor::new(self.sums().dims(), sums.into_iter().map(|v| v as f32).collect::<Vec<_>>())?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let (parts, groups) = (parts(s), self.sums().c / 4);
        let total = s.n * parts;
        let scratch = partials(cx, groups * total);
        let Size { w, h, c, .. } = s.into();
        let params = InstancesParams { x: cx.input_view(0), w, h, c, parts: parts as u32, total: total as u32 };
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::ScratchWrite(scratch)];
        cx.dispatch(self.key("loss_instances"), params, bindings, [parts, s.n, 1])?;
        second_stage(cx, scratch, [groups, total], 4, 0, 1.0)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let (Some(dy), true) = (node.grad(0), node.needs_grad(0)) else { return Ok(vec![None, None]) };
        let grad = InstanceSumsGrad { forward: self.clone() };
        Ok(vec![Some(builder.node("grad", grad, &[node.inputs[0], node.inputs[1], dy])?), None])
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("a loss sums over the whole image")
    }
}

impl Op for InstanceSumsGrad {
    fn name(&self) -> &'static str {
        "instance_sums_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let sums = TensorDesc::linear(self.forward.sums());
        Ok(vec![TensorDesc::blocked(self.forward.infer_inputs(self.name(), inputs, &[("gradient", sums)])?)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = self.infer(&descs(inputs)?)?[0].shape;
        let mut dx = HostTensor::zeros(s);
        self.forward.each(inputs, |[n, y, x], pixel| {
            for (c, slope) in self.forward.slopes(pixel, inputs[2].data()).into_iter().enumerate() {
                dx.data_mut()[s.index(n, c, y, x)] = slope as f32;
            }
        })?;
        Ok(vec![dx])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let Size { w, h, c, .. } = s.into();
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Input(2), Operand::Output(0)];
        let grid = [s.w.div_ceil(16), s.h.div_ceil(4), s.n];
        let params = InstancesGradParams { x: cx.input_view(0), w, h, c };
        cx.dispatch(self.forward.key("loss_instances_grad"), params, bindings, grid)
    }
}

shader_struct! {
    /// Parameters of `loss_instances`.
    struct InstancesParams {
        x: View,
        w: u32,
        h: u32,
        c: u32,
        parts: u32,
        /// Partial sums per pair of terms.
        total: u32,
    }

    /// Parameters of `loss_instances_grad`.
    struct InstancesGradParams {
        x: View,
        w: u32,
        h: u32,
        c: u32,
    }
}

/// A reproducible target for a case; `unknown` says which pixels do not count.
fn target(op: &InstanceSums, s: Shape, unknown: fn(usize) -> bool) -> (TensorDesc, InputKind) {
    let desc = op.target(s);
    let value = |plane: usize, i: usize| {
        let foreground = (i * 5 + i * i / 11).is_multiple_of(3);
        let inside = |v: f32| if foreground { v } else { 0.0 };
        match plane {
            0 => f32::from(u8::from(!unknown(i))),
            1 => inside(1.0),
            2 => inside(0.1 + (i * 3 % 15) as f32 / 16.0),
            3 if op.offsets => f32::from(u8::from(i % 11 == 4)),
            4 | 5 if op.offsets => inside((i * 13 * plane % 37) as f32 / 16.0 - 1.0),
            _ => inside((1 + i % op.classes) as f32),
        }
    };
    let t = desc.shape;
    let planes = (0..t.n).flat_map(|n| (0..t.c).map(move |plane| (n, plane)));
    let data = planes.flat_map(|(n, plane)| (0..t.pixels()).map(move |i| value(plane, n * t.pixels() + i)));
    (desc, InputKind::Fixed(data.collect()))
}

pub(super) fn cases() -> Vec<OpCase> {
    let several = Shape::new(2, 1, 61, 73);
    assert!(several.pixels() > PIXELS);
    let small = Shape::new(2, 1, 3, 4);
    let some: fn(usize) -> bool = |i| i % 7 == 3;
    let mut all = Vec::new();
    for (name, offsets, classes, s, x, unknown) in [
        ("distance", false, 0, small, InputKind::Data, some),
        ("multi", true, 0, small, InputKind::Data, some),
        ("multi, several workgroups", true, 0, several, InputKind::Wide, some),
        ("multi, nothing known", true, 0, small, InputKind::Wide, |_| true),
        ("distance, three classes", false, 3, small, InputKind::Wide, some),
        ("multi, two classes", true, 2, small, InputKind::Data, some),
        ("multi, six classes, several workgroups", true, 6, several, InputKind::Wide, some),
    ] {
        let forward = InstanceSums { offsets, classes };
        let s = s.with_c(forward.planes() + classes);
        let mut inputs = vec![(TensorDesc::blocked(s), x), target(&forward, s, unknown)];
        all.push(case(format!("instance_sums/{name}"), forward.clone(), inputs.clone()));
        inputs.push(linear(forward.sums()));
        all.push(case(format!("instance_sums_grad/{name}"), InstanceSumsGrad { forward }, inputs));
    }
    let forward = InstanceSums { offsets: true, classes: 0 };
    let s = Shape::new(1, 5, 2, 4);
    let extreme = (0..s.len()).map(|i| [0.0, 100.0, -100.0, 1e-9, -1e-3, 30.0, -30.0][i % 7]).collect();
    let mut inputs = vec![(TensorDesc::blocked(s), InputKind::Fixed(extreme)), target(&forward, s, |_| false)];
    all.push(case("instance_sums/logits of 100".into(), forward.clone(), inputs.clone()));
    inputs.push(linear(forward.sums()));
    all.push(case("instance_sums_grad/logits of 100".into(), InstanceSumsGrad { forward }, inputs));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_pixels_and_pixels_without_a_class_do_not_count() {
        let op = InstanceSums { offsets: false, classes: 2 };
        // Known foreground of class 2, unknown, and foreground of no class.
        let x = HostTensor::new([1, 4, 1, 3], vec![0.0; 12]).unwrap();
        let planes = [[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.5, 1.0, 0.5], [2.0, 1.0, 3.0]];
        let t = HostTensor::new([1, 4, 1, 3], planes.concat()).unwrap();
        let ln2 = std::f32::consts::LN_2;
        let sums = op.reference(&[&x, &t]).unwrap();
        assert_eq!(sums[0].data(), [2.0 * ln2, 2.0, 0.75, 3.0, ln2, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn channels_and_target_are_checked() {
        let op = InstanceSums { offsets: true, classes: 0 };
        let [x, t] = [TensorDesc::blocked(Shape::new(1, 5, 3, 4)), TensorDesc::linear(Shape::new(1, 6, 3, 4))];
        assert!(op.infer(&[x, t]).is_ok());
        let e = InstanceSums { classes: 2, ..op.clone() }.infer(&[x, t]).unwrap_err().to_string();
        assert_eq!(e, "instance_sums: x has 5 channels, not 7");
        let few = TensorDesc::linear(Shape::new(1, 3, 3, 4));
        let e = op.infer(&[x, few]).unwrap_err().to_string();
        assert_eq!(e, "instance_sums: target is 1x3x3x4 NCHW, not 1x6x3x4 NCHW");
    }
}
