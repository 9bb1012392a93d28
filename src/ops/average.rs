//! Mean of several tensors.

use super::{Lowering, Op, OpCase, by_plane, expect_inputs, output_shape};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// The mean of tensors of one shape, such as the outputs of a deeply supervised network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Average {
    /// Number of inputs.
    pub inputs: usize,
}

/// Inputs per dispatch; the rest are added in further dispatches.
const PER_DISPATCH: usize = 6;

impl Op for Average {
    fn name(&self) -> &'static str {
        "average"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        if self.inputs == 0 {
            return Err(Error::op(self.name(), "takes at least 1 input"));
        }
        expect_inputs(self.name(), inputs, self.inputs)?;
        let first = inputs[0].shape;
        if let Some((i, x)) = inputs.iter().enumerate().find(|(_, x)| x.shape != first) {
            return Err(Error::op(self.name(), format!("input {i} is {}, input 0 is {first}", x.shape)));
        }
        Ok(vec![TensorDesc::blocked(first)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = output_shape(self, inputs)?;
        Ok(vec![by_plane(s, |n, c, plane| {
            let start = s.index(n, c, 0, 0);
            for (i, y) in plane.iter_mut().enumerate() {
                let sum: f64 = inputs.iter().map(|x| f64::from(x.data()[start + i])).sum();
                *y = (sum / inputs.len() as f64) as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let o = cx.output(0);
        let per_dispatch = PER_DISPATCH.min(cx.max_bindings().saturating_sub(1)).max(1);
        for first in (0..self.inputs).step_by(per_dispatch) {
            let end = (first + per_dispatch).min(self.inputs);
            let factor = if end == self.inputs { (1.0 / self.inputs as f64) as f32 } else { 1.0 };
            let Size { w, h, blocks, .. } = o.into();
            let params = AverageParams { x: cx.input_view(0), y: cx.output_view(0), w, h, blocks, factor };
            let mut kernel = KernelKey::new("average").with("INPUTS", (end - first) as u32);
            for name in ["X1", "X2", "X3", "X4", "X5"].into_iter().take(end - first - 1) {
                kernel = kernel.with(name, 1);
            }
            let mut bindings: Vec<_> = (first..end).map(Operand::Input).collect();
            bindings.push(Operand::Output(0));
            cx.dispatch(kernel.flag("ACCUMULATE", first > 0), params, bindings, Lowering::per_vec4(o))?;
        }
        Ok(())
    }
}

shader_struct! {
    /// Parameters of `average`.
    struct AverageParams {
        /// View of every input.
        x: View,
        y: View,
        w: u32,
        h: u32,
        blocks: u32,
        factor: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case =
        |inputs: usize, s: Shape| OpCase::new(format!("average/{inputs} inputs"), Average { inputs }, &vec![s; inputs]);
    vec![
        case(1, Shape::new(1, 3, 4, 5)),
        case(2, Shape::new(2, 5, 9, 11)),
        case(4, Shape::new(2, 1, 8, 17)),
        case(5, Shape::new(1, 8, 3, 16)),
        case(6, Shape::new(3, 2, 1, 1)),
        case(14, Shape::new(1, 6, 5, 7)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_must_agree() {
        let x = [Shape::new(1, 2, 4, 5), Shape::new(1, 2, 4, 6)].map(TensorDesc::blocked);
        let e = Average { inputs: 2 }.infer(&x).unwrap_err().to_string();
        assert_eq!(e, "average: input 1 is 1x2x4x6, input 0 is 1x2x4x5");
        assert!(Average { inputs: 0 }.infer(&[]).is_err());
    }
}
