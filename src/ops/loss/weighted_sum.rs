//! Weighted sums of losses.

use super::{SCALAR, case, linear};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{Backward, GraphBuilder, Lowering, Op, OpCase, ValueId, expect_inputs};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};

/// `w0 x0 + w1 x1 + ..` of NCHW tensors of one shape, added in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedSum {
    /// Weight of each input.
    pub weights: Vec<f32>,
}

/// Inputs per dispatch; the rest are added in further dispatches.
const PER_DISPATCH: usize = 4;

impl Op for WeightedSum {
    fn name(&self) -> &'static str {
        "weighted_sum"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, self.weights.len())?;
        if let Some(w) = self.weights.iter().find(|w| !w.is_finite()) {
            return Err(Error::op(self.name(), format!("a weight is {w}")));
        }
        let Some(&first) = inputs.first() else { return Err(Error::op(self.name(), "takes at least 1 input")) };
        match inputs.iter().find(|x| **x != first || x.layout != Layout::Linear) {
            Some(x) => Err(Error::op(self.name(), format!("takes NCHW tensors of one shape, not {first:?} and {x:?}"))),
            None => Ok(vec![first]),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let descs = inputs.iter().map(|t| t.shape().map(TensorDesc::linear)).collect::<Result<Vec<_>>>()?;
        let s = self.infer(&descs)?[0].shape;
        let sum = |i: usize| {
            let terms = inputs.iter().zip(&self.weights).map(|(x, &w)| f64::from(w) * f64::from(x.data()[i]));
            terms.sum::<f64>() as f32
        };
        Ok(vec![HostTensor::new(s.dims(), (0..s.len()).map(sum).collect::<Vec<_>>())?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let len = cx.output(0).len();
        for (part, weights) in self.weights.chunks(PER_DISPATCH).enumerate() {
            let first = part * PER_DISPATCH;
            let mut key = KernelKey::new("weighted_sum").with("COUNT", weights.len() as u32);
            for name in ["B", "C", "D"].into_iter().take(weights.len() - 1) {
                key = key.with(name, 1);
            }
            let weight = |i: usize| weights.get(i).copied().unwrap_or_default();
            let params = WeightedSumParams {
                weight_a: weight(0),
                weight_b: weight(1),
                weight_c: weight(2),
                weight_d: weight(3),
                len: len as u32,
                row: cx.linear_row(len),
            };
            let mut bindings: Vec<_> = (first..first + weights.len()).map(Operand::Input).collect();
            bindings.push(Operand::Output(0));
            cx.dispatch(key.flag("ACCUMULATE", part > 0), params, bindings, cx.per_element(len))?;
        }
        Ok(())
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let mut grads = vec![None; node.inputs.len()];
        let Some(dy) = node.grad(0) else { return Ok(grads) };
        for (i, (grad, &w)) in grads.iter_mut().zip(&self.weights).enumerate() {
            if node.needs_grad(i) {
                let scaled =
                    |builder: &mut dyn GraphBuilder| builder.node("grad", WeightedSum { weights: vec![w] }, &[dy]);
                *grad = Some(if w == 1.0 { dy } else { scaled(builder)? });
            }
        }
        Ok(grads)
    }
}

shader_struct! {
    /// Parameters of `weighted_sum`.
    struct WeightedSumParams {
        weight_a: f32,
        weight_b: f32,
        weight_c: f32,
        weight_d: f32,
        len: u32,
        row: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let sum = |weights: &[f32], s: Shape| {
        let inputs = vec![linear(s); weights.len()];
        case(format!("weighted_sum/{} of {s}", weights.len()), WeightedSum { weights: weights.to_vec() }, inputs)
    };
    vec![
        sum(&[0.5], SCALAR.shape),
        sum(&[0.5, 1.0], SCALAR.shape),
        sum(&[0.25, -1.0, 2.0], Shape::new(1, 3, 5, 30)),
        sum(&[0.25, 0.25, 0.25, 0.25], SCALAR.shape),
        sum(&[0.25, 0.25, 0.25, 0.25, 1.0], SCALAR.shape),
        sum(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], Shape::new(1, 70, 1, 1)),
    ]
}
