//! Gradient of global max pooling.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Sensitivity;
use crate::ops::{Lowering, Op, OpCase, by_plane, expect_inputs};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// Gradient of [`GlobalMaxPool`](crate::ops::GlobalMaxPool). Inputs: x, dy. The first maximum of each plane receives
/// dy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalMaxPoolGrad;

impl Op for GlobalMaxPoolGrad {
    fn name(&self) -> &'static str {
        "global_max_pool_grad"
    }

    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::JumpsWithData
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        let s = inputs[0].shape;
        if inputs[1].shape != s.with_hw(1, 1) || s.is_empty() {
            return Err(Error::op(self.name(), format!("x is {s}, dy is {}", inputs[1].shape)));
        }
        Ok(vec![TensorDesc::blocked(s)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        Ok(vec![by_plane(s, |n, c, plane| {
            let start = s.index(n, c, 0, 0);
            let x = &inputs[0].data()[start..start + s.pixels()];
            let mut best = 0;
            x.iter().enumerate().for_each(|(i, v)| best = if *v > x[best] { i } else { best });
            plane[best] = inputs[1].data()[n * s.c + c];
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let Size { w, h, .. } = s.into();
        let params = GlobalMaxPoolGradParams { x: cx.input_view(0), dy: cx.input_view(1), w, h };
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        cx.dispatch(KernelKey::new("global_max_pool_grad"), params, bindings, [s.c.div_ceil(LANES), s.n, 1])
    }
}

shader_struct! {
    /// Parameters of `global_max_pool_grad`.
    struct GlobalMaxPoolGradParams {
        /// View of x and dx.
        x: View,
        dy: View,
        w: u32,
        h: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, s: Shape| {
        OpCase::new(format!("global_max_pool_grad/{name}"), GlobalMaxPoolGrad, &[s, s.with_hw(1, 1)])
    };
    vec![
        case("batch", Shape::new(2, 5, 9, 11)),
        case("large", Shape::new(1, 3, 33, 50)),
        case("one pixel", Shape::new(2, 2, 1, 1)),
    ]
}
