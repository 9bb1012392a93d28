//! Dice and IoU losses from overlap sums.

use super::{SCALAR, case, expect};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, ValueId};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// The mean over groups of `offset - (a I + s) / max(P + T - b I + s, floor)`, where I, P and T are the sums of `p t`,
/// `p` and `t` from [`Overlap`](crate::ops::Overlap). Input: NCHW `[groups, 3, 1, 1]`; output: a scalar.
#[derive(Clone, Debug, PartialEq)]
pub struct OverlapRatio {
    /// The loss where nothing overlaps and `s` is 0.
    pub offset: f32,
    /// Factor on the overlap in the numerator: `a`.
    pub counted: f32,
    /// Multiple of the overlap subtracted from the denominator: `b`.
    pub shared: f32,
    /// Added to numerator and denominator: `s`.
    pub smooth: f32,
    /// Minimum of the denominator.
    pub floor: f32,
}

/// Gradient of [`OverlapRatio`]. Inputs: the sums, dy.
#[derive(Clone, Debug, PartialEq)]
pub struct OverlapRatioGrad {
    /// The forward op.
    pub forward: OverlapRatio,
}

impl OverlapRatio {
    /// Soft Dice: `1 - (2 I + s) / (P + T + s)`.
    pub const fn dice(smooth: f32) -> Self {
        Self { offset: 1.0, counted: 2.0, shared: 0.0, smooth, floor: 0.0 }
    }

    /// Soft IoU: `1 - (I + s) / (P + T - I + s)`; undefined for s = 0 if prediction and target are both empty.
    pub const fn iou(smooth: f32) -> Self {
        Self { offset: 1.0, counted: 1.0, shared: 1.0, smooth, floor: 0.0 }
    }

    /// The Dice term of the U-Net++ paper (arXiv 1807.10165): `-2 I / max(P + T, eps)`.
    pub const fn dlmia(eps: f32) -> Self {
        Self { offset: 0.0, counted: 2.0, shared: 0.0, smooth: 0.0, floor: eps }
    }

    /// The denominator before the floor, and the ratio.
    fn at(&self, sums: &[f32]) -> (f64, f64) {
        let [overlap, prediction, target] = [0, 1, 2].map(|k| f64::from(sums[k]));
        let smooth = f64::from(self.smooth);
        let denominator = prediction + target - f64::from(self.shared) * overlap + smooth;
        (denominator, (f64::from(self.counted) * overlap + smooth) / denominator.max(f64::from(self.floor)))
    }

    fn dispatch(&self, cx: &mut Lowering, grad: bool) -> Result<()> {
        let groups = cx.input(0).n;
        let mut bindings: Vec<_> = (0..cx.inputs.len()).map(Operand::Input).collect();
        bindings.push(Operand::Output(0));
        let key = KernelKey::new("loss_ratio").with("Y", bindings.len() as u32).flag("GRAD", grad);
        let factor = (1.0 / groups as f64) as f32;
        let params = RatioParams {
            groups: groups as u32,
            offset: self.offset,
            a: self.counted,
            b: self.shared,
            smooth_by: self.smooth,
            min: self.floor,
            factor,
        };
        cx.dispatch(key, params, bindings, [1, 1, 1])
    }
}

fn check(op: &str, inputs: &[TensorDesc], more: &[(&str, TensorDesc)]) -> Result<TensorDesc> {
    let groups = inputs.first().map_or(0, |x| x.shape.n);
    if groups == 0 {
        return Err(Error::op(op, "no sums"));
    }
    let sums = TensorDesc::linear(Shape::new(groups, 3, 1, 1));
    let expected: Vec<_> = [("sums", sums)].into_iter().chain(more.iter().copied()).collect();
    expect(op, inputs, &expected).map(|()| sums)
}

fn descs(inputs: &[&HostTensor]) -> Result<Vec<TensorDesc>> {
    inputs.iter().map(|t| t.shape().map(TensorDesc::linear)).collect()
}

impl Op for OverlapRatio {
    fn name(&self) -> &'static str {
        "overlap_ratio"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check(self.name(), inputs, &[])?;
        Ok(vec![SCALAR])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        self.infer(&descs(inputs)?)?;
        let groups = inputs[0].data().chunks_exact(3);
        let count = groups.len() as f64;
        let sum: f64 = groups.map(|sums| f64::from(self.offset) - self.at(sums).1).sum();
        Ok(vec![HostTensor::new([1, 1, 1, 1], vec![(sum / count) as f32])?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        self.dispatch(cx, false)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        let grad = OverlapRatioGrad { forward: self.clone() };
        Ok(vec![Some(builder.node("grad", grad, &[node.inputs[0], dy])?)])
    }
}

impl Op for OverlapRatioGrad {
    fn name(&self) -> &'static str {
        "overlap_ratio_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![check(self.name(), inputs, &[("dy", SCALAR)])?])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = self.infer(&descs(inputs)?)?[0].shape;
        let f = &self.forward;
        let scale = f64::from(inputs[1].data()[0]) / s.n as f64;
        let grad = inputs[0].data().chunks_exact(3).flat_map(|sums| {
            let (unclamped, ratio) = f.at(sums);
            let denominator = unclamped.max(f64::from(f.floor));
            // The denominator is constant below the floor.
            let slope = if unclamped >= f64::from(f.floor) { ratio / denominator } else { 0.0 };
            let overlap = -(f64::from(f.counted) / denominator + f64::from(f.shared) * slope);
            [overlap, slope, slope].map(|v| (scale * v) as f32)
        });
        Ok(vec![HostTensor::new(s.dims(), grad.collect::<Vec<_>>())?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        self.forward.dispatch(cx, true)
    }
}

shader_struct! {
    /// Parameters of `loss_ratio`.
    struct RatioParams {
        groups: u32,
        offset: f32,
        a: f32,
        b: f32,
        smooth_by: f32,
        /// Minimum of the denominator.
        min: f32,
        /// 1 / groups
        factor: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let mut all = Vec::new();
    for (name, forward, groups) in [
        ("dice", OverlapRatio::dice(1.0), 3),
        ("dice of many", OverlapRatio::dice(1e-5), 700),
        ("iou", OverlapRatio::iou(1e-6), 2),
        ("dlmia", OverlapRatio::dlmia(1e-7), 2),
        ("dlmia below its floor", OverlapRatio::dlmia(100.0), 1),
    ] {
        let sums = |g: usize| [1.0 + (g % 5) as f32, 7.5 + (g % 3) as f32, 6.0 + (g % 7) as f32];
        let sums = InputKind::Fixed((0..groups).flat_map(sums).collect());
        let sums = (TensorDesc::linear(Shape::new(groups, 3, 1, 1)), sums);
        all.push(case(format!("overlap_ratio/{name}"), forward.clone(), vec![sums.clone()]));
        let dy = (SCALAR, InputKind::Fixed(vec![groups as f32]));
        all.push(case(
            format!("overlap_ratio_grad/{name}"),
            OverlapRatioGrad { forward: forward.clone() },
            vec![sums, dy],
        ));
        if groups < 9 && forward.shared == 0.0 {
            let sums = (TensorDesc::linear(Shape::new(groups, 3, 1, 1)), InputKind::Probability);
            all.push(case(format!("overlap_ratio/{name}, small sums"), forward, vec![sums]));
        }
    }
    all
}
