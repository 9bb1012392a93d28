//! The classification-guided module of U-Net 3+: a binary gate per image.

use super::{
    Backward, GraphBuilder, Lowering, Op, OpCase, Spatial, ValueId, expect_inputs, map_elements, output_shape,
};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Sensitivity;
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// Scores `[N, 2, 1, 1]` (absent, present) to a gate `[N, 1, 1, 1]`: 1 if present scores higher, else 0. Ties give 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgmaxGate;

/// `x * gate`. Inputs: x `[N, C, H, W]`, gate `[N, 1, 1, 1]`, which receives no gradient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleByGate;

impl Op for ArgmaxGate {
    fn name(&self) -> &'static str {
        "argmax_gate"
    }

    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::JumpsWithData
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        if (s.c, s.h, s.w) != (2, 1, 1) {
            return Err(Error::op(self.name(), format!("scores are {s}, not Nx2x1x1")));
        }
        Ok(vec![TensorDesc::blocked(s.with_c(1))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = output_shape(self, inputs)?;
        let scores = inputs[0].data();
        Ok(vec![HostTensor::from_fn(out, |n, _, _, _| f32::from(u8::from(scores[2 * n + 1] > scores[2 * n])))])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let params = GateParams { x: cx.input_view(0), y: cx.output_view(0) };
        let bindings = [Operand::Input(0), Operand::Output(0)];
        cx.dispatch(KernelKey::new("gate"), params, bindings, Lowering::per_vec4(cx.output(0)))
    }

    /// The decision has no gradient: the module is trained only by a loss on its scores.
    fn backward(&self, _: &Backward, _: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        Ok(vec![None])
    }
}

impl Op for ScaleByGate {
    fn name(&self) -> &'static str {
        "scale_by_gate"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        let (s, gate) = (inputs[0].shape, inputs[1].shape);
        if gate != Shape::new(s.n, 1, 1, 1) {
            return Err(Error::op(self.name(), format!("input {s} needs a gate {}x1x1x1, got {gate}", s.n)));
        }
        Ok(vec![TensorDesc::blocked(s)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        output_shape(self, inputs)?;
        let gate = inputs[1].data();
        map_elements(inputs[0], |n, _, v| v * gate[n]).map(|y| vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let o = cx.output(0);
        let (x, gate, y) = (cx.input_view(0), cx.input_view(1), cx.output_view(0));
        let params = ScaleByGateParams { x, gate, y, size: o.into() };
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        cx.dispatch(KernelKey::new("scale_by_gate"), params, bindings, Lowering::per_vec4(o))
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("the classification gate depends on the whole image")
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None, None]) };
        Ok(vec![Some(builder.node("grad", Self, &[dy, node.inputs[1]])?), None])
    }
}

shader_struct! {
    /// Parameters of `gate`.
    struct GateParams {
        x: View,
        y: View,
    }

    /// Parameters of `scale_by_gate`.
    struct ScaleByGateParams {
        x: View,
        gate: View,
        y: View,
        size: Size,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let gate = |n: usize| OpCase::new(format!("argmax_gate/{n} images"), ArgmaxGate, &[Shape::new(n, 2, 1, 1)]);
    let scale = |name: &str, s: Shape| {
        OpCase::new(format!("scale_by_gate/{name}"), ScaleByGate, &[s, Shape::new(s.n, 1, 1, 1)])
    };
    vec![
        gate(1),
        gate(2),
        gate(9),
        scale("batch", Shape::new(2, 1, 9, 11)),
        scale("blocks", Shape::new(3, 6, 5, 17)),
        scale("one pixel", Shape::new(2, 4, 1, 1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_close_the_gate() {
        let scores = HostTensor::new([3, 2, 1, 1], vec![0.5, 0.5, 0.2, 0.3, 0.3, 0.2]).unwrap();
        assert_eq!(ArgmaxGate.reference(&[&scores]).unwrap()[0].data(), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn shapes_are_checked() {
        let x = TensorDesc::blocked(Shape::new(2, 3, 4, 5));
        assert!(ArgmaxGate.infer(&[x]).unwrap_err().to_string().contains("2x3x4x5"));
        assert!(ScaleByGate.infer(&[x, TensorDesc::blocked(Shape::new(1, 1, 1, 1))]).is_err());
    }
}
