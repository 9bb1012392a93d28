//! Elementwise operators.

use super::view::{alike, beside};
use super::{Call, Data, Outputs, Translator, Value};
use crate::graph::ValueId;
use crate::kernel::Onnx;
use crate::model::onnx::Reason;
use crate::model::onnx::fold::broadcast;
use crate::model::onnx::tensor::Tensor;
use crate::model::onnx::value::canonical;
use crate::ops::{Binary, BinaryKind, Function, Unary};
use crate::tensor::Shape;

pub(super) fn unary(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let a = call.attributes;
    let d = call.data(0)?.clone();
    let kind = match call.op() {
        "Clip" => match bounds(call)? {
            (0.0, f32::INFINITY) => Function::Relu,
            (min, max) => Function::Clip { min, max },
        },
        "Gelu" => match a.text("approximate", "none")? {
            "none" => Function::Gelu,
            "tanh" => Function::GeluTanh,
            other => return Err(format!("approximation `{other}` is not supported").into()),
        },
        "Swish" if a.float("alpha", 1.0) == 1.0 => Function::Silu,
        "Mish" => Function::Mish,
        name => by_operator(name, |attribute, default| a.float(attribute, default))
            .ok_or("with these attributes it is not supported")?,
    };
    // Some operators preserve integers, others always return them.
    let integral = match call.op() {
        "Floor" | "Ceil" | "Round" | "Sign" => true,
        "Relu" | "Abs" | "Neg" => d.integral,
        _ => false,
    };
    let id = t.add(call, Unary { kind }, &[d.id])?;
    Ok(vec![Value::Data(Data { integral, ..d.with(id) })])
}

/// Whether an operator is a function in the table.
pub(super) fn is_function(name: &str) -> bool {
    by_operator(name, |_, default| default).is_some()
}

/// The function that corresponds to an ONNX operator. Its arguments are attributes, given with their defaults.
fn by_operator(name: &str, attribute: impl Fn(&str, f32) -> f32) -> Option<Function> {
    Function::ALL.iter().find_map(|f| match f.row().onnx {
        Onnx::Operator(operator, attributes) if operator == name => {
            let arguments = attributes.iter().zip(f.arguments()).map(|(&a, default)| attribute(a, default));
            Some(f.with_arguments(&arguments.collect::<Vec<_>>()))
        }
        _ => None,
    })
}

/// A constant number.
fn number(v: f32) -> Result<Value, Reason> {
    Ok(Value::known(Tensor::floats(vec![1], vec![v])?))
}

/// `x` if positive, else `alpha * (exp(x / alpha) - 1)`.
pub(super) fn celu(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let alpha = call.attributes.float("alpha", 1.0);
    if !(alpha.is_normal() && alpha.recip().is_normal()) {
        return Err(format!("alpha of {alpha}").into());
    }
    let x = two(t, call, BinaryKind::Mul, &Value::Data(d), &number(1.0 / alpha)?)?;
    let Value::Data(x) = x else { return Err("is a constant".into()) };
    let id = t.add(call, Unary { kind: Function::Elu { alpha: 1.0 } }, &[x.id])?;
    Ok(vec![two(t, call, BinaryKind::Mul, &Value::Data(x.with(id)), &number(alpha)?)?])
}

/// `x` where `x > alpha`, else 0.
pub(super) fn thresholded(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let x = Value::Data(call.data(0)?.clone());
    let on = two(t, call, BinaryKind::Greater, &x, &number(call.attributes.float("alpha", 1.0))?)?;
    Ok(vec![two(t, call, BinaryKind::Mul, &x, &on)?])
}

/// Logical operators; booleans are 0 and 1.
pub(super) fn logic(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let one = number(1.0)?;
    let a = call.value(0)?.clone();
    let result = match call.op() {
        "Not" => two(t, call, BinaryKind::Sub, &one, &a)?,
        "And" => two(t, call, BinaryKind::Mul, &a, call.value(1)?)?,
        "Or" => two(t, call, BinaryKind::Max, &a, call.value(1)?)?,
        "GreaterOrEqual" => {
            let less = two(t, call, BinaryKind::Less, &a, call.value(1)?)?;
            two(t, call, BinaryKind::Sub, &one, &less)?
        }
        _ => {
            let greater = two(t, call, BinaryKind::Greater, &a, call.value(1)?)?;
            two(t, call, BinaryKind::Sub, &one, &greater)?
        }
    };
    Ok(vec![match result {
        Value::Data(d) => Value::Data(Data { integral: true, ..d }),
        constant => constant,
    }])
}

