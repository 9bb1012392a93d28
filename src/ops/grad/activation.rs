//! Gradient of an activation.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::{ActivationKind, Lowering, Op, OpCase, expect_inputs};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// `dy * slope`, the slope taken from the activation's result. Inputs: y, dy. As in PyTorch the slope at 0 is that of
/// negative values.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationGrad {
    /// Which activation.
    pub kind: ActivationKind,
}

impl ActivationKind {
    /// The slope where the activation's result is `y`.
    pub fn slope_at(&self, y: f64) -> f64 {
        match *self {
            Self::None => 1.0,
            Self::Sigmoid => y * (1.0 - y),
            _ if y > 0.0 => 1.0,
            Self::Relu => 0.0,
            Self::LeakyRelu(slope) => f64::from(slope),
        }
    }
}

impl Op for ActivationGrad {
    fn name(&self) -> &'static str {
        "activation_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        if inputs[0].shape != inputs[1].shape {
            return Err(Error::op(self.name(), format!("y is {}, dy is {}", inputs[0].shape, inputs[1].shape)));
        }
        if self.kind.slope() < 0.0 {
            return Err(Error::op(
                self.name(),
                "has no gradient for a negative slope: it cannot be told from the result",
            ));
        }
        Ok(vec![TensorDesc::blocked(inputs[0].shape)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let at = |(&y, &dy): (&f32, &f32)| (f64::from(dy) * self.kind.slope_at(f64::from(y))) as f32;
        let dx: Vec<f32> = inputs[0].data().iter().zip(inputs[1].data()).map(at).collect();
        Ok(vec![HostTensor::new(inputs[0].dims(), dx)?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let o = cx.output(0);
        let Size { w, h, blocks, .. } = o.into();
        let (y, dx) = (cx.input_view(0), cx.output_view(0));
        let params = ActivationGradParams { y, dx, w, h, blocks, slope: self.kind.slope() };
        let kernel = KernelKey::new("activation_grad").with("ACTIVATION", self.kind.id());
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        cx.dispatch(kernel, params, bindings, Lowering::per_vec4(o))
    }
}

shader_struct! {
    /// Of `activation_grad`.
    struct ActivationGradParams {
        y: View,
        /// And that of dy: they have one shape.
        dx: View,
        w: u32,
        h: u32,
        blocks: u32,
        slope: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case =
        |name: &str, kind, s: Shape| OpCase::new(format!("activation_grad/{name}"), ActivationGrad { kind }, &[s, s]);
    vec![
        case("relu", ActivationKind::Relu, Shape::new(2, 5, 9, 11)),
        case("leaky relu", ActivationKind::LeakyRelu(0.01), Shape::new(1, 3, 9, 17)),
        case("sigmoid", ActivationKind::Sigmoid, Shape::new(2, 6, 5, 3)),
    ]
}
