//! Sum of several tensors of either layout. It combines the gradients of a value with several consumers.

use super::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, ValueId, expect_inputs};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};

/// `x0 + x1 + ..`: two or more tensors of one shape and layout, added in input order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Number of inputs.
    pub inputs: usize,
}

impl Op for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, self.inputs)?;
        let Some(&first) = inputs.first().filter(|_| self.inputs > 1) else {
            return Err(Error::op(self.name(), format!("takes at least 2 inputs, not {}", self.inputs)));
        };
        match inputs.iter().position(|&x| x != first) {
            Some(i) => Err(Error::op(self.name(), format!("input {i} is {:?}, input 0 is {first:?}", inputs[i]))),
            None => Ok(vec![first]),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let sum = |i: usize| inputs.iter().map(|x| f64::from(x.data()[i])).sum::<f64>() as f32;
        Ok(vec![HostTensor::new(inputs[0].dims(), (0..inputs[0].data().len()).map(sum).collect::<Vec<_>>())?])
    }

    /// The first dispatch adds two tensors; each further one adds up to two more to the result.
    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (o, blocked) = (cx.output(0), cx.outputs[0].layout == Layout::Blocked);
        let mut first = 0;
        while first < self.inputs {
            let end = (first + 2).min(self.inputs);
            let mut bindings: Vec<_> = (first..end).map(Operand::Input).collect();
            bindings.push(Operand::Output(0));
            let key = KernelKey::new("sum").flag("BLOCKED", blocked);
            let key =
                key.flag("ACCUMULATE", first > 0).flag("TWO", end - first == 2).with("Y", (end - first + 1) as u32);
            if blocked {
                let Size { w, h, blocks, .. } = o.into();
                let params = SumParams { x: cx.input_view(0), y: cx.output_view(0), w, h, blocks };
                let (key, grid) = cx.per_area(key, o);
                cx.dispatch(key, params, bindings, grid)?;
            } else {
                let params = LinearSumParams { len: o.len() as u32, row: cx.linear_row(o.len()) };
                cx.dispatch(key, params, bindings, cx.per_element(o.len()))?;
            }
            first = end;
        }
        Ok(())
    }

    fn backward(&self, node: &Backward, _: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        Ok(vec![node.grad(0); self.inputs])
    }
}

shader_struct! {
    /// Parameters of `sum`.
    struct SumParams {
        /// View of a and b.
        x: View,
        y: View,
        w: u32,
        h: u32,
        blocks: u32,
    }

    /// Parameters of `sum` on linear tensors.
    struct LinearSumParams {
        len: u32,
        row: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let blocked =
        |inputs: usize, s: Shape| OpCase::new(format!("sum/{inputs} of {s}"), Sum { inputs }, &vec![s; inputs]);
    let linear = |inputs: usize, s: Shape| OpCase {
        name: format!("sum/{inputs} linear of {s}"),
        op: std::sync::Arc::new(Sum { inputs }),
        inputs: vec![(TensorDesc::linear(s), InputKind::Data); inputs],
    };
    vec![
        blocked(2, Shape::new(2, 5, 9, 11)),
        blocked(3, Shape::new(1, 8, 3, 17)),
        blocked(4, Shape::new(3, 1, 1, 1)),
        linear(2, Shape::new(7, 5, 3, 3)),
        linear(5, Shape::new(1, 1, 1, 1)),
        linear(6, Shape::new(1, 130, 1, 1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_layouts_must_agree() {
        let s = Shape::new(1, 2, 4, 5);
        assert!(Sum { inputs: 2 }.infer(&[TensorDesc::blocked(s), TensorDesc::linear(s)]).is_err());
        assert!(Sum { inputs: 1 }.infer(&[TensorDesc::blocked(s)]).is_err());
    }
}
