//! Element-wise functions of two tensors.

use super::{
    Backward, ChannelSum, Function, GraphBuilder, InputKind, Lowering, Op, OpCase, Reduce, ReduceKind, Spatial, Unary,
    ValueId, by_plane, expect_inputs,
};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Sensitivity;
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};

/// A function of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryKind {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// The smaller.
    Min,
    /// The larger.
    Max,
    /// `a` to the power of `b`; for negative `a` only defined for integer `b`.
    Pow,
    /// `a` if positive, else `a * b`: `torch.nn.functional.prelu`.
    Prelu,
    /// 1 where `a < b`, else 0.
    Less,
    /// 1 where `a > b`, else 0.
    Greater,
    /// 1 where `a == b`, else 0.
    Equal,
}

impl BinaryKind {
    const ALL: [(Self, &'static str); 11] = [
        (Self::Add, "add"),
        (Self::Sub, "sub"),
        (Self::Mul, "mul"),
        (Self::Div, "div"),
        (Self::Min, "min"),
        (Self::Max, "max"),
        (Self::Pow, "pow"),
        (Self::Prelu, "prelu"),
        (Self::Less, "less"),
        (Self::Greater, "greater"),
        (Self::Equal, "equal"),
    ];

    /// The constant `KIND` of `shaders/elementwise/binary.wgsl`.
    fn id(self) -> u32 {
        Self::ALL.iter().position(|k| k.0 == self).unwrap_or(0) as u32
    }

    /// The name of the op.
    pub fn name(self) -> &'static str {
        Self::ALL[self.id() as usize].1
    }

    /// Applies the function to two elements.
    pub fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Min => a.min(b),
            Self::Max => a.max(b),
            Self::Pow => a.powf(b),
            Self::Prelu if a > 0.0 => a,
            Self::Prelu => a * b,
            Self::Less => f64::from(u8::from(a < b)),
            Self::Greater => f64::from(u8::from(a > b)),
            Self::Equal => f64::from(u8::from(a == b)),
        }
    }
}

/// An element-wise function of two tensors, with NumPy broadcasting.
///
/// Inputs: a and b, each blocked, or linear if it is a parameter: an initialiser of an imported network, such as
/// `[1, C, 1, 1]` for one number per channel, which is packed into the session as weights are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The function.
    pub kind: BinaryKind,
}

/// The shape that both broadcast to.
pub(super) fn broadcast(a: Shape, b: Shape) -> Option<Shape> {
    let axis = |a: usize, b: usize| if a == b || b == 1 { Some(a) } else { (a == 1).then_some(b) };
    Some(Shape::new(axis(a.n, b.n)?, axis(a.c, b.c)?, axis(a.h, b.h)?, axis(a.w, b.w)?))
}

/// A blocked tensor of shape `s` read as one of shape `out`: the view, the column stride, and whether its one channel
/// is broadcast.
fn broadcast_view(view: View, s: Shape, out: Shape) -> (View, u32, u32) {
    let View { origin, row, plane, batch } = view;
    let along = |n: usize, of: usize, stride: u32| if n == of { stride } else { 0 };
    let (row, plane, batch) = (along(s.h, out.h, row), along(s.c, out.c, plane), along(s.n, out.n, batch));
    (View { origin, row, plane, batch }, along(s.w, out.w, 1), u32::from(s.c != out.c))
}

