//! Gradient of softmax over channels.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::{Lowering, Op, OpCase, expect_inputs};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// Gradient of [`Softmax`](crate::ops::Softmax), computed from its result. Inputs: y, dy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftmaxGrad;

impl Op for SoftmaxGrad {
    fn name(&self) -> &'static str {
        "softmax_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        if inputs[0].shape != inputs[1].shape {
            return Err(Error::op(self.name(), format!("y is {}, dy is {}", inputs[0].shape, inputs[1].shape)));
        }
        Ok(vec![TensorDesc::blocked(inputs[0].shape)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        let at = |t: usize, n, c, y, x| f64::from(inputs[t].data()[s.index(n, c, y, x)]);
        Ok(vec![HostTensor::from_fn(s, |n, c, y, x| {
            let sum: f64 = (0..s.c).map(|k| at(0, n, k, y, x) * at(1, n, k, y, x)).sum();
            (at(0, n, c, y, x) * (at(1, n, c, y, x) - sum)) as f32
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let params = SoftmaxGradParams { y: cx.input_view(0), size: s.into() };
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        let grid = [s.w.div_ceil(16), s.h.div_ceil(4), s.n];
        cx.dispatch(KernelKey::new("softmax_grad"), params, bindings, grid)
    }
}

shader_struct! {
    /// Parameters of `softmax_grad`.
    struct SoftmaxGradParams {
        /// View of y, dy and dx, which have one shape.
        y: View,
        size: Size,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, s: Shape| OpCase::new(format!("softmax_grad/{name}"), SoftmaxGrad, &[s, s]);
    vec![
        case("two classes", Shape::new(2, 2, 9, 11)),
        case("blocks", Shape::new(1, 7, 3, 17)),
        case("one", Shape::new(1, 1, 1, 1)),
    ]
}
