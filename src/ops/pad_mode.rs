//! Padding modes other than zeros.

use super::pad2d::{padded, shift_windows};
use super::resample::{self, Table};
use super::{Lowering, Op, OpCase, Spatial, expect_inputs, output_shape};
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// What padding consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// A constant.
    Constant(f32),
    /// The image mirrored; the edge pixel is not repeated.
    Reflect,
    /// The edge pixel repeated. PyTorch's `replicate`.
    Edge,
    /// The opposite side of the image. PyTorch's `circular`.
    Wrap,
}

/// `torch.nn.functional.pad(x, [left, right, top, bottom], mode)`; a negative amount crops that side. For zeros see
/// [`Pad2d`](super::Pad2d).
#[derive(Clone, Debug, PartialEq)]
pub struct PadWith {
    /// Columns added before the first.
    pub left: i64,
    /// Columns added after the last.
    pub right: i64,
    /// Rows added before the first.
    pub top: i64,
    /// Rows added after the last.
    pub bottom: i64,
    /// What padding consists of.
    pub mode: PadMode,
}

impl PadMode {
    /// The input pixel for position `i` of an axis of `n` pixels; `None` for the constant.
    fn source(self, i: i64, n: usize) -> Option<usize> {
        let last = n as i64 - 1;
        let at = match self {
            Self::Constant(_) => i,
            Self::Reflect if i < 0 => -i,
            Self::Reflect if i > last => 2 * last - i,
            Self::Reflect => i,
            Self::Edge => i.clamp(0, last),
            Self::Wrap => i.rem_euclid(n as i64),
        };
        usize::try_from(at).ok().filter(|&at| at < n)
    }

    fn table(self, n: usize, before: i64, m: usize) -> Table {
        Table::of_single((0..m as i64).map(|o| self.source(o - before, n)))
    }

    fn fill(self) -> f32 {
        if let Self::Constant(v) = self { v } else { 0.0 }
    }
}

impl PadWith {
    fn tables(&self, s: Shape, o: Shape) -> [Table; 2] {
        [self.mode.table(s.h, self.top, o.h), self.mode.table(s.w, self.left, o.w)]
    }
}

impl Op for PadWith {
    fn name(&self) -> &'static str {
        "pad_with"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        // At most one reflection, or one repetition.
        let amounts = [(self.top, s.h), (self.bottom, s.h), (self.left, s.w), (self.right, s.w)];
        let valid = match self.mode {
            PadMode::Constant(v) => v.is_finite(),
            PadMode::Reflect => amounts.iter().all(|&(a, n)| a < n as i64),
            PadMode::Edge => !s.is_empty(),
            PadMode::Wrap => amounts.iter().all(|&(a, n)| a <= n as i64),
        };
        match (padded(s.h, self.top, self.bottom), padded(s.w, self.left, self.right)) {
            (Some(h), Some(w)) if valid => Ok(vec![TensorDesc::blocked(s.with_hw(h, w))]),
            _ => Err(Error::op(self.name(), format!("{self:?} does not fit input {s}"))),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (s, out) = (inputs[0].shape()?, output_shape(self, inputs)?);
        let [rows, columns] = self.tables(s, out);
        Ok(vec![resample::reference(inputs[0], out, &rows, &columns, self.mode.fill())?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let [rows, columns] = self.tables(cx.input(0), cx.output(0));
        resample::lower(cx, &rows, &columns, self.mode.fill())
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        match self.mode {
            PadMode::Wrap => Spatial::Global("circular padding reads the opposite edge of the image"),
            _ => shift_windows(self.top, self.left),
        }
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, mode: PadMode, [left, right, top, bottom]: [i64; 4], s: Shape| {
        OpCase::new(format!("pad_with/{name}"), PadWith { left, right, top, bottom, mode }, &[s])
    };
    let s = Shape::new(2, 5, 6, 9);
    vec![
        case("constant", PadMode::Constant(-1.5), [1, 2, 0, 3], s),
        case("reflect", PadMode::Reflect, [3, 1, 5, 2], s),
        case("edge", PadMode::Edge, [2, 11, 1, 0], s),
        case("wrap", PadMode::Wrap, [9, 1, 2, 6], s),
        case("reflect and crop", PadMode::Reflect, [-2, 4, 2, -1], s),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.pad(numpy.arange(4), (3, 2), mode)`.
    #[test]
    fn modes_are_numpys() {
        let row = |mode: PadMode| {
            let x = HostTensor::new([1, 1, 1, 4], vec![0.0, 1.0, 2.0, 3.0]).unwrap();
            PadWith { left: 3, right: 2, top: 0, bottom: 0, mode }.reference(&[&x]).unwrap()[0].data().to_vec()
        };
        assert_eq!(row(PadMode::Reflect), [3., 2., 1., 0., 1., 2., 3., 2., 1.]);
        assert_eq!(row(PadMode::Edge), [0., 0., 0., 0., 1., 2., 3., 3., 3.]);
        assert_eq!(row(PadMode::Wrap), [1., 2., 3., 0., 1., 2., 3., 0., 1.]);
        assert_eq!(row(PadMode::Constant(7.0)), [7., 7., 7., 0., 1., 2., 3., 7., 7.]);
    }

    #[test]
    fn reflection_is_limited_to_one_period() {
        let x = [TensorDesc::blocked(Shape::new(1, 1, 4, 4))];
        let pad = |left, mode| PadWith { left, right: 0, top: 0, bottom: 0, mode };
        assert!(pad(3, PadMode::Reflect).infer(&x).is_ok() && pad(4, PadMode::Reflect).infer(&x).is_err());
        assert!(pad(1, PadMode::Constant(f32::NAN)).infer(&x).is_err());
    }
}
