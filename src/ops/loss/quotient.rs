//! Reduction of a loss from its sums.

use super::{SCALAR, case, expect, linear};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, ValueId};
use crate::tensor::{HostTensor, Shape, TensorDesc};
use serde::{Deserialize, Serialize};

/// Divisor of a sum over pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReduction {
    /// 1: the energy of the U-Net paper.
    Sum,
    /// The number of pixels that have a class: Caffe's VALID normalisation.
    #[default]
    Mean,
    /// The sum of their weights.
    Weighted,
}

/// A loss from the sums of [`SoftmaxCrossEntropy`](crate::ops::SoftmaxCrossEntropy). Input: NCHW `[1, 3, 1, 1]`;
/// output: a scalar, 0 if no pixel has a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossMean {
    /// The divisor.
    pub reduction: LossReduction,
}

/// Gradient of [`LossMean`]. Inputs: the sums, dy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossMeanGrad {
    /// The divisor of the forward op.
    pub reduction: LossReduction,
}

const SUMS: TensorDesc = TensorDesc::linear(Shape::new(1, 3, 1, 1));

impl LossReduction {
    /// Index of the divisor among the sums (0 for none), and its minimum.
    const fn divisor(self) -> (usize, f32) {
        match self {
            Self::Sum => (0, 1.0),
            Self::Mean => (1, 1.0),
            // Weights may be small. If they are all 0, so is the loss.
            Self::Weighted => (2, 1e-20),
        }
    }

    fn of(self, sums: &[f32]) -> f64 {
        match self.divisor() {
            (0, _) => 1.0,
            (i, min) => f64::from(sums[i].max(min)),
        }
    }
}

shader_struct! {
    /// Parameters of `loss_quotient`.
    struct QuotientParams {
        len: u32,
        divisor: u32,
        min: f32,
    }
}

fn lower(cx: &mut Lowering, reduction: LossReduction, grad: bool) -> Result<()> {
    let (divisor, min) = reduction.divisor();
    let mut bindings: Vec<_> = (0..cx.inputs.len()).map(Operand::Input).collect();
    bindings.push(Operand::Output(0));
    let key = KernelKey::new("loss_quotient").with("Y", bindings.len() as u32).flag("GRAD", grad);
    let params = QuotientParams { len: 3, divisor: divisor as u32, min };
    cx.dispatch(key, params, bindings, [1, 1, 1])
}

fn elements<'a>(op: &str, inputs: &'a [&HostTensor], count: usize) -> Result<&'a [f32]> {
    if inputs.len() != count || inputs[0].data().len() != 3 {
        return Err(Error::op(op, "expects the three sums"));
    }
    Ok(inputs[0].data())
}

impl Op for LossMean {
    fn name(&self) -> &'static str {
        "loss_mean"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect(self.name(), inputs, &[("sums", SUMS)])?;
        Ok(vec![SCALAR])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let sums = elements(self.name(), inputs, 1)?;
        let mean = f64::from(sums[0]) / self.reduction.of(sums);
        Ok(vec![HostTensor::new([1, 1, 1, 1], vec![mean as f32])?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        lower(cx, self.reduction, false)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        let grad = LossMeanGrad { reduction: self.reduction };
        Ok(vec![Some(builder.node("grad", grad, &[node.inputs[0], dy])?)])
    }
}

impl Op for LossMeanGrad {
    fn name(&self) -> &'static str {
        "loss_mean_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect(self.name(), inputs, &[("sums", SUMS), ("dy", SCALAR)])?;
        Ok(vec![SUMS])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let sums = elements(self.name(), inputs, 2)?;
        let dy = f64::from(inputs[1].data()[0]);
        let (divisor, min) = self.reduction.divisor();
        let denominator = self.reduction.of(sums);
        let mut grad = vec![(dy / denominator) as f32, 0.0, 0.0];
        if divisor > 0 && sums[divisor] >= min {
            grad[divisor] = (-dy * f64::from(sums[0]) / denominator / denominator) as f32;
        }
        Ok(vec![HostTensor::new([1, 3, 1, 1], grad)?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        lower(cx, self.reduction, true)
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let mut all = Vec::new();
    for reduction in [LossReduction::Sum, LossReduction::Mean, LossReduction::Weighted] {
        for (name, sums) in [("", [3.5, 12.0, 4.5]), (", nothing counts", [0.0; 3])] {
            let sums = (SUMS, InputKind::Fixed(sums.to_vec()));
            all.push(case(format!("loss_mean/{reduction:?}{name}"), LossMean { reduction }, vec![sums.clone()]));
            let inputs = vec![sums, linear(SCALAR.shape)];
            all.push(case(format!("loss_mean_grad/{reduction:?}{name}"), LossMeanGrad { reduction }, inputs));
        }
        let sums = (SUMS, InputKind::Probability);
        all.push(case(format!("loss_mean/{reduction:?}, few"), LossMean { reduction }, vec![sums]));
    }
    all
}
