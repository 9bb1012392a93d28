//! Gradient of resizing.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::resize::Axis;
use crate::ops::{Lowering, Op, OpCase, Resize, ResizeMode, ResizeSize, by_plane, expect_inputs};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// Gradient of [`Resize`] from `h` x `w` pixels. Input: dy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizeGrad {
    /// Interpolation mode.
    pub mode: ResizeMode,
    /// Rows of the input.
    pub h: usize,
    /// Columns of the input.
    pub w: usize,
}

impl Op for ResizeGrad {
    fn name(&self) -> &'static str {
        "resize_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let (s, out) = (inputs[0].shape, inputs[0].shape.with_hw(self.h, self.w));
        if s.is_empty() || out.is_empty() {
            return Err(Error::op(self.name(), format!("from {s} to {out}")));
        }
        Resize { mode: self.mode, size: ResizeSize::Exact { h: s.h, w: s.w } }.infer(&[TensorDesc::blocked(out)])?;
        Ok(vec![TensorDesc::blocked(out)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        let out = s.with_hw(self.h, self.w);
        let (rows, columns) = (self.mode.samples(out.h, s.h), self.mode.samples(out.w, s.w));
        Ok(vec![by_plane(out, |n, c, plane| {
            let mut sums = vec![0.0; plane.len()];
            for (y, &(top, bottom, below)) in rows.iter().enumerate() {
                for (x, &(left, right, beside)) in columns.iter().enumerate() {
                    let dy = f64::from(inputs[0].data()[s.index(n, c, y, x)]);
                    for (i, row) in [(top, 1.0 - below), (bottom, below)] {
                        sums[i * out.w + left] += dy * row * (1.0 - beside);
                        sums[i * out.w + right] += dy * row * beside;
                    }
                }
            }
            plane.iter_mut().zip(sums).for_each(|(p, sum)| *p = sum as f32);
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, out) = (cx.input(0), cx.output(0));
        let axes = self.mode.axes(cx.label, out, s)?;
        let (Size { w, h, blocks, .. }, Size { w: ow, h: oh, .. }) = (out.into(), s.into());
        let params = ResizeGradParams {
            dx: cx.output_view(0),
            dy: cx.input_view(0),
            columns: axes.columns,
            rows: axes.rows,
            w,
            h,
            blocks,
            ow,
            oh,
            column_factor: axes.column_factor,
            row_factor: axes.row_factor,
        };
        let kernel = KernelKey::new("resize_grad")
            .flag("BILINEAR", self.mode != ResizeMode::Nearest)
            .flag("POWER_OF_TWO", axes.power_of_two);
        cx.reads(Operand::Input(0), if self.mode == ResizeMode::Nearest { 1.0 } else { 4.0 });
        cx.dispatch(kernel, params, [Operand::Input(0), Operand::Output(0)], Lowering::per_vec4(out))
    }
}

shader_struct! {
    /// Parameters of `resize_grad`.
    struct ResizeGradParams {
        dx: View,
        dy: View,
        columns: Axis,
        rows: Axis,
        w: u32,
        h: u32,
        blocks: u32,
        ow: u32,
        oh: u32,
        column_factor: f32,
        row_factor: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let half = ResizeMode::Bilinear { align_corners: false };
    let corners = ResizeMode::Bilinear { align_corners: true };
    let case = |name: &str, mode, s: Shape, [h, w]: [usize; 2]| {
        OpCase::new(format!("resize_grad/{name}"), ResizeGrad { mode, h, w }, &[s])
    };
    vec![
        case("nearest x2", ResizeMode::Nearest, Shape::new(2, 5, 8, 12), [4, 6]),
        case("nearest, odd sizes", ResizeMode::Nearest, Shape::new(1, 3, 9, 11), [4, 5]),
        case("bilinear x2", half, Shape::new(2, 5, 8, 12), [4, 6]),
        case("bilinear x16", half, Shape::new(1, 4, 48, 32), [3, 2]),
        case("bilinear, one pixel", half, Shape::new(1, 4, 2, 2), [1, 1]),
        case("bilinear, smaller", half, Shape::new(1, 3, 5, 4), [9, 11]),
        case("bilinear x2, align_corners", corners, Shape::new(2, 3, 8, 14), [4, 7]),
        case("bilinear, one pixel, align_corners", corners, Shape::new(1, 1, 4, 4), [1, 1]),
        case("bilinear to one pixel, align_corners", corners, Shape::new(1, 1, 1, 1), [3, 4]),
    ]
}
