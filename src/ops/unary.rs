//! Element-wise functions: activations and the others in the table of [`Function`].

use super::{
    ActivationGrad, Backward, ExportNchw, GraphBuilder, InputKind, Lowering, Op, OpCase, Sensitivity, ValueId,
    expect_inputs, map_elements,
};
use crate::error::{Error, Result};
use crate::kernel::{Function, KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};

/// An element-wise function. The input is blocked, or linear if it is a parameter: [`Function::Identity`] turns an
/// initialiser of an imported network into a tensor for any op.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// The function.
    pub kind: Function,
}

impl Op for Unary {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn sensitivity(&self) -> Sensitivity {
        match self.kind {
            Function::Floor | Function::Ceil | Function::Round | Function::Sign => Sensitivity::JumpsWithData,
            _ => Sensitivity::Smooth,
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        if self.kind.arguments().iter().any(|v| !v.is_finite()) {
            return Err(Error::op(self.name(), format!("its arguments must be finite: {:?}", self.kind)));
        }
        Ok(vec![TensorDesc::blocked(inputs[0].shape)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        self.infer(&[TensorDesc::blocked(inputs[0].shape()?)])?;
        map_elements(inputs[0], |_, _, v| self.kind.apply(f64::from(v)) as f32).map(|y| vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let o = cx.output(0);
        let (x, view) = cx.blocked_input(0);
        let [alpha, beta] = self.kind.arguments();
        let params = UnaryParams { x: view, y: cx.output_view(0), size: o.into(), alpha, beta };
        let kernel = KernelKey::new("unary").with("ACTIVATION", self.kind.id());
        cx.dispatch(kernel, params, [x, Operand::Output(0)], Lowering::per_vec4(o))
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0).filter(|_| node.needs_grad(0)) else { return Ok(vec![None]) };
        let op = ActivationGrad { kind: self.kind };
        let at = if self.kind.slope_follows_from_result() { node.outputs[0] } else { node.inputs[0] };
        let dx = builder.node("grad", op, &[at, dy])?;
        // The gradient of a parameter has the parameter's layout.
        let dx = match builder.desc(node.inputs[0]).layout {
            Layout::Blocked => dx,
            Layout::Linear => builder.node("grad_export", ExportNchw, &[dx])?,
        };
        Ok(vec![Some(dx)])
    }
}

shader_struct! {
    /// Parameters of `unary`.
    struct UnaryParams {
        x: View,
        y: View,
        size: Size,
        alpha: f32,
        beta: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    use Function as F;
    let case = |name: &str, kind: Function, s: Shape, input: InputKind| {
        let mut case = OpCase::new(format!("{}/{name}", kind.name()), Unary { kind }, &[s]);
        case.inputs[0].1 = input;
        case
    };
    let s = Shape::new(2, 5, 4, 9);
    // From -6 to 6, with integers and halves among them.
    let grid = || InputKind::Fixed((0..s.len()).map(|i| ((i * 37) % 97) as f32 / 8.0 - 6.0).collect());
    let mut cases = Vec::new();
    for &kind in F::ALL {
        // Functions that are not defined everywhere, or steep.
        if !kind.apply(-1.0).is_finite() || !kind.apply(0.0).is_finite() || kind == F::Exp {
            cases.push(case("0 to 1", kind, Shape::new(1, 6, 3, 17), InputKind::Probability));
            continue;
        }
        cases.push(case("-6 to 6", kind, s, grid()));
        // Where a function jumps, elements must be exact in f16.
        let jumps = matches!(kind, F::Floor | F::Ceil | F::Round | F::Sign);
        let input = if jumps { InputKind::Data } else { InputKind::Wide };
        cases.push(case("anything", kind, s, input));
    }
    let far = Shape::new(1, 4, 1, 1);
    let extremes = || InputKind::Fixed(vec![-1e4, -90.0, 90.0, 1e4]);
    let curved = [F::Sigmoid, F::Tanh, F::Erf, F::Softplus, F::Silu, F::Mish, F::Gelu, F::GeluTanh];
    for kind in curved.into_iter().chain([F::Elu { alpha: 1.0 }]) {
        cases.push(case("far from zero", kind, far, extremes()));
    }
    let more = [
        case("unbounded below", F::Clip { min: f32::NEG_INFINITY, max: 0.25 }, far, InputKind::Data),
        case("negative slope", F::LeakyRelu { slope: -0.3 }, Shape::new(1, 7, 4, 16), InputKind::Data),
        case("one pixel", F::Sigmoid, Shape::new(3, 1, 1, 1), InputKind::Data),
        case("wide", F::Relu, Shape::new(2, 5, 9, 33), InputKind::Data),
        OpCase::new("identity/of a parameter", Unary { kind: F::Identity }, &[])
            .parameter(&[2, 3, 4, 5], InputKind::Parameter),
    ];
    cases.extend(more);
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_checked() {
        let x = [TensorDesc::blocked(Shape::new(1, 1, 1, 1))];
        assert!(Unary { kind: Function::Elu { alpha: f32::NAN } }.infer(&x).is_err());
        assert!(Unary { kind: Function::LeakyRelu { slope: f32::INFINITY } }.infer(&x).is_err());
        let open = Function::Clip { min: f32::NEG_INFINITY, max: f32::INFINITY };
        assert!(Unary { kind: open }.infer(&x).is_ok());
    }
}
