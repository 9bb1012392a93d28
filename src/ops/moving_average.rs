//! Running statistics.

use super::{InputKind, Lowering, Op, OpCase, expect_inputs};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};
use std::sync::Arc;

/// `running * (1 - momentum) + batch * momentum * factor`. Inputs, both linear: running, a persistent variable that the
/// result must update, and batch. The factor turns a biased variance into an unbiased one.
#[derive(Clone, Debug, PartialEq)]
pub struct MovingAverage {
    /// Weight of the new statistic, as in PyTorch.
    pub momentum: f32,
    /// Factor on the new statistic.
    pub factor: f32,
}

impl MovingAverage {
    fn weights(&self) -> (f32, f32) {
        let momentum = f64::from(self.momentum);
        ((1.0 - momentum) as f32, (momentum * f64::from(self.factor)) as f32)
    }
}

impl Op for MovingAverage {
    fn name(&self) -> &'static str {
        "moving_average"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        if inputs[0] != inputs[1] || inputs[0].layout != Layout::Linear {
            return Err(Error::op(self.name(), format!("running is {:?}, batch {:?}", inputs[0], inputs[1])));
        }
        Ok(vec![inputs[0]])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (keep, add) = self.weights();
        let next =
            |(&old, &new): (&f32, &f32)| (f64::from(old) * f64::from(keep) + f64::from(new) * f64::from(add)) as f32;
        let y: Vec<f32> = inputs[0].data().iter().zip(inputs[1].data()).map(next).collect();
        Ok(vec![HostTensor::new(inputs[0].dims(), y)?])
    }

    fn updates(&self) -> &[(usize, usize)] {
        &[(0, 0)]
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let len = cx.output(0).len();
        let (keep, add) = self.weights();
        let params = MovingAverageParams { len: len as u32, row: cx.linear_row(len), keep, add };
        let bindings = [Operand::Input(1), Operand::Output(0)];
        cx.dispatch(KernelKey::new("moving_average"), params, bindings, cx.per_element(len))
    }
}

shader_struct! {
    /// Parameters of `moving_average`.
    struct MovingAverageParams {
        len: u32,
        row: u32,
        keep: f32,
        add: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, factor: f32, len: usize| OpCase {
        name: format!("moving_average/{name}"),
        op: Arc::new(MovingAverage { momentum: 0.1, factor }),
        inputs: vec![(TensorDesc::linear(Shape::new(1, len, 1, 1)), InputKind::Data); 2],
    };
    vec![case("mean", 1.0, 5), case("variance", 1.01, 70)]
}
