//! Batched matrix multiplication: every plane is a matrix.

use super::binary::broadcast;
use super::{InputKind, Lowering, Op, OpCase, Spatial, by_plane, expect_inputs};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// `torch.matmul` of `[N, C, H, K]` and `[N, C, K, W]`, plane by plane; N and C broadcast. Either input may be a
/// parameter. With `transposed` the second input is `[N, C, W, K]`.
///
/// Fully connected layers over channels are faster as 1x1 convolutions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatMul {
    /// Whether the second input's planes are transposed.
    pub transposed: bool,
}

impl MatMul {
    fn output(&self, a: Shape, b: Shape) -> Option<Shape> {
        let (k, w) = if self.transposed { (b.w, b.h) } else { (b.h, b.w) };
        let out = broadcast(a.with_hw(1, 1), b.with_hw(1, 1))?.with_hw(a.h, w);
        (k == a.w && k > 0 && !out.is_empty()).then_some(out)
    }
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        let [a, b] = [inputs[0].shape, inputs[1].shape];
        match self.output(a, b) {
            Some(out) => Ok(vec![TensorDesc::blocked(out)]),
            None => Err(Error::op(self.name(), format!("{a} times {b}, transposed: {}", self.transposed))),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let [a, b] = [inputs[0].shape()?, inputs[1].shape()?];
        let out = self.infer(&[a, b].map(TensorDesc::blocked))?[0].shape;
        let start = |s: Shape, n: usize, c: usize| s.index(n.min(s.n - 1), c.min(s.c - 1), 0, 0);
        Ok(vec![by_plane(out, |n, c, plane| {
            let (a0, b0) = (start(a, n, c), start(b, n, c));
            for (i, v) in plane.iter_mut().enumerate() {
                let (y, x) = (i / out.w, i % out.w);
                let right = |k: usize| if self.transposed { x * b.w + k } else { k * b.w + x };
                let product = |k: usize| {
                    f64::from(inputs[0].data()[a0 + y * a.w + k]) * f64::from(inputs[1].data()[b0 + right(k)])
                };
                *v = (0..a.w).map(product).sum::<f64>() as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (a, b, o) = (cx.input(0), cx.input(1), cx.output(0));
        let (left, mut left_view) = cx.blocked_input(0);
        let (right, mut right_view) = cx.blocked_input(1);
        for (view, s) in [(&mut left_view, a), (&mut right_view, b)] {
            view.plane = if s.c == o.c { view.plane } else { 0 };
            view.batch = if s.n == o.n { view.batch } else { 0 };
        }
        // Strides of the second input along k and along output columns.
        let (b_step_k, b_step_column) = if self.transposed { (1, right_view.row) } else { (right_view.row, 1) };
        let Size { w, h, blocks, .. } = o.into();
        let params = MatMulParams {
            a: left_view,
            b: right_view,
            y: cx.output_view(0),
            w,
            h,
            blocks,
            depth: a.w as u32,
            b_step_k,
            b_step_column,
            a_one_channel: u32::from(a.c != o.c),
            b_one_channel: u32::from(b.c != o.c),
        };
        cx.reads(Operand::Input(0), o.w as f64);
        cx.reads(Operand::Input(1), o.h as f64);
        cx.dispatch(KernelKey::new("matmul"), params, [left, right, Operand::Output(0)], Lowering::per_vec4(o))
    }

    fn macs(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> u64 {
        (outputs[0].shape.len() * inputs[0].shape.w) as u64
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("a matrix product depends on the whole image")
    }
}

shader_struct! {
    /// Parameters of `matmul`.
    struct MatMulParams {
        /// Strides of broadcast axes are 0.
        a: View,
        b: View,
        y: View,
        w: u32,
        h: u32,
        blocks: u32,
        /// K
        depth: u32,
        /// Stride of b along k.
        b_step_k: u32,
        /// Stride of b along columns of y.
        b_step_column: u32,
        /// Whether a has one channel that is broadcast.
        a_one_channel: u32,
        b_one_channel: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let s = Shape::new;
    let case = |name: &str, transposed: bool, a: Shape, b: Shape| {
        OpCase::new(format!("matmul/{name}"), MatMul { transposed }, &[a, b])
    };
    vec![
        case("planes", false, s(2, 5, 7, 9), s(2, 5, 9, 18)),
        case("transposed, as scores of attention", true, s(1, 6, 7, 5), s(1, 6, 9, 5)),
        case("one plane for all", false, s(2, 3, 4, 6), s(1, 1, 6, 5)),
        case("one channel on the left", false, s(1, 1, 4, 6), s(2, 7, 6, 5)),
        OpCase::new("matmul/parameter", MatMul { transposed: false }, &[s(2, 1, 3, 8)])
            .parameter(&[1, 1, 8, 5], InputKind::Parameter),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_sizes_must_agree() {
        let x = [Shape::new(1, 2, 3, 4), Shape::new(1, 2, 5, 4)].map(TensorDesc::blocked);
        assert_eq!(MatMul { transposed: true }.infer(&x).unwrap()[0].shape, Shape::new(1, 2, 3, 5));
        assert!(MatMul { transposed: false }.infer(&x).unwrap_err().to_string().contains("1x2x5x4"));
    }
}
