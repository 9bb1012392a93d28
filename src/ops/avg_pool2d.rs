//! Average pooling.

use super::max_pool2d::pooled_size;
use super::{
    Backward, GraphBuilder, Lowering, Op, OpCase, Pool2d, Pool2dGrad, PoolKind, Spatial, ValueId, Window, by_plane,
    expect_inputs, output_shape,
};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// `torch.nn.functional.avg_pool2d(x, kernel)`: stride = kernel, no padding, output size rounded down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvgPool2d {
    /// Window edge and stride, pixels.
    pub kernel: usize,
}

impl Op for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let (s, kernel) = (inputs[0].shape, self.kernel);
        if kernel == 0 {
            return Err(Error::op(self.name(), "kernel 0"));
        }
        let size = |n: usize| pooled_size(n, kernel, kernel, 0, false);
        let (Some(h), Some(w)) = (size(s.h), size(s.w)) else {
            return Err(Error::op(self.name(), format!("input {s} is smaller than the {kernel}x{kernel} window")));
        };
        Ok(vec![TensorDesc::blocked(s.with_hw(h, w))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = output_shape(self, inputs)?;
        let (s, x, k) = (inputs[0].shape()?, inputs[0].data(), self.kernel);
        Ok(vec![by_plane(out, |n, c, plane| {
            for (i, v) in plane.iter_mut().enumerate() {
                let (top, left) = (i / out.w * k, i % out.w * k);
                let row = |y| &x[s.index(n, c, top + y, left)..][..k];
                let sum: f64 = (0..k).flat_map(row).map(|&v| f64::from(v)).sum();
                *v = (sum / (k * k) as f64) as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let o = cx.output(0);
        let params = AvgPool2dParams { x: cx.input_view(0), y: cx.output_view(0), size: o.into() };
        let kernel = KernelKey::new("avg_pool2d").with("KERNEL", self.kernel as u32);
        cx.dispatch(kernel, params, [Operand::Input(0), Operand::Output(0)], Lowering::per_vec4(o))
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        let k = self.kernel as i64;
        Spatial::Windows(vec![[Window { num: k, den: 1, first: 0, last: k - 1 }; 2]])
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        let pool = Pool2d::new(PoolKind::Average { count_include_pad: true }, self.kernel);
        Ok(vec![Some(Pool2dGrad::emit(pool, node.inputs[0], dy, builder)?)])
    }
}

shader_struct! {
    /// Parameters of `avg_pool2d`.
    struct AvgPool2dParams {
        x: View,
        y: View,
        /// Size of y.
        size: Size,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, kernel, s: Shape| OpCase::new(format!("avg_pool2d/{name}"), AvgPool2d { kernel }, &[s]);
    vec![
        case("2x2", 2, Shape::new(2, 5, 8, 36)),
        case("2x2 odd size", 2, Shape::new(2, 3, 9, 11)),
        case("3x3", 3, Shape::new(1, 8, 10, 12)),
        case("one pixel left", 4, Shape::new(3, 1, 7, 4)),
        case("1x1", 1, Shape::new(1, 6, 1, 1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let x = [TensorDesc::blocked(Shape::new(1, 1, 2, 3))];
        assert!(AvgPool2d { kernel: 0 }.infer(&x).is_err());
        let e = AvgPool2d { kernel: 3 }.infer(&x).unwrap_err().to_string();
        assert_eq!(e, "avg_pool2d: input 1x1x2x3 is smaller than the 3x3 window");
    }
}
