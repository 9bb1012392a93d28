//! Functions of one element. The activations that other ops fuse are [`ActivationKind`](super::ActivationKind)'s.

use super::binary::blocked_input;
use super::{InputKind, Lowering, Op, OpCase, expect_inputs, map_elements};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// A function of one element, named as in PyTorch or ONNX.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnaryKind {
    /// `v`: of a parameter, the tensor that holds it.
    Identity,
    /// `|v|`.
    Abs,
    /// `-v`.
    Neg,
    /// `e^v`.
    Exp,
    /// The natural logarithm.
    Log,
    /// The square root.
    Sqrt,
    /// `1 / v`.
    Reciprocal,
    /// The largest whole number not above.
    Floor,
    /// The smallest whole number not below.
    Ceil,
    /// The nearest whole number, the even one of two.
    Round,
    /// -1, 0 or 1.
    Sign,
    /// The error function.
    Erf,
    /// The hyperbolic tangent.
    Tanh,
    /// `ln(1 + e^v)`.
    Softplus,
    /// `v / (1 + |v|)`.
    Softsign,
    /// `v * sigmoid(v)`.
    Silu,
    /// `v * tanh(softplus(v))`.
    Mish,
    /// `v / 2 * (1 + erf(v / sqrt(2)))`.
    Gelu,
    /// `v / 2 * (1 + tanh(sqrt(2 / pi) * (v + 0.044715 v^3)))`.
    GeluTanh,
    /// `v * clamp(v / 6 + 1/2, 0, 1)`.
    HardSwish,
    /// `clamp(alpha * v + beta, 0, 1)`; ONNX's defaults are 0.2 and 0.5, PyTorch's 1/6 and 0.5.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// `v` kept between two bounds; ReLU6 is 0 and 6.
    Clip {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// `v` if positive, else `alpha * (e^v - 1)`.
    Elu {
        /// Minus the limit at minus infinity.
        alpha: f32,
    },
    /// `gamma` times ELU; the paper's are 1.0507 and 1.67326.
    Selu {
        /// As of ELU.
        alpha: f32,
        /// Factor.
        gamma: f32,
    },
}

impl UnaryKind {
    /// The constant `KIND` of `shaders/elementwise/unary.wgsl`, and the name of the op.
    fn known(self) -> (u32, &'static str) {
        match self {
            Self::Identity => (0, "copy"),
            Self::Abs => (1, "abs"),
            Self::Neg => (2, "neg"),
            Self::Exp => (3, "exp"),
            Self::Log => (4, "log"),
            Self::Sqrt => (5, "sqrt"),
            Self::Reciprocal => (6, "reciprocal"),
            Self::Floor => (7, "floor"),
            Self::Ceil => (8, "ceil"),
            Self::Round => (9, "round"),
            Self::Sign => (10, "sign"),
            Self::Erf => (11, "erf"),
            Self::Tanh => (12, "tanh"),
            Self::Softplus => (13, "softplus"),
            Self::Softsign => (14, "softsign"),
            Self::Silu => (15, "silu"),
            Self::Mish => (16, "mish"),
            Self::Gelu => (17, "gelu"),
            Self::GeluTanh => (18, "gelu_tanh"),
            Self::HardSwish => (19, "hard_swish"),
            Self::HardSigmoid { .. } => (20, "hard_sigmoid"),
            Self::Clip { .. } => (21, "clip"),
            Self::Elu { .. } => (22, "elu"),
            Self::Selu { .. } => (23, "selu"),
        }
    }

    /// The name of the op.
    pub fn name(self) -> &'static str {
        self.known().1
    }

    /// The two numbers that the shader takes.
    fn arguments(self) -> [f32; 2] {
        match self {
            Self::HardSigmoid { alpha, beta } => [alpha, beta],
            Self::Clip { min, max } => [min.max(f32::MIN), max.min(f32::MAX)],
            Self::Elu { alpha } => [alpha, 1.0],
            Self::Selu { alpha, gamma } => [alpha, gamma],
            _ => [0.0; 2],
        }
    }

    /// Of one element.
    pub fn apply(self, v: f64) -> f64 {
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        let softplus = |v: f64| v.max(0.0) + (-v.abs()).exp().ln_1p();
        let elu = |alpha: f32| if v > 0.0 { v } else { f64::from(alpha) * v.exp_m1() };
        match self {
            Self::Identity => v,
            Self::Abs => v.abs(),
            Self::Neg => -v,
            Self::Exp => v.exp(),
            Self::Log => v.ln(),
            Self::Sqrt => v.sqrt(),
            Self::Reciprocal => 1.0 / v,
            Self::Floor => v.floor(),
            Self::Ceil => v.ceil(),
            Self::Round => v.round_ties_even(),
            Self::Sign => f64::from(u8::from(v > 0.0)) - f64::from(u8::from(v < 0.0)),
            Self::Erf => erf(v),
            Self::Tanh => v.tanh(),
            Self::Softplus => softplus(v),
            Self::Softsign => v / (1.0 + v.abs()),
            Self::Silu => v * sigmoid(v),
            Self::Mish => v * softplus(v).tanh(),
            Self::Gelu => 0.5 * v * (1.0 + erf(v * std::f64::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044_715 * v * v * v);
                0.5 * v * (1.0 + inner.tanh())
            }
            Self::HardSwish => v * (v / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::HardSigmoid { alpha, beta } => (f64::from(alpha) * v + f64::from(beta)).clamp(0.0, 1.0),
            // ONNX: the upper bound wins where they cross.
            Self::Clip { min, max } => v.max(f64::from(min)).min(f64::from(max)),
            Self::Elu { alpha } => elu(alpha),
            Self::Selu { alpha, gamma } => f64::from(gamma) * elu(alpha),
        }
    }
}

