//! Elementwise functions, activations included, one row each. To add one, add its variant with default arguments to
//! `functions!` and its arm to [`Function::row`]. Kernels, gradients, fusion, ONNX and test cases follow.

mod special;

use Onnx::{Formula, Operator};
use Term::{Arg, Number, Step, X};
use special::{erf, logistic, softplus};

/// Declares the functions with ONNX's default arguments.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident $({ $($(#[$argument_doc:meta])* $argument:ident = $default:literal),+ })?,)+) => {
        /// An elementwise function, named as in PyTorch or ONNX.
        #[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        pub enum Function {
            $($(#[$doc])* $name $({ $($(#[$argument_doc])* $argument: f32),+ })?,)+
        }

        impl Function {
            /// Every function, with ONNX's default arguments.
            pub const ALL: &[Self] = &[$(Self::$name $({ $($argument: $default),+ })?),+];

            /// Its arguments in order.
            fn values(self) -> Vec<f32> {
                match self {
                    $(Self::$name $({ $($argument),+ })? => vec![$($($argument),+)?],)+
                }
            }

            /// The same function with its first arguments replaced, in order; the rest stay.
            #[must_use]
            pub fn with_arguments(self, values: &[f32]) -> Self {
                #[allow(unused_mut, unused_variables, reason = "for functions without arguments")]
                let mut values = values.iter().copied();
                match self {
                    $(Self::$name $({ $($argument),+ })? => {
                        Self::$name $({ $($argument: values.next().unwrap_or($argument)),+ })?
                    })+
                }
            }
        }
    };
}

functions! {
    /// `v`; of a parameter, its value as a tensor.
    #[default]
    Identity,
    /// `max(v, 0)`.
    Relu,
    /// `v` if positive, else `v` times a slope.
    LeakyRelu {
        /// What negative values are multiplied by.
        slope = 0.01
    },
    /// `1 / (1 + exp(-v))`.
    Sigmoid,
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
    /// The largest integer not above `v`.
    Floor,
    /// The smallest integer not below `v`.
    Ceil,
    /// The nearest integer, ties to even.
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
        alpha = 0.2,
        /// Value at 0.
        beta = 0.5
    },
    /// `v` clamped to two bounds; 0 and 6 for ReLU6.
    Clip {
        /// Lower bound.
        min = 0.0,
        /// Upper bound.
        max = 6.0
    },
    /// `v` if positive, else `alpha * (e^v - 1)`.
    Elu {
        /// The negated limit at minus infinity.
        alpha = 1.0
    },
    /// `gamma` times ELU; the paper has 1.0507 and 1.67326.
    Selu {
        /// As in ELU.
        alpha = 1.673_263_2,
        /// Factor.
        gamma = 1.050_701
    },
}

/// The definition of a function. In WGSL and in `f64`, `v` is the element, `a` and `b` are the arguments.
pub struct Row {
    /// Name in snake case, PyTorch's where it has one.
    pub name: &'static str,
    /// The function as a WGSL expression on vec4s: see `shaders/lib/functions.wgsl`.
    pub wgsl: &'static str,
    /// The same in `f64`.
    value: fn(f64, [f64; 2]) -> f64,
    /// The derivative. At a kink it is PyTorch's.
    derivative: Derivative,
    /// Its equivalent in ONNX.
    pub onnx: Onnx,
}

/// A derivative.
struct Derivative {
    /// Whether `v` is the function's result rather than its input.
    of_result: bool,
    wgsl: &'static str,
    value: fn(f64, [f64; 2]) -> f64,
}

