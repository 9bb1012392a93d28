//! Activations: the op, and the kind that other ops fuse into their last step.

use super::{
    ActivationGrad, Backward, GraphBuilder, Lowering, Op, OpCase, ValueId, expect_inputs, map_elements, output_shape,
};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// An element-wise non-linearity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ActivationKind {
    /// The identity.
    #[default]
    None,
    /// `max(v, 0)`.
    Relu,
    /// `v` if positive, else `v` times this slope.
    LeakyRelu(f32),
    /// `1 / (1 + exp(-v))`.
    Sigmoid,
}

impl ActivationKind {
    /// The value of the constant `ACTIVATION` in `shaders/lib/activation.wgsl`. What is linear on each side of zero is one
    /// kind there, told apart by its slope: a kernel is compiled once for all of them.
    pub const fn id(&self) -> u32 {
        match self {
            Self::None | Self::Relu | Self::LeakyRelu(_) => 1,
            Self::Sigmoid => 2,
        }
    }

    /// The argument `slope` of the shader's `activate`: what negative values are multiplied by.
    pub const fn slope(&self) -> f32 {
        match self {
            Self::None => 1.0,
            Self::LeakyRelu(slope) => *slope,
            Self::Relu | Self::Sigmoid => 0.0,
        }
    }

    /// The activation of one value.
    pub fn apply(&self, v: f64) -> f64 {
        match *self {
            Self::None => v,
            Self::Relu => v.max(0.0),
            Self::LeakyRelu(slope) if v <= 0.0 => v * f64::from(slope),
            Self::LeakyRelu(_) => v,
            Self::Sigmoid => 1.0 / (1.0 + (-v).exp()),
        }
    }
}

/// An activation by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// Which one.
    pub kind: ActivationKind,
}

impl Op for Activation {
    fn name(&self) -> &'static str {
        match self.kind {
            ActivationKind::None => "identity",
            ActivationKind::Relu => "relu",
            ActivationKind::LeakyRelu(_) => "leaky_relu",
            ActivationKind::Sigmoid => "sigmoid",
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        if !self.kind.slope().is_finite() {
            return Err(Error::op(self.name(), format!("slope {}", self.kind.slope())));
        }
        Ok(vec![TensorDesc::blocked(inputs[0].shape)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        output_shape(self, inputs)?;
        map_elements(inputs[0], |_, _, v| self.kind.apply(f64::from(v)) as f32).map(|y| vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let o = cx.output(0);
        let Size { w, h, blocks, .. } = o.into();
        let params =
            ActivationParams { x: cx.input_view(0), y: cx.output_view(0), w, h, blocks, slope: self.kind.slope() };
        let kernel = KernelKey::new("activation").with("ACTIVATION", self.kind.id());
        cx.dispatch(kernel, params, [Operand::Input(0), Operand::Output(0)], Lowering::per_vec4(o))
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        let op = ActivationGrad { kind: self.kind };
        Ok(vec![Some(builder.node("grad", op, &[node.outputs[0], dy])?)])
    }
}

shader_struct! {
    /// Of `activation`.
    struct ActivationParams {
        x: View,
        y: View,
        w: u32,
        h: u32,
        blocks: u32,
        slope: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, kind, s: Shape| OpCase::new(format!("activation/{name}"), Activation { kind }, &[s]);
    vec![
        case("none", ActivationKind::None, Shape::new(1, 4, 3, 5)),
        case("relu", ActivationKind::Relu, Shape::new(2, 5, 9, 11)),
        case("leaky relu", ActivationKind::LeakyRelu(0.01), Shape::new(2, 3, 9, 17)),
        case("leaky relu, negative slope", ActivationKind::LeakyRelu(-0.3), Shape::new(1, 7, 4, 16)),
        case("sigmoid", ActivationKind::Sigmoid, Shape::new(2, 6, 5, 33)),
        case("sigmoid, one pixel", ActivationKind::Sigmoid, Shape::new(3, 1, 1, 1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_is_finite_at_both_ends() {
        let at = |v| ActivationKind::Sigmoid.apply(v);
        assert_eq!([at(-1e30), at(0.0), at(1e30)], [0.0, 0.5, 1.0]);
    }

    #[test]
    fn an_infinite_slope_is_refused() {
        let x = [TensorDesc::blocked(Shape::new(1, 1, 1, 1))];
        assert!(Activation { kind: ActivationKind::LeakyRelu(f32::NAN) }.infer(&x).is_err());
    }
}
