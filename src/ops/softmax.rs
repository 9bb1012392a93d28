//! Softmax over channels.

use super::{
    Backward, GraphBuilder, Lowering, Op, OpCase, SoftmaxGrad, ValueId, by_plane, expect_inputs, output_shape,
};
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// `torch.softmax(x, dim=1)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Softmax;

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        Ok(vec![TensorDesc::blocked(inputs[0].shape)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = output_shape(self, inputs)?;
        let x = inputs[0].data();
        Ok(vec![by_plane(s, |n, c, plane| {
            for (i, y) in plane.iter_mut().enumerate() {
                let at = |c: usize| f64::from(x[s.index(n, c, 0, 0) + i]);
                let top = (0..s.c).map(at).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = (0..s.c).map(|c| (at(c) - top).exp()).sum();
                *y = ((at(c) - top).exp() / sum) as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.output(0);
        let Size { w, h, c, .. } = s.into();
        let params = SoftmaxParams { x: cx.input_view(0), y: cx.output_view(0), w, h, c };
        let pixels = Lowering::per_vec4(s.with_c(LANES.min(s.c)));
        cx.dispatch(KernelKey::new("softmax"), params, [Operand::Input(0), Operand::Output(0)], pixels)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        Ok(vec![Some(builder.node("grad", SoftmaxGrad, &[node.outputs[0], dy])?)])
    }
}

shader_struct! {
    /// Parameters of `softmax`.
    struct SoftmaxParams {
        x: View,
        y: View,
        w: u32,
        h: u32,
        c: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, s: Shape| OpCase::new(format!("softmax/{name}"), Softmax, &[s]);
    vec![
        case("two classes", Shape::new(2, 2, 9, 11)),
        case("three classes", Shape::new(1, 3, 4, 17)),
        case("one block", Shape::new(1, 4, 5, 16)),
        case("several blocks", Shape::new(2, 21, 6, 7)),
        case("one class", Shape::new(1, 1, 3, 3)),
        case("one pixel", Shape::new(3, 6, 1, 1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_logits_do_not_overflow() {
        let x = HostTensor::new([1, 3, 1, 1], vec![1e4, 1e4, -1e4]).unwrap();
        assert_eq!(Softmax.reference(&[&x]).unwrap()[0].data(), [0.5, 0.5, 0.0]);
    }
}