/// A function's equivalent in ONNX.
pub enum Onnx {
    /// One operator of opset 17: its name and the attribute names of the arguments, in order.
    Operator(&'static str, &'static [&'static str]),
    /// Several operators of opset 17 in order, each with its inputs.
    Formula(&'static [(&'static str, &'static [Term])]),
}

/// An input of an operator in a formula.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// The function's input.
    X,
    /// The result of an earlier step.
    Step(usize),
    /// An argument of the function.
    Arg(usize),
    /// A number.
    Number(f32),
}

const PIECEWISE: &str = "select(v * a, v, v > vec4<f32>(0.0))";
const PIECEWISE_SLOPE: &str = "select(vec4<f32>(a), vec4<f32>(1.0), v > vec4<f32>(0.0))";

impl Function {
    /// Its definition.
    pub fn row(self) -> Row {
        let by_input = |wgsl, value| Derivative { of_result: false, wgsl, value };
        let by_result = |wgsl, value| Derivative { of_result: true, wgsl, value };
        let zero_slope = || by_input("vec4<f32>(0.0)", |_, _| 0.0);
        // Linear on each side of zero: one kernel for all, with the slope as an argument.
        let piecewise = |name, value, onnx, of_result| Row {
            name,
            wgsl: PIECEWISE,
            value,
            derivative: Derivative {
                of_result,
                wgsl: PIECEWISE_SLOPE,
                value: |v, [a, _]| if v > 0.0 { 1.0 } else { a },
            },
            onnx,
        };
        let row = |name, wgsl, value, derivative, onnx| Row { name, wgsl, value, derivative, onnx };
        match self {
            Self::Identity => piecewise("identity", |v, _| v, Operator("Identity", &[]), true),
            Self::Relu => piecewise("relu", |v, _| v.max(0.0), Operator("Relu", &[]), true),
            // With a negative slope, the sign of the result is not that of the element.
            Self::LeakyRelu { slope } => {
                let value = |v: f64, [a, _]: [f64; 2]| if v > 0.0 { v } else { v * a };
                piecewise("leaky_relu", value, Operator("LeakyRelu", &["alpha"]), slope >= 0.0)
            }
            Self::Sigmoid => row(
                "sigmoid",
                // WGSL guarantees nothing about infinities or about division by more than 2^126 = exp(87.3).
                "1.0 / (1.0 + exp(min(-v, vec4<f32>(87.0))))",
                |v, _| logistic(v),
                by_result("v * (1.0 - v)", |y, _| y * (1.0 - y)),
                Operator("Sigmoid", &[]),
            ),
            Self::Abs => {
                row("abs", "abs(v)", |v, _| v.abs(), by_input("sign(v)", |v, _| sign(v)), Operator("Abs", &[]))
            }
            Self::Neg => row("neg", "-v", |v, _| -v, by_input("vec4<f32>(-1.0)", |_, _| -1.0), Operator("Neg", &[])),
            Self::Exp => row("exp", "exp(v)", |v, _| v.exp(), by_result("v", |y, _| y), Operator("Exp", &[])),
            Self::Log => row("log", "log(v)", |v, _| v.ln(), by_input("1.0 / v", |v, _| 1.0 / v), Operator("Log", &[])),
            Self::Sqrt => {
                row("sqrt", "sqrt(v)", |v, _| v.sqrt(), by_result("0.5 / v", |y, _| 0.5 / y), Operator("Sqrt", &[]))
            }
            Self::Reciprocal => row(
                "reciprocal",
                "1.0 / v",
                |v, _| 1.0 / v,
                by_result("-v * v", |y, _| -y * y),
                Operator("Reciprocal", &[]),
            ),
            Self::Floor => row("floor", "floor(v)", |v, _| v.floor(), zero_slope(), Operator("Floor", &[])),
            Self::Ceil => row("ceil", "ceil(v)", |v, _| v.ceil(), zero_slope(), Operator("Ceil", &[])),
            Self::Round => row("round", "round(v)", |v, _| v.round_ties_even(), zero_slope(), Operator("Round", &[])),
            Self::Sign => row("sign", "sign(v)", |v, _| sign(v), zero_slope(), Operator("Sign", &[])),
            Self::Erf => row(
                "erf",
                "error_function(v)",
                |v, _| erf(v),
                by_input("2.0 * bell(v)", |v, _| std::f64::consts::FRAC_2_SQRT_PI * (-v * v).exp()),
                Operator("Erf", &[]),
            ),
            Self::Tanh => row(
                "tanh",
                "tangent(v)",
                |v, _| v.tanh(),
                by_result("1.0 - v * v", |y, _| 1.0 - y * y),
                Operator("Tanh", &[]),
            ),
            Self::Softplus => row(
                "softplus",
                "soft(v)",
                |v, _| softplus(v),
                by_input("logistic(v)", |v, _| logistic(v)),
                Operator("Softplus", &[]),
            ),
            Self::Softsign => row(
                "softsign",
                "v / (1.0 + abs(v))",
                |v, _| v / (1.0 + v.abs()),
                by_input("1.0 / ((1.0 + abs(v)) * (1.0 + abs(v)))", |v, _| (1.0 + v.abs()).powi(-2)),
                Operator("Softsign", &[]),
            ),
            Self::Silu => row(
                "silu",
                "v * logistic(v)",
                |v, _| v * logistic(v),
                by_input("logistic(v) * (1.0 + v * (1.0 - logistic(v)))", |v, _| {
                    logistic(v) * (1.0 + v * logistic(-v))
                }),
                Formula(&[("Sigmoid", &[X]), ("Mul", &[X, Step(0)])]),
            ),
            Self::Mish => row(
                "mish",
                "v * tangent(soft(v))",
                |v, _| v * softplus(v).tanh(),
                by_input("tangent(soft(v)) + v * logistic(v) * (1.0 - square(tangent(soft(v))))", |v, _| {
                    let t = softplus(v).tanh();
                    t + v * logistic(v) * (1.0 - t * t)
                }),
                Formula(&[("Softplus", &[X]), ("Tanh", &[Step(0)]), ("Mul", &[X, Step(1)])]),
            ),
            Self::Gelu => row(
                "gelu",
                "0.5 * v * (1.0 + error_function(v * 0.70710678))",
                |v, _| 0.5 * v * (1.0 + erf(v * std::f64::consts::FRAC_1_SQRT_2)),
                by_input(
                    "0.5 * (1.0 + error_function(v * 0.70710678)) + v * 0.70710678 * bell(v * 0.70710678)",
                    |v, _| {
                        let u = v * std::f64::consts::FRAC_1_SQRT_2;
                        0.5 * (1.0 + erf(u)) + u * 0.5 * std::f64::consts::FRAC_2_SQRT_PI * (-u * u).exp()
                    },
                ),
                Formula(&[
                    ("Mul", &[X, Number(std::f32::consts::FRAC_1_SQRT_2)]),
                    ("Erf", &[Step(0)]),
                    ("Add", &[Step(1), Number(1.0)]),
                    ("Mul", &[X, Step(2)]),
                    ("Mul", &[Step(3), Number(0.5)]),
                ]),
            ),
            Self::GeluTanh => row(
                "gelu_tanh",
                "0.5 * v * (1.0 + tangent(gelu_argument(v)))",
                |v, _| 0.5 * v * (1.0 + gelu_argument(v).tanh()),
                by_input("gelu_tanh_slope(v)", |v, _| {
                    let t = gelu_argument(v).tanh();
                    let inner = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044_715 * v * v);
                    0.5 * (1.0 + t) + 0.5 * v * (1.0 - t * t) * inner
                }),
                Formula(&[
                    ("Mul", &[X, X]),
                    ("Mul", &[Step(0), Number(0.044_715)]),
                    ("Add", &[Step(1), Number(1.0)]),
                    ("Mul", &[X, Step(2)]),
                    ("Mul", &[Step(3), Number(0.797_884_6)]),
                    ("Tanh", &[Step(4)]),
                    ("Add", &[Step(5), Number(1.0)]),
                    ("Mul", &[X, Step(6)]),
                    ("Mul", &[Step(7), Number(0.5)]),
                ]),
            ),
            Self::HardSwish => row(
                "hard_swish",
                "v * clamp(v / 6.0 + 0.5, vec4<f32>(0.0), vec4<f32>(1.0))",
                |v, _| v * (v / 6.0 + 0.5).clamp(0.0, 1.0),
                by_input(
                    "select(select(v / 3.0 + 0.5, vec4<f32>(1.0), v >= vec4<f32>(3.0)), vec4<f32>(0.0), v <= vec4<f32>(-3.0))",
                    |v, _| {
                        if v <= -3.0 {
                            0.0
                        } else if v >= 3.0 {
                            1.0
                        } else {
                            v / 3.0 + 0.5
                        }
                    },
                ),
                Operator("HardSwish", &[]),
            ),
            Self::HardSigmoid { .. } => {
                row(
                    "hard_sigmoid",
                    "clamp(v * a + b, vec4<f32>(0.0), vec4<f32>(1.0))",
                    |v, [a, b]| (a * v + b).clamp(0.0, 1.0),
                    by_input("a * inside(v * a + b, 0.0, 1.0)", |v, [a, b]| {
                        if (0.0..=1.0).contains(&(a * v + b)) { a } else { 0.0 }
                    }),
                    Operator("HardSigmoid", &["alpha", "beta"]),
                )
            }
            // ONNX: the upper bound wins where they cross.
            Self::Clip { .. } => row(
                "clip",
                "min(max(v, vec4<f32>(a)), vec4<f32>(b))",
                |v, [a, b]| v.max(a).min(b),
                by_input("inside(v, a, b)", |v, [a, b]| f64::from(u8::from((a..=b).contains(&v)))),
                Formula(&[("Clip", &[X, Arg(0), Arg(1)])]),
            ),
            Self::Elu { .. } => row(
                "elu",
                "exponential_unit(v, a)",
                |v, [a, _]| if v > 0.0 { v } else { a * v.exp_m1() },
                by_input("exponential_unit_slope(v, a)", |v, [a, _]| if v > 0.0 { 1.0 } else { a * v.exp() }),
                Operator("Elu", &["alpha"]),
            ),
            Self::Selu { .. } => row(
                "selu",
                "b * exponential_unit(v, a)",
                |v, [a, b]| b * if v > 0.0 { v } else { a * v.exp_m1() },
                by_input("b * exponential_unit_slope(v, a)", |v, [a, b]| b * if v > 0.0 { 1.0 } else { a * v.exp() }),
                Operator("Selu", &["alpha", "gamma"]),
            ),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The constant `ACTIVATION` of kernels: the number of the first row with the same WGSL expression.
    pub fn id(self) -> u32 {
        let wgsl = self.row().wgsl;
        (1..).zip(Self::ALL).find(|f| f.1.row().wgsl == wgsl).map_or(u32::MAX, |f| f.0)
    }

    /// The arguments of the shader's `activate`. Infinite bounds of [`Function::Clip`] become the finite extremes of
    /// `f32`.
    pub fn arguments(self) -> [f32; 2] {
        match self {
            Self::Identity => return [1.0, 0.0],
            Self::Clip { min, max } => return [min.max(f32::MIN), max.min(f32::MAX)],
            _ => {}
        }
        let values = self.values();
        [0, 1].map(|i| values.get(i).copied().unwrap_or(0.0))
    }

    /// The value for one element.
    pub fn apply(self, v: f64) -> f64 {
        (self.row().value)(v, self.arguments().map(f64::from))
    }

    /// Whether [`Function::slope`] takes the function's result rather than its input.
    pub fn slope_follows_from_result(self) -> bool {
        self.row().derivative.of_result
    }

    /// The derivative where the result, or the input, is `v`: see [`Function::slope_follows_from_result`].
    pub fn slope(self, v: f64) -> f64 {
        (self.row().derivative.value)(v, self.arguments().map(f64::from))
    }

    /// Whether the slope depends only on the sign of the element.
    pub fn is_piecewise_linear(self) -> bool {
        matches!(self, Self::Identity | Self::Relu | Self::LeakyRelu { slope: 0.0.. })
    }

    /// Whether it can be fused into a convolution: lanes past the last channel hold 0 there and must stay finite.
    pub fn is_fusable(self) -> bool {
        self.apply(0.0).is_finite()
    }
}

/// The text for `#generate activation`: the function `activate`.
pub(super) fn activate(id: u32) -> Result<String, String> {
    let row = by_id(id)?;
    Ok(format!("fn activate(v: vec4<f32>, a: f32, b: f32) -> vec4<f32> {{\n    return {};\n}}\n", row.wgsl))
}

/// The text for `#generate activation_slope`: its derivative.
pub(super) fn activation_slope(id: u32) -> Result<String, String> {
    let wgsl = by_id(id)?.derivative.wgsl;
    Ok(format!("fn activation_slope(v: vec4<f32>, a: f32, b: f32) -> vec4<f32> {{\n    return {wgsl};\n}}\n"))
}

fn by_id(id: u32) -> Result<Row, String> {
    (id as usize)
        .checked_sub(1)
        .and_then(|i| Function::ALL.get(i))
        .map(|f| f.row())
        .ok_or_else(|| format!("no function has the number {id}"))
}

fn sign(v: f64) -> f64 {
    f64::from(u8::from(v > 0.0)) - f64::from(u8::from(v < 0.0))
}

fn gelu_argument(v: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044_715 * v * v * v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn known_values() {
        assert_eq!(Function::Round.apply(2.5), 2.0);
        assert_eq!(Function::Clip { min: 2.0, max: 1.0 }.apply(5.0), 1.0);
        assert_eq!(Function::Softplus.apply(1000.0), 1000.0);
        assert_eq!([-1e30, 0.0, 1e30].map(|v| Function::Sigmoid.apply(v)), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn rows_are_distinct() {
        let names: BTreeSet<_> = Function::ALL.iter().map(|f| f.name()).collect();
        assert_eq!(names.len(), Function::ALL.len());
        // Functions that share an expression share its derivative: kernels have one number for both.
        for a in Function::ALL {
            let row = by_id(a.id()).unwrap();
            assert_eq!((row.wgsl, row.derivative.wgsl), (a.row().wgsl, a.row().derivative.wgsl), "{a:?}");
        }
        let [identity, relu] = [Function::Identity, Function::Relu].map(Function::id);
        assert_eq!(identity, relu, "a kernel is compiled once for both");
        assert_ne!(relu, Function::Sigmoid.id());
    }

    #[test]
    fn slopes_match_difference_quotients() {
        for f in Function::ALL {
            for i in -30..30 {
                let v = f64::from(i) * 0.1 + 0.03;
                let undefined = matches!(f, Function::Log | Function::Sqrt) && v < 0.1;
                if undefined {
                    continue;
                }
                let at = if f.slope_follows_from_result() { f.apply(v) } else { v };
                let difference = (f.apply(v + 1e-6) - f.apply(v - 1e-6)) / 2e-6;
                assert!((f.slope(at) - difference).abs() < 1e-4 * difference.abs().max(1.0), "{f:?} at {v}");
            }
        }
        let steep = Function::LeakyRelu { slope: -0.5 };
        assert!(!steep.slope_follows_from_result() && steep.slope(-1.0) == -0.5);
    }

    #[test]
    fn functions_infinite_at_zero_are_not_fused() {
        let excluded: Vec<_> = Function::ALL.iter().filter(|f| !f.is_fusable()).collect();
        assert_eq!(excluded, [&Function::Log, &Function::Reciprocal]);
    }

    #[test]
    fn arguments_can_be_replaced() {
        let clip = Function::Clip { min: 0.0, max: 6.0 };
        assert_eq!(clip.with_arguments(&[1.0]), Function::Clip { min: 1.0, max: 6.0 });
        assert_eq!(Function::Tanh.with_arguments(&[1.0]), Function::Tanh);
    }
}
