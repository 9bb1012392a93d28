//! Gradient accumulation over several batches.

use super::Hyper;
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{InputKind, Lowering, Op, OpCase, OptimiserKind, expect_inputs};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};
use std::sync::Arc;

/// `sum + grad`, or `grad` alone unless [`Hyper::keep`] is set. Inputs, all linear: gradient, hyper-parameters, sum.
/// The sum is a persistent variable that the output updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accumulate;

impl Op for Accumulate {
    fn name(&self) -> &'static str {
        "accumulate"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 3)?;
        if inputs[0] != inputs[2] || inputs[1].shape != Hyper::SHAPE || inputs[0].layout != Layout::Linear {
            return Err(Error::op(self.name(), format!("inputs {inputs:?} do not fit")));
        }
        Ok(vec![inputs[2]])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let keep = inputs[1].data()[5] != 0.0;
        let sum = |(&grad, &sum): (&f32, &f32)| if keep { sum + grad } else { grad };
        let sums: Vec<f32> = inputs[0].data().iter().zip(inputs[2].data()).map(sum).collect();
        Ok(vec![HostTensor::new(inputs[2].dims(), sums)?])
    }

    fn updates(&self) -> &[(usize, usize)] {
        &[(0, 2)]
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let len = cx.output(0).len();
        let params = AccumulateParams { len: len as u32, row: cx.linear_row(len) };
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        cx.dispatch(KernelKey::new("accumulate"), params, bindings, cx.per_element(len))
    }
}

shader_struct! {
    /// Parameters of `accumulate`.
    struct AccumulateParams {
        len: u32,
        row: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, keep: bool, len: usize| {
        let hyper = Hyper { lr: 0.1, step: 1, scale: 1.0, apply: true, keep };
        let kind = OptimiserKind::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        let tensor = (TensorDesc::linear(Shape::new(len, 1, 1, 1)), InputKind::Data);
        let hyper = (TensorDesc::linear(Hyper::SHAPE), InputKind::Fixed(hyper.words(&kind).to_vec()));
        let inputs = vec![tensor.clone(), hyper, tensor];
        OpCase { name: format!("accumulate/{name}"), op: Arc::new(Accumulate), inputs }
    };
    vec![case("added", true, 70), case("anew", false, 5)]
}