/// The error function: its series near zero, the continued fraction of its complement (Lentz) elsewhere.
fn erf(x: f64) -> f64 {
    let q = x * x;
    if q < 6.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..80 {
            term *= -q / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    // erfc(x) = exp(-x^2) / sqrt(pi) / (x + 1/2 / (x + 1 / (x + 3/2 / ...))), from the inside out.
    let a = x.abs();
    let fraction = (1..120).rev().fold(a, |rest, k| a + 0.5 * f64::from(k) / rest);
    (1.0 - (-q).exp() / (std::f64::consts::PI.sqrt() * fraction)).copysign(x)
}

/// A function of every element. The input is blocked, or linear: then a parameter, and [`UnaryKind::Identity`] is how an
/// initialiser of an imported network becomes a tensor for any op.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Which function.
    pub kind: UnaryKind,
}

impl Op for Unary {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        if self.kind.arguments().iter().any(|v| !v.is_finite()) {
            return Err(Error::op(self.name(), format!("cannot be used: {:?}", self.kind)));
        }
        Ok(vec![TensorDesc::blocked(inputs[0].shape)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        map_elements(inputs[0], |_, _, v| self.kind.apply(f64::from(v)) as f32).map(|y| vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let o = cx.output(0);
        let (x, view) = blocked_input(cx, 0);
        let [a, b] = self.kind.arguments();
        let params = UnaryParams { x: view, y: cx.output_view(0), size: o.into(), a, b };
        let kernel = KernelKey::new("unary").with("KIND", self.kind.known().0);
        cx.dispatch(kernel, params, [x, Operand::Output(0)], Lowering::per_vec4(o))
    }
}

shader_struct! {
    /// Of `unary`.
    struct UnaryParams {
        x: View,
        y: View,
        size: Size,
        /// Arguments.
        a: f32,
        b: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    use UnaryKind as K;
    let case = |name: &str, kind: UnaryKind, s: Shape, input: InputKind| {
        let mut case = OpCase::new(format!("{}/{name}", kind.name()), Unary { kind }, &[s]);
        case.inputs[0].1 = input;
        case
    };
    // From -6 to 6, whole and half numbers among them.
    let s = Shape::new(2, 5, 4, 9);
    let wide = || InputKind::Fixed((0..s.len()).map(|i| ((i * 37) % 97) as f32 / 8.0 - 6.0).collect());
    let everywhere = [
        K::Identity,
        K::Abs,
        K::Neg,
        K::Floor,
        K::Ceil,
        K::Round,
        K::Sign,
        K::Erf,
        K::Tanh,
        K::Softplus,
        K::Softsign,
        K::Silu,
        K::Mish,
        K::Gelu,
        K::GeluTanh,
        K::HardSwish,
        K::HardSigmoid { alpha: 0.2, beta: 0.5 },
        K::Clip { min: 0.0, max: 6.0 },
        K::Elu { alpha: 0.75 },
        K::Selu { alpha: 1.673_263_2, gamma: 1.050_701 },
    ];
    let mut cases: Vec<OpCase> = everywhere.map(|kind| case("-6 to 6", kind, s, wide())).into_iter().collect();
    for kind in [K::Exp, K::Log, K::Sqrt, K::Reciprocal] {
        cases.push(case("0 to 1", kind, Shape::new(1, 6, 3, 17), InputKind::Probability));
    }
    let far = Shape::new(1, 4, 1, 1);
    let extremes = || InputKind::Fixed(vec![-1e4, -90.0, 90.0, 1e4]);
    for kind in [K::Tanh, K::Erf, K::Softplus, K::Silu, K::Mish, K::Gelu, K::GeluTanh, K::Elu { alpha: 1.0 }] {
        cases.push(case("far from zero", kind, far, extremes()));
    }
    cases.push(case("unbounded below", K::Clip { min: f32::NEG_INFINITY, max: 0.25 }, far, InputKind::Data));
    cases.push(
        OpCase::new("copy/of a parameter", Unary { kind: K::Identity }, &[])
            .parameter(&[2, 3, 4, 5], InputKind::Parameter),
    );
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // Abramowitz and Stegun, table 7.1; erfc(3) from mpmath.
        let known = [(0.5, 0.520_499_877_813_046_5), (1.0, 0.842_700_792_949_714_9), (2.0, 0.995_322_265_018_952_7)];
        for (x, y) in known {
            assert!((erf(x) - y).abs() < 1e-14 && (erf(-x) + y).abs() < 1e-14, "{x}: {}", erf(x));
        }
        assert!((1.0 - erf(3.0) - 2.209_049_699_858_544e-5).abs() < 1e-15);
        // Where the two forms meet.
        assert!((erf(2.449_489_7) - erf(2.449_489_8)).abs() < 1e-9);
        assert_eq!(UnaryKind::Round.apply(2.5), 2.0);
        assert_eq!(UnaryKind::Clip { min: 2.0, max: 1.0 }.apply(5.0), 1.0);
        assert_eq!(UnaryKind::Softplus.apply(1000.0), 1000.0);
    }

    #[test]
    fn arguments_are_checked() {
        let x = [TensorDesc::blocked(Shape::new(1, 1, 1, 1))];
        assert!(Unary { kind: UnaryKind::Elu { alpha: f32::NAN } }.infer(&x).is_err());
        let open = UnaryKind::Clip { min: f32::NEG_INFINITY, max: f32::INFINITY };
        assert!(Unary { kind: open }.infer(&x).is_ok());
    }
}
