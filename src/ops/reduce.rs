//! Reductions along axes.

use super::{Lowering, Op, OpCase, Spatial, by_plane, expect_inputs, output_shape};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Sensitivity;
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// Kind of reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceKind {
    /// Mean.
    Mean,
    /// Sum.
    Sum,
    /// Maximum.
    Max,
    /// Minimum.
    Min,
}

/// A reduction along any of channels, rows and columns, which become axes of size 1 (ONNX `keepdims`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// Kind of reduction.
    pub kind: ReduceKind,
    /// Reduce channels.
    pub channels: bool,
    /// Reduce rows.
    pub rows: bool,
    /// Reduce columns.
    pub columns: bool,
}

impl Reduce {
    fn output(&self, s: Shape) -> Shape {
        let size = |reduced: bool, n: usize| if reduced { 1 } else { n };
        Shape::new(s.n, size(self.channels, s.c), size(self.rows, s.h), size(self.columns, s.w))
    }

    /// One dispatch that reduces `count` elements to each output element.
    fn dispatch(
        &self,
        cx: &mut Lowering,
        shader: &'static str,
        [from, to]: [(Operand, TensorDesc); 2],
        count: usize,
        workgroups: [usize; 3],
    ) -> Result<()> {
        let (s, o) = (from.1.shape, to.1.shape);
        let (x, y) = (Lowering::view(&from.1), Lowering::view(&to.1));
        let factor = if self.kind == ReduceKind::Mean { 1.0 / count as f64 } else { 1.0 };
        let params = ReduceParams { x, y, size: s.into(), reduced: o.into(), factor: factor as f32 };
        let kind = match self.kind {
            ReduceKind::Mean | ReduceKind::Sum => 0,
            ReduceKind::Max => 1,
            ReduceKind::Min => 2,
        };
        cx.dispatch(KernelKey::new(shader).with("KIND", kind), params, [from.0, to.0], workgroups)
    }
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        match self.kind {
            ReduceKind::Mean => "reduce_mean",
            ReduceKind::Sum => "reduce_sum",
            ReduceKind::Max => "reduce_max",
            ReduceKind::Min => "reduce_min",
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        if s.is_empty() || !(self.channels || self.rows || self.columns) {
            return Err(Error::op(self.name(), format!("nothing to reduce in input {s}: {self:?}")));
        }
        Ok(vec![TensorDesc::blocked(self.output(s))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (s, out) = (inputs[0].shape()?, output_shape(self, inputs)?);
        Ok(vec![by_plane(out, |n, c, plane| {
            for (i, v) in plane.iter_mut().enumerate() {
                let range = |reduced: bool, size: usize, at: usize| if reduced { 0..size } else { at..at + 1 };
                let mut all = Vec::new();
                for c in range(self.channels, s.c, c) {
                    for y in range(self.rows, s.h, i / out.w) {
                        let row = range(self.columns, s.w, i % out.w);
                        all.extend(row.map(|x| f64::from(inputs[0].data()[s.index(n, c, y, x)])));
                    }
                }
                let result = match self.kind {
                    ReduceKind::Sum => all.iter().sum::<f64>(),
                    ReduceKind::Mean => all.iter().sum::<f64>() / all.len() as f64,
                    ReduceKind::Max => all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    ReduceKind::Min => all.iter().copied().fold(f64::INFINITY, f64::min),
                };
                *v = result as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, o) = (cx.input(0), cx.output(0));
        let mut from = (Operand::Input(0), TensorDesc::blocked(s));
        let to = (Operand::Output(0), TensorDesc::blocked(o));
        let pixels = self.rows || self.columns;
        if self.channels {
            let desc = TensorDesc::blocked(s.with_c(1));
            let [write, read] = if pixels { cx.blocked_scratch(desc) } else { [to.0, to.0] };
            let grid = Lowering::per_vec4(s.with_c(1));
            self.dispatch(cx, "reduce_channels", [from, (write, desc)], s.c, grid)?;
            from = (read, desc);
        }
        if pixels {
            let count = s.pixels() / o.pixels();
            let grid = [o.c.div_ceil(LANES), o.pixels(), s.n];
            self.dispatch(cx, "reduce_pixels", [from, to], count, grid)?;
        }
        Ok(())
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        if self.rows || self.columns {
            return Spatial::Global("a reduction along rows or columns depends on the whole image");
        }
        Spatial::Pointwise
    }
}

/// The index of the largest channel of each pixel: `[N, C, H, W]` to `[N, 1, H, W]`. Ties go to the first unless
/// `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgMax {
    /// Whether ties go to the last channel.
    pub last: bool,
}

impl Op for ArgMax {
    fn name(&self) -> &'static str {
        "argmax"
    }

    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::JumpsWithAll
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        let s = inputs[0].shape;
        if s.is_empty() {
            return Err(Error::op(self.name(), format!("input {s} is empty")));
        }
        Ok(vec![TensorDesc::blocked(s.with_c(1))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (s, out) = (inputs[0].shape()?, output_shape(self, inputs)?);
        Ok(vec![by_plane(out, |n, _, plane| {
            for (i, v) in plane.iter_mut().enumerate() {
                let at = |c: usize| inputs[0].data()[s.index(n, c, 0, 0) + i];
                let better = |best: usize, c: usize| at(c) > at(best) || (self.last && at(c) == at(best));
                *v = (1..s.c).fold(0, |best, c| if better(best, c) { c } else { best }) as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, o) = (cx.input(0), cx.output(0));
        let Size { w, h, c, .. } = s.into();
        let params = ArgMaxParams { x: cx.input_view(0), y: cx.output_view(0), w, h, c, last: self.last.into() };
        let bindings = [Operand::Input(0), Operand::Output(0)];
        cx.dispatch(KernelKey::new("argmax"), params, bindings, Lowering::per_vec4(o))
    }
}

shader_struct! {
    /// Parameters of `reduce_channels` and `reduce_pixels`.
    struct ReduceParams {
        x: View,
        y: View,
        /// Size of x.
        size: Size,
        /// Size of y.
        reduced: Size,
        factor: f32,
    }

    /// Parameters of `argmax`.
    struct ArgMaxParams {
        x: View,
        y: View,
        w: u32,
        h: u32,
        c: u32,
        /// Whether ties go to the last channel.
        last: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let s = Shape::new;
    let kinds = [ReduceKind::Mean, ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min];
    let mut cases = Vec::new();
    for kind in kinds {
        let mut case = |name: &str, [channels, rows, columns]: [bool; 3], x: Shape| {
            let op = Reduce { kind, channels, rows, columns };
            cases.push(OpCase::new(format!("{}/{name}", op.name()), op, &[x]));
        };
        case("channels", [true, false, false], s(2, 7, 5, 18));
        case("pixels", [false, true, true], s(2, 6, 37, 21));
        case("columns", [false, false, true], s(1, 5, 6, 19));
        case("rows", [false, true, false], s(2, 3, 20, 4));
        case("everything", [true, true, true], s(3, 5, 9, 18));
    }
    let argmax = |name: &str, last: bool, x: Shape| OpCase::new(format!("argmax/{name}"), ArgMax { last }, &[x]);
    let mut ties = argmax("ties", false, s(1, 6, 1, 2));
    let scores = [0.5, 0.25, 0.5, 0.75, 0.25, 0.75, 0.5, 0.0, 0.5, 0.75, 0.0, 0.75];
    ties.inputs[0].1 = super::InputKind::Fixed(scores.to_vec());
    let mut last_ties = argmax("ties, last", true, s(1, 6, 1, 2));
    last_ties.inputs[0].1 = ties.inputs[0].1.clone();
    cases.extend([argmax("blocks", false, s(2, 9, 5, 18)), argmax("one class", false, s(1, 1, 3, 3)), ties, last_ties]);
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first_or_the_last() {
        let x = HostTensor::new([1, 4, 1, 1], vec![1.0, 3.0, 3.0, 2.0]).unwrap();
        let at = |last| ArgMax { last }.reference(&[&x]).unwrap()[0].data()[0];
        assert_eq!((at(false), at(true)), (1.0, 2.0));
    }

    #[test]
    fn there_must_be_something_to_reduce() {
        let none = Reduce { kind: ReduceKind::Sum, channels: false, rows: false, columns: false };
        assert!(none.infer(&[TensorDesc::blocked(Shape::new(1, 2, 3, 4))]).is_err());
        let rows = Reduce { rows: true, ..none };
        assert!(rows.infer(&[TensorDesc::blocked(Shape::new(1, 2, 0, 4))]).is_err());
    }
}