/// `c * x + (1 - c) * y`, exact for finite numbers.
pub(super) fn choose(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let (c, x, y) = (call.value(0)?.clone(), call.value(1)?.clone(), call.value(2)?.clone());
    for value in [&x, &y] {
        if value.tensor().is_some_and(|t| (0..t.len()).any(|i| !t.at(i).is_finite())) {
            return Err("with a constant that is not finite is not supported".into());
        }
    }
    if x.tensor().is_some() && y.tensor().is_some() && !matches!(c, Value::Data(_)) {
        return Err("of large constants is not supported".into());
    }
    let one = number(1.0)?;
    let not = two(t, call, BinaryKind::Sub, &one, &c)?;
    let x = two(t, call, BinaryKind::Mul, &c, &x)?;
    let y = two(t, call, BinaryKind::Mul, &not, &y)?;
    Ok(vec![two(t, call, BinaryKind::Add, &x, &y)?])
}

/// The bounds of `Clip`: attributes up to opset 10, then inputs.
fn bounds(call: &Call<'_>) -> Result<(f32, f32), Reason> {
    let bound = |name: &str, i: usize, default: f32| match call.known(i)? {
        Some(t) => t.scalar().map(|v| v as f32),
        None => Ok(call.attributes.float(name, default)),
    };
    Ok((bound("min", 1, f32::NEG_INFINITY)?, bound("max", 2, f32::INFINITY)?))
}

pub(super) fn binary(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let kind = match call.op() {
        "Add" => BinaryKind::Add,
        "Sub" => BinaryKind::Sub,
        "Mul" => BinaryKind::Mul,
        "Div" => BinaryKind::Div,
        "Pow" => BinaryKind::Pow,
        "PRelu" => BinaryKind::Prelu,
        "Less" => BinaryKind::Less,
        "Greater" => BinaryKind::Greater,
        _ => BinaryKind::Equal,
    };
    if call.opset < 7 && call.attributes.flag("broadcast", false) {
        return Err(format!("broadcasting of opset {} is not supported", call.opset).into());
    }
    let result = two(t, call, kind, call.value(0)?, call.value(1)?)?;
    let boolean = matches!(kind, BinaryKind::Less | BinaryKind::Greater | BinaryKind::Equal);
    Ok(vec![match result {
        Value::Data(d) if boolean => Value::Data(Data { integral: true, ..d }),
        value => value,
    }])
}

/// Operators with any number of inputs.
pub(super) fn several(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let kind = match call.op() {
        "Min" => BinaryKind::Min,
        "Max" => BinaryKind::Max,
        _ => BinaryKind::Add,
    };
    let mut sum = call.value(0)?.clone();
    for i in 1..call.inputs.len() {
        sum = two(t, call, kind, &sum, call.value(i)?)?;
    }
    if call.op() == "Mean" {
        let share = Tensor::floats(vec![1], vec![1.0 / call.inputs.len() as f32])?;
        sum = two(t, call, BinaryKind::Mul, &sum, &Value::known(share))?;
    }
    Ok(vec![sum])
}

/// Axis order in the file of two tensors, and the tensors.
type Unpermuted = (Vec<usize>, [ValueId; 2]);

/// The inputs of a node without permutation, and the axis order in the file, for two tensors that the file permutes
/// alike, or one tensor and a constant.
fn unpermuted(t: &mut Translator<'_>, a: &Value, b: &Value) -> Result<Option<Unpermuted>, Reason> {
    let view = |d: &Data, t: &Translator<'_>| d.is_of(t.graph.shape(d.id)) && d.reordered();
    Ok(match (a, b) {
        (Value::Data(a), Value::Data(b)) => {
            let [sa, sb] = [a, b].map(|d| t.graph.shape(d.id));
            (alike((a, sa), (b, sb)) && a.reordered()).then(|| (a.order.clone(), [a.id, b.id]))
        }
        (Value::Data(a), constant) if view(a, t) && constant.dims().len() <= 4 => {
            let (dims, perm) = beside(&constant.dims(), &a.order)?;
            Some((a.order.clone(), [a.id, t.permuted(constant, &dims, &perm)?]))
        }
        (constant, Value::Data(b)) if view(b, t) && constant.dims().len() <= 4 => {
            let (dims, perm) = beside(&constant.dims(), &b.order)?;
            Some((b.order.clone(), [t.permuted(constant, &dims, &perm)?, b.id]))
        }
        _ => None,
    })
}

