//! A constant tensor.

use super::{InputKind, Lowering, Op, OpCase, expect_inputs};
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// A linear tensor filled with one value; takes no inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    /// Its shape.
    pub shape: Shape,
    /// Its value.
    pub value: f32,
}

impl Op for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 0)?;
        Ok(vec![TensorDesc::linear(self.shape)])
    }

    fn reference(&self, _: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        Ok(vec![HostTensor::new(self.shape.dims(), vec![self.value; self.shape.len()])?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let len = self.shape.len();
        let params = FillParams { len: len as u32, value: self.value, row: cx.linear_row(len) };
        cx.dispatch(KernelKey::new("fill"), params, [Operand::Output(0)], cx.per_element(len))
    }
}

shader_struct! {
    /// Parameters of `fill`.
    struct FillParams {
        len: u32,
        value: f32,
        row: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, shape: Shape, value: f32| OpCase {
        name: format!("fill/{name}"),
        op: std::sync::Arc::new(Fill { shape, value }),
        inputs: Vec::<(TensorDesc, InputKind)>::new(),
    };
    vec![case("one", Shape::new(1, 1, 1, 1), 1.0), case("many", Shape::new(2, 3, 5, 7), -2.5)]
}
