//! Cropping.

use super::pad2d::{lower_shifted, shift_windows, shifted};
use super::{Backward, GraphBuilder, Lowering, Op, OpCase, Pad2d, Spatial, ValueId, expect_inputs, output_shape};
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// `x[:, :, top..top + h, left..left + w]`: the skip connections of the unpadded U-Net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crop2d {
    /// First row of the crop.
    pub top: usize,
    /// First column of the crop.
    pub left: usize,
    /// Rows of the crop.
    pub h: usize,
    /// Columns of the crop.
    pub w: usize,
}

impl Crop2d {
    /// The central `h` x `w` pixels of `from`, starting at half the surplus, rounded down. `None` if `from` is smaller.
    pub fn center(from: Shape, h: usize, w: usize) -> Option<Self> {
        Some(Self { top: from.h.checked_sub(h)? / 2, left: from.w.checked_sub(w)? / 2, h, w })
    }
}

impl Op for Crop2d {
    fn name(&self) -> &'static str {
        "crop2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        let &Self { top, left, h, w } = self;
        let fits = |from: usize, len: usize, n: usize| len > 0 && from.checked_add(len).is_some_and(|end| end <= n);
        if !fits(top, h, s.h) || !fits(left, w, s.w) {
            return Err(Error::op(
                self.name(),
                format!("{h}x{w} pixels from ({top}, {left}) are not inside input {s}"),
            ));
        }
        Ok(vec![TensorDesc::blocked(s.with_hw(h, w))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = output_shape(self, inputs)?;
        shifted(inputs[0], out, -(self.top as i64), -(self.left as i64)).map(|y| vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        lower_shifted(cx, -(self.top as i64), -(self.left as i64))
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        shift_windows(-(self.top as i64), -(self.left as i64))
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        let s = builder.desc(node.inputs[0]).shape;
        let after = |n: usize, from: usize, len: usize| (n - from - len) as i64;
        let pad = Pad2d {
            left: self.left as i64,
            right: after(s.w, self.left, self.w),
            top: self.top as i64,
            bottom: after(s.h, self.top, self.h),
        };
        Ok(vec![Some(builder.node("grad", pad, &[dy])?)])
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, [top, left, h, w]: [usize; 4], s: Shape| {
        OpCase::new(format!("crop2d/{name}"), Crop2d { top, left, h, w }, &[s])
    };
    vec![
        case("centre of an odd size", [2, 3, 4, 5], Shape::new(2, 3, 9, 11)),
        case("corner", [12, 1, 7, 19], Shape::new(1, 8, 19, 20)),
        case("everything", [0, 0, 5, 18], Shape::new(1, 5, 5, 18)),
        case("one pixel", [3, 4, 1, 1], Shape::new(3, 6, 4, 5)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_outside_names_both_shapes() {
        let x = [TensorDesc::blocked(Shape::new(1, 2, 4, 5))];
        let e = Crop2d { top: 1, left: 0, h: 4, w: 5 }.infer(&x).unwrap_err().to_string();
        assert_eq!(e, "crop2d: 4x5 pixels from (1, 0) are not inside input 1x2x4x5");
        assert!(Crop2d { top: usize::MAX, left: 0, h: 2, w: 5 }.infer(&x).is_err());
    }

    #[test]
    fn centre_of_the_572_network() {
        let crop = |from, to| Crop2d::center(Shape::new(1, 1, from, from), to, to).map(|c| c.top);
        assert_eq!([crop(64, 56), crop(136, 104), crop(280, 200), crop(568, 392)], [4, 16, 40, 88].map(Some));
        assert_eq!(crop(3, 4), None);
    }
}