pub(super) fn two(
    t: &mut Translator<'_>,
    call: &Call<'_>,
    kind: BinaryKind,
    a: &Value,
    b: &Value,
) -> Result<Value, Reason> {
    let (da, db) = (a.dims(), b.dims());
    let dims = broadcast(&da, &db)?;
    // With tensors viewed alike, or a tensor and a number, the order of elements does not matter.
    let direct = match (a, b) {
        (Value::Data(a), Value::Data(b)) => {
            let same = a.base == b.base && a.order == b.order && t.graph.shape(a.id) == t.graph.shape(b.id);
            same.then(|| (a.clone(), [a.id, b.id]))
        }
        (Value::Data(a), b) if db.iter().all(|&n| n == 1) && dims == da => {
            Some((a.clone(), [a.id, t.parameter(b, &[1])?]))
        }
        (a, Value::Data(b)) if da.iter().all(|&n| n == 1) && dims == db => {
            Some((b.clone(), [t.parameter(a, &[1])?, b.id]))
        }
        _ => None,
    };
    if let Some((view, inputs)) = direct {
        let id = t.add(call, Binary { kind }, &inputs)?;
        return Ok(Value::Data(Data { integral: false, ..view.with(id) }));
    }
    if let Some((order, inputs)) = unpermuted(t, a, b)? {
        let id = t.add(call, Binary { kind }, &inputs)?;
        return Ok(Value::Data(Data { id, base: t.graph.shape(id).dims().to_vec(), order, integral: false }));
    }
    let rank = dims.len();
    let padded = |d: &[usize]| [vec![1; rank - d.len()], d.to_vec()].concat();
    let shapes = match (canonical(&padded(&da)), canonical(&padded(&db))) {
        (Some(a), Some(b)) => [a, b],
        _ => grouped(&padded(&da), &padded(&db))
            .ok_or_else(|| Reason::from(format!("dimensions {da:?} and {db:?} are not supported")))?,
    };
    let mut inputs = shapes.into_iter().zip([a, b]).map(|(s, v)| match v {
        Value::Data(d) => t.shaped(call, d, s),
        constant => t.parameter(constant, &s.dims()),
    });
    let (Some(a), Some(b)) = (inputs.next(), inputs.next()) else { return Err("two inputs are needed".into()) };
    let inputs = [a?, b?];
    let id = t.add(call, Binary { kind }, &inputs)?;
    Ok(Value::Data(Data::plain(id, dims)))
}

/// More than four dimensions as NCHW: adjacent axes that are broadcast alike are merged, preferably without the last
/// two.
fn grouped(a: &[usize], b: &[usize]) -> Option<[Shape; 2]> {
    let group = |pixels: usize| -> Option<[Shape; 2]> {
        let mut groups: Vec<[usize; 2]> = Vec::new();
        for i in 0..a.len() - pixels {
            let alike = |g: &[usize; 2]| {
                let kind = |x: usize, y: usize| (x == 1, y == 1);
                *g == [1, 1] || (a[i], b[i]) == (1, 1) || kind(g[0], g[1]) == kind(a[i], b[i])
            };
            match groups.last_mut().filter(|g| alike(g)) {
                Some(g) => *g = [g[0] * a[i], g[1] * b[i]],
                None => groups.push([a[i], b[i]]),
            }
        }
        groups.extend((a.len() - pixels..a.len()).map(|i| [a[i], b[i]]));
        let free = 4usize.checked_sub(groups.len())?;
        groups.splice(0..0, std::iter::repeat_n([1, 1], free));
        let shape = |k: usize| Shape::new(groups[0][k], groups[1][k], groups[2][k], groups[3][k]);
        Some([shape(0), shape(1)])
    };
    group(2).or_else(|| group(0))
}