impl Op for Binary {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn sensitivity(&self) -> Sensitivity {
        match self.kind {
            BinaryKind::Less | BinaryKind::Greater | BinaryKind::Equal => Sensitivity::JumpsWithAll,
            _ => Sensitivity::Smooth,
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        let [a, b] = [inputs[0].shape, inputs[1].shape];
        let out = broadcast(a, b).filter(|o| !o.is_empty() && (self.kind != BinaryKind::Prelu || *o == a));
        match out {
            Some(out) => Ok(vec![TensorDesc::blocked(out)]),
            None => Err(Error::op(self.name(), format!("{a} and {b} cannot be broadcast together"))),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let [a, b] = [inputs[0].shape()?, inputs[1].shape()?];
        let out = self.infer(&[a, b].map(TensorDesc::blocked))?[0].shape;
        let at = |t: &HostTensor, s: Shape, n: usize, c: usize, y: usize, x: usize| {
            f64::from(t.data()[s.index(n.min(s.n - 1), c.min(s.c - 1), y.min(s.h - 1), x.min(s.w - 1))])
        };
        Ok(vec![by_plane(out, |n, c, plane| {
            for (i, v) in plane.iter_mut().enumerate() {
                let (y, x) = (i / out.w, i % out.w);
                *v = self.kind.apply(at(inputs[0], a, n, c, y, x), at(inputs[1], b, n, c, y, x)) as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (out, sizes) = (cx.output(0), [cx.input(0), cx.input(1)]);
        let (a, a_view) = cx.blocked_input(0);
        let (b, b_view) = cx.blocked_input(1);
        let (a_view, a_step, a_one_channel) = broadcast_view(a_view, sizes[0], out);
        let (b_view, b_step, b_one_channel) = broadcast_view(b_view, sizes[1], out);
        let params = BinaryParams {
            a: a_view,
            b: b_view,
            y: cx.output_view(0),
            size: out.into(),
            a_step,
            a_one_channel,
            b_step,
            b_one_channel,
        };
        let kernel = KernelKey::new("binary").with("KIND", self.kind.id());
        cx.dispatch(kernel, params, [a, b, Operand::Output(0)], Lowering::per_vec4(out))
    }

    fn spatial(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Spatial {
        let size = |s: Shape| (s.h, s.w);
        for input in inputs {
            let global = match input.layout {
                Layout::Blocked if size(input.shape) != size(outputs[0].shape) => {
                    "one pixel is broadcast over the whole image"
                }
                Layout::Linear if size(input.shape) != (1, 1) => "a parameter differs from pixel to pixel",
                _ => continue,
            };
            return Spatial::Global(global);
        }
        Spatial::Pointwise
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None, None]) };
        let [a, b] = [node.inputs[0], node.inputs[1]];
        let of = |builder: &mut dyn GraphBuilder, what: &str, kind: BinaryKind, u: ValueId, v: ValueId| {
            builder.node(what, Self { kind }, &[u, v])
        };
        let mut grads = vec![None, None];
        for (i, grad) in grads.iter_mut().enumerate().filter(|g| node.needs_grad(g.0)) {
            let full = match (self.kind, i) {
                (BinaryKind::Add, _) | (BinaryKind::Sub, 0) => dy,
                (BinaryKind::Sub, _) => builder.node("grad_neg", Unary { kind: Function::Neg }, &[dy])?,
                (BinaryKind::Mul, 0) => of(builder, "grad_a", BinaryKind::Mul, dy, b)?,
                (BinaryKind::Mul, _) => of(builder, "grad_b", BinaryKind::Mul, dy, a)?,
                (BinaryKind::Div, 0) => of(builder, "grad_a", BinaryKind::Div, dy, b)?,
                (BinaryKind::Div, _) => {
                    let share = of(builder, "grad_share", BinaryKind::Mul, dy, node.outputs[0])?;
                    let share = of(builder, "grad_quotient", BinaryKind::Div, share, b)?;
                    builder.node("grad_neg", Unary { kind: Function::Neg }, &[share])?
                }
                _ => return Err(Error::op(self.name(), "has no gradient")),
            };
            *grad = Some(self.unbroadcast(full, node.inputs[i], builder)?);
        }
        Ok(grads)
    }
}

impl Binary {
    /// The sum of a gradient over the axes along which `input` was broadcast, in its shape and layout.
    fn unbroadcast(&self, grad: ValueId, input: ValueId, builder: &mut dyn GraphBuilder) -> Result<ValueId> {
        let (s, desc) = (builder.desc(grad).shape, builder.desc(input));
        let to = desc.shape;
        let linear = desc.layout == Layout::Linear;
        let unsupported = if linear { (to.n, to.h, to.w) != (1, 1, 1) } else { to.n != s.n };
        if unsupported {
            let reason =
                format!("has no gradient for an input {to} of {s}, broadcast over images or a parameter per pixel");
            return Err(Error::op(self.name(), reason));
        }
        // The sum over images and pixels for a parameter is a separate op.
        let reduce = Reduce {
            kind: ReduceKind::Sum,
            channels: to.c != s.c,
            rows: !linear && to.h != s.h,
            columns: !linear && to.w != s.w,
        };
        let needed = reduce.channels || reduce.rows || reduce.columns;
        let sum = if needed { builder.node("grad_sum", reduce, &[grad])? } else { grad };
        if linear { builder.node("grad_parameter", ChannelSum, &[sum]) } else { Ok(sum) }
    }
}

shader_struct! {
    /// Parameters of `binary`.
    struct BinaryParams {
        /// Strides of broadcast axes are 0.
        a: View,
        b: View,
        y: View,
        size: Size,
        /// Column stride of a.
        a_step: u32,
        /// Whether its one channel is broadcast.
        a_one_channel: u32,
        b_step: u32,
        b_one_channel: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let s = Shape::new;
    let case = |name: &str, kind: BinaryKind, a: Shape, b: Shape| {
        OpCase::new(format!("{}/{name}", kind.name()), Binary { kind }, &[a, b])
    };
    let with = |name: &str, kind: BinaryKind, a: Shape, dims: &[usize]| {
        OpCase::new(format!("{}/{name}", kind.name()), Binary { kind }, &[a]).parameter(dims, InputKind::Positive)
    };
    let mut cases: Vec<OpCase> =
        BinaryKind::ALL.map(|(kind, _)| with("one a channel", kind, s(2, 5, 4, 9), &[5])).into_iter().collect();
    // Negative bases have no real powers. Parameters are positive, as quotients by tiny numbers are unbounded.
    for case in cases.iter_mut().filter(|c| c.name.starts_with("pow")) {
        case.inputs[0].1 = InputKind::Probability;
    }
    let whole = InputKind::Fixed(vec![2.0, 3.0, -1.0, 0.0, 0.5, 1.0]);
    let bases = InputKind::Fixed(vec![-1.5, -0.75, -2.0, -3.0, 0.25, 0.0]);
    let mut powers = case("negative and zero bases", BinaryKind::Pow, s(1, 6, 1, 1), s(1, 6, 1, 1));
    (powers.inputs[0].1, powers.inputs[1].1) = (bases, whole);
    let mut first = OpCase::new("sub/parameter first", Binary { kind: BinaryKind::Sub }, &[s(1, 3, 4, 5)]);
    first = first.parameter(&[1], InputKind::Positive);
    first.inputs.reverse();
    let small = |n: usize| InputKind::Fixed((0..45).map(|i| (i % n) as f32).collect());
    let mut equal = case("some are", BinaryKind::Equal, s(1, 5, 3, 3), s(1, 5, 3, 3));
    (equal.inputs[0].1, equal.inputs[1].1) = (small(5), small(3));
    cases.extend([
        powers,
        equal,
        first,
        case("one shape", BinaryKind::Add, s(2, 6, 5, 17), s(2, 6, 5, 17)),
        case("pixels broadcast, as a gate of channels", BinaryKind::Mul, s(2, 7, 5, 18), s(2, 7, 1, 1)),
        case("channels broadcast, as an attention map", BinaryKind::Mul, s(2, 7, 5, 18), s(2, 1, 5, 18)),
        case("both broadcast", BinaryKind::Sub, s(1, 5, 6, 1), s(3, 1, 1, 7)),
        case("rows and images", BinaryKind::Max, s(1, 4, 1, 9), s(2, 4, 3, 9)),
        case("scalar on the left", BinaryKind::Sub, s(1, 1, 1, 1), s(2, 5, 3, 4)),
        with("an image of parameters", BinaryKind::Add, s(2, 3, 4, 5), &[1, 3, 4, 5]),
        with("scalar", BinaryKind::Div, s(1, 6, 3, 3), &[1]),
    ]);
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        let s = Shape::new;
        assert_eq!(broadcast(s(1, 5, 6, 1), s(3, 1, 1, 7)), Some(s(3, 5, 6, 7)));
        assert_eq!(broadcast(s(1, 5, 6, 2), s(3, 1, 1, 7)), None);
        let x = [s(1, 2, 4, 5), s(1, 3, 4, 5)].map(TensorDesc::blocked);
        let e = Binary { kind: BinaryKind::Add }.infer(&x).unwrap_err().to_string();
        assert_eq!(e, "add: 1x2x4x5 and 1x3x4x5 cannot be broadcast together");
        // PReLU's slope must not broadcast its input.
        let x = [s(1, 1, 4, 5), s(1, 3, 1, 1)].map(TensorDesc::blocked);
        assert!(Binary { kind: BinaryKind::Prelu }.infer(&x).is_err());
    }

    #[test]
    fn broadcasts_over_pixels_are_global() {
        let (map, pixel) = (Shape::new(1, 3, 8, 8), Shape::new(1, 3, 1, 1));
        let spatial = |a: TensorDesc, b: TensorDesc| {
            let op = Binary { kind: BinaryKind::Mul };
            op.spatial(&[a, b], &op.infer(&[a, b]).unwrap())
        };
        let x = TensorDesc::blocked(map);
        assert_eq!(spatial(x, TensorDesc::linear(pixel)), Spatial::Pointwise);
        assert!(matches!(spatial(x, TensorDesc::blocked(pixel)), Spatial::Global(_)));
        assert!(matches!(spatial(x, TensorDesc::linear(map)), Spatial::Global(_)));
    }
}
