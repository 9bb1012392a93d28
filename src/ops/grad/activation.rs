//! Gradient of element-wise functions.

use crate::error::{Error, Result};
use crate::kernel::{Function, KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Sensitivity;
use crate::ops::{InputKind, Lowering, Op, OpCase, expect_inputs};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// `dy` times the derivative of the function. Inputs: the function's result y, or its argument x where the derivative
/// does not follow from y ([`Function::slope_follows_from_result`]), and dy. As in PyTorch, the derivative at 0 is that
/// of negative values.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationGrad {
    /// The function.
    pub kind: Function,
}

impl Op for ActivationGrad {
    fn name(&self) -> &'static str {
        "activation_grad"
    }

    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::JumpsWithData
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        if inputs[0].shape != inputs[1].shape {
            return Err(Error::op(self.name(), format!("y is {}, dy is {}", inputs[0].shape, inputs[1].shape)));
        }
        Ok(vec![TensorDesc::blocked(inputs[0].shape)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let at = |(&v, &dy): (&f32, &f32)| (f64::from(dy) * self.kind.slope(f64::from(v))) as f32;
        let dx: Vec<f32> = inputs[0].data().iter().zip(inputs[1].data()).map(at).collect();
        Ok(vec![HostTensor::new(inputs[0].dims(), dx)?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let o = cx.output(0);
        let (v, view) = cx.blocked_input(0);
        let [alpha, beta] = self.kind.arguments();
        let params = ActivationGradParams { v: view, dx: cx.output_view(0), size: Size::from(o), alpha, beta };
        let kernel = KernelKey::new("activation_grad").with("ACTIVATION", self.kind.id());
        cx.dispatch(kernel, params, [v, Operand::Input(1), Operand::Output(0)], Lowering::per_vec4(o))
    }
}

shader_struct! {
    /// Parameters of `activation_grad`.
    struct ActivationGradParams {
        v: View,
        /// View of dx and dy, which have one shape.
        dx: View,
        size: Size,
        alpha: f32,
        beta: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, kind, s: Shape, input: InputKind| {
        let mut case = OpCase::new(format!("activation_grad/{name}"), ActivationGrad { kind }, &[s, s]);
        case.inputs[0].1 = input;
        case
    };
    let mut cases: Vec<OpCase> = Function::ALL
        .iter()
        .map(|&kind| {
            let defined = kind.slope(-1.0).is_finite() && kind.slope(0.0).is_finite() && kind != Function::Exp;
            let input = if defined { InputKind::Wide } else { InputKind::Probability };
            case(kind.name(), kind, Shape::new(2, 5, 4, 9), input)
        })
        .collect();
    let far = InputKind::Fixed(vec![-1e4, -90.0, 90.0, 1e4]);
    let curved =
        [Function::Silu, Function::Mish, Function::Gelu, Function::GeluTanh, Function::Erf, Function::Softplus];
    cases.extend(
        curved.map(|kind| case(&format!("{} far from zero", kind.name()), kind, Shape::new(1, 4, 1, 1), far.clone())),
    );
    cases
}
