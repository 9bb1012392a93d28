//! Strided slices, and concatenation along rows or columns.

use super::strided::{Strided, strides};
use super::{Lowering, Op, OpCase, Spatial, Window, by_plane, expect_inputs, output_shape};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// `x[n0::sn, c0::sc, y0::sy, x0::sx]`, cut to `len` elements along each axis; a negative step runs backwards, as in a
/// flip. [`Crop2d`](super::Crop2d) and [`ChannelSlice`](super::ChannelSlice) are faster where they apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// First image, channel, row and column.
    pub start: [usize; 4],
    /// Step along each axis.
    pub step: [i64; 4],
    /// Number of elements along each axis.
    pub len: [usize; 4],
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        let inside = |axis: usize| {
            let last = i64::try_from(self.len[axis]).ok()?.checked_sub(1)?.checked_mul(self.step[axis])?;
            let end = i64::try_from(self.start[axis]).ok()?.checked_add(last)?;
            let n = s.dims()[axis];
            (self.len[axis] > 0 && self.start[axis] < n && end >= 0 && end < n as i64).then_some(())
        };
        if (0..4).any(|axis| inside(axis).is_none()) {
            return Err(Error::op(self.name(), format!("{self:?} is not inside input {s}")));
        }
        let [n, c, h, w] = self.len;
        Ok(vec![TensorDesc::blocked(Shape::new(n, c, h, w))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (s, out) = (inputs[0].shape()?, output_shape(self, inputs)?);
        let at = |axis: usize, i: usize| (self.start[axis] as i64 + i as i64 * self.step[axis]) as usize;
        Ok(vec![by_plane(out, |n, c, plane| {
            for (i, v) in plane.iter_mut().enumerate() {
                *v = inputs[0].data()[s.index(at(0, n), at(1, c), at(2, i / out.w), at(3, i % out.w))];
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let strides = strides(cx.input(0));
        let offset = (0..4).map(|a| self.start[a] * strides[a] as usize).sum();
        let strides = (0..4).map(|a| strides[a] * self.step[a]).collect();
        Strided { dims: self.len.to_vec(), strides, offset }.lower(cx)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        if self.step[2] < 1 || self.step[3] < 1 {
            return Spatial::Global("a flip depends on the size of the whole image");
        }
        let window = |axis: usize| {
            let first = self.start[axis] as i64;
            Window { num: self.step[axis], den: 1, first, last: first }
        };
        Spatial::Windows(vec![[window(2), window(3)]])
    }
}

/// `torch.cat` along rows (`dim=2`) or columns (`dim=3`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcatPixels {
    /// Concatenate columns, side by side, rather than rows.
    pub columns: bool,
}

impl Op for ConcatPixels {
    fn name(&self) -> &'static str {
        "concat_pixels"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let Some(first) = inputs.first().map(|i| i.shape) else {
            return Err(Error::op(self.name(), "takes at least 1 input, got 0"));
        };
        let one = |s: Shape| if self.columns { s.with_hw(s.h, 1) } else { s.with_hw(1, s.w) };
        if let Some(x) = inputs.iter().find(|x| one(x.shape) != one(first) || x.shape.is_empty()) {
            return Err(Error::op(self.name(), format!("{} cannot be concatenated with {first}", x.shape)));
        }
        let total = |size: fn(Shape) -> usize| inputs.iter().map(|i| size(i.shape)).sum();
        let (h, w) = if self.columns { (first.h, total(|s| s.w)) } else { (total(|s| s.h), first.w) };
        Ok(vec![TensorDesc::blocked(first.with_hw(h, w))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = output_shape(self, inputs)?;
        let shapes = inputs.iter().map(|x| x.shape()).collect::<Result<Vec<_>>>()?;
        Ok(vec![by_plane(out, |n, c, plane| {
            for (i, v) in plane.iter_mut().enumerate() {
                let (mut y, mut x) = (i / out.w, i % out.w);
                for (input, s) in inputs.iter().zip(&shapes) {
                    let (along, size) = if self.columns { (&mut x, s.w) } else { (&mut y, s.h) };
                    if *along < size {
                        *v = input.data()[s.index(n, c, y, x)];
                        break;
                    }
                    *along -= size;
                }
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let mut first = 0;
        for i in 0..cx.inputs.len() {
            let s = cx.input(i);
            let (top, left) = if self.columns { (0, first) } else { (first, 0) };
            let params = PlaceParams {
                x: cx.input_view(i),
                y: cx.output_view(0),
                size: s.into(),
                top: top as u32,
                left: left as u32,
            };
            let bindings = [Operand::Input(i), Operand::Output(0)];
            cx.dispatch(KernelKey::new("place"), params, bindings, Lowering::per_vec4(s))?;
            first += if self.columns { s.w } else { s.h };
        }
        Ok(())
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("positions of pixels depend on the size of the whole image")
    }
}

shader_struct! {
    /// Parameters of `place`.
    struct PlaceParams {
        x: View,
        y: View,
        /// Size of x.
        size: Size,
        top: u32,
        left: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let s = Shape::new;
    let slice = |name: &str, start: [usize; 4], step: [i64; 4], len: [usize; 4], x: Shape| {
        OpCase::new(format!("slice/{name}"), Slice { start, step, len }, &[x])
    };
    let concat = |name: &str, columns: bool, x: &[Shape]| {
        OpCase::new(format!("concat_pixels/{name}"), ConcatPixels { columns }, x)
    };
    vec![
        slice("every other pixel", [0, 0, 1, 0], [1, 1, 2, 2], [2, 5, 4, 6], s(2, 5, 9, 11)),
        slice("every third channel", [0, 2, 0, 0], [1, 3, 1, 1], [1, 3, 4, 5], s(1, 9, 4, 5)),
        slice("flip of columns", [0, 0, 0, 10], [1, 1, 1, -1], [1, 3, 7, 11], s(1, 3, 7, 11)),
        slice("an image, channels backwards", [1, 6, 0, 2], [1, -2, 1, 1], [1, 4, 3, 2], s(3, 7, 3, 4)),
        concat("rows", false, &[s(2, 5, 3, 18), s(2, 5, 1, 18), s(2, 5, 4, 18)]),
        concat("columns", true, &[s(1, 6, 5, 17), s(1, 6, 5, 2)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_stay_inside() {
        let x = [TensorDesc::blocked(Shape::new(1, 4, 5, 6))];
        let slice = |start, step, len| Slice { start: [0, 0, 0, start], step: [1, 1, 1, step], len: [1, 4, 5, len] };
        assert!(slice(0, 2, 3).infer(&x).is_ok() && slice(5, -1, 6).infer(&x).is_ok());
        for bad in [slice(0, 2, 4), slice(5, -1, 7), slice(6, 1, 1), slice(0, i64::MAX, 3), slice(0, 1, 0)] {
            assert!(bad.infer(&x).unwrap_err().to_string().contains("1x4x5x6"), "{bad:?}");
        }
    }
}
