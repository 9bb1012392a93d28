//! Zero padding.

use super::{
    Backward, GraphBuilder, Lowering, Op, OpCase, Spatial, ValueId, Window, by_plane, expect_inputs, output_shape,
};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// `torch.nn.functional.pad(x, [left, right, top, bottom])`: adds zeros; a negative amount crops that side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pad2d {
    /// Columns added before the first.
    pub left: i64,
    /// Columns added after the last.
    pub right: i64,
    /// Rows added before the first.
    pub top: i64,
    /// Rows added after the last.
    pub bottom: i64,
}

/// Size of an axis after padding, if it is at least 1 and fits an `i32`, as shaders require.
pub(super) fn padded(n: usize, before: i64, after: i64) -> Option<usize> {
    let fits = |v: i64| i32::try_from(v).is_ok();
    let out = i64::try_from(n).ok()?.checked_add(before)?.checked_add(after)?;
    (out >= 1 && fits(out) && fits(before)).then_some(out as usize)
}

impl Op for Pad2d {
    fn name(&self) -> &'static str {
        "pad2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        let (Some(h), Some(w)) = (padded(s.h, self.top, self.bottom), padded(s.w, self.left, self.right)) else {
            let Self { left, right, top, bottom } = self;
            return Err(Error::op(
                self.name(),
                format!("left {left}, right {right}, top {top}, bottom {bottom} do not fit input {s}"),
            ));
        };
        Ok(vec![TensorDesc::blocked(s.with_hw(h, w))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = output_shape(self, inputs)?;
        shifted(inputs[0], out, self.top, self.left).map(|y| vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        lower_shifted(cx, self.top, self.left)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        shift_windows(self.top, self.left)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        let Self { left, right, top, bottom } = *self;
        let back = Self { left: -left, right: -right, top: -top, bottom: -bottom };
        Ok(vec![Some(builder.node("grad", back, &[dy])?)])
    }
}

/// `y[oy, ox] = x[oy - top, ox - left]`, zero outside.
pub(super) fn shifted(x: &HostTensor, out: Shape, top: i64, left: i64) -> Result<HostTensor> {
    let s = x.shape()?;
    let source = |o: usize, shift: i64, n: usize| usize::try_from(o as i64 - shift).ok().filter(|&i| i < n);
    Ok(by_plane(out, |n, c, plane| {
        for (oy, row) in plane.chunks_exact_mut(out.w).enumerate() {
            let Some(iy) = source(oy, top, s.h) else { continue };
            for (ox, y) in row.iter_mut().enumerate() {
                *y = source(ox, left, s.w).map_or(0.0, |ix| x.data()[s.index(n, c, iy, ix)]);
            }
        }
    }))
}

/// The dispatch of [`shifted`]; `infer` has checked that both shifts fit an `i32`.
pub(super) fn lower_shifted(cx: &mut Lowering, top: i64, left: i64) -> Result<()> {
    let (i, o) = (cx.input(0), cx.output(0));
    let Size { w: ow, h: oh, blocks, .. } = o.into();
    let (w, h, top, left) = (i.w as i32, i.h as i32, top as i32, left as i32);
    let params = PadParams { x: cx.input_view(0), y: cx.output_view(0), ow, oh, blocks, w, h, top, left };
    let bindings = [Operand::Input(0), Operand::Output(0)];
    cx.dispatch(KernelKey::new("pad"), params, bindings, Lowering::per_vec4(o))
}

/// Spatial dependency of [`shifted`].
pub(super) fn shift_windows(top: i64, left: i64) -> Spatial {
    let window = |shift: i64| Window { first: -shift, last: -shift, ..Window::SAME };
    Spatial::Windows(vec![[window(top), window(left)]])
}

shader_struct! {
    /// Parameters of `pad`.
    struct PadParams {
        x: View,
        y: View,
        ow: u32,
        oh: u32,
        blocks: u32,
        w: i32,
        h: i32,
        top: i32,
        left: i32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, [left, right, top, bottom]: [i64; 4], s: Shape| {
        OpCase::new(format!("pad2d/{name}"), Pad2d { left, right, top, bottom }, &[s])
    };
    vec![
        case("all sides differ", [1, 2, 0, 3], Shape::new(2, 5, 9, 11)),
        case("crop and pad", [-1, 1, 2, -1], Shape::new(2, 3, 9, 11)),
        case("crop every side", [-2, -3, -1, -4], Shape::new(1, 8, 19, 22)),
        case("one pixel", [3, 0, 17, 1], Shape::new(1, 1, 1, 1)),
        case("to one pixel", [-2, -2, -1, -1], Shape::new(3, 6, 3, 5)),
        case("nothing", [0, 0, 0, 0], Shape::new(1, 4, 7, 33)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_that_leave_nothing_or_overflow_are_refused() {
        let x = [TensorDesc::blocked(Shape::new(1, 1, 4, 4))];
        for top in [-4, -5, i64::MIN, i64::MAX, 1 << 31] {
            let op = Pad2d { left: 0, right: 0, top, bottom: 0 };
            assert!(op.infer(&x).unwrap_err().to_string().contains("1x1x4x4"), "{top}");
        }
    }
}
