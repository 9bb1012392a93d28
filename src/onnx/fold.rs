//! Constant folding: shape arithmetic of exporters, and constants computed from constants.

mod dims;
mod values;

pub(crate) use dims::{
    Range, axis, broadcast, flatten, lengths, permutation, reshape, shape_of, slice, split, squeeze, unsqueeze,
};

use super::Reason;
use super::attributes::Attributes;
use super::proto::DataType;
use super::tensor::{Elements, Tensor, read};
use dims::bounded;
use values::{binary, cast, concat, constant, gather, map, range, reduce, spread, take_slices, tile, transpose};

/// A node as [`apply`] needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// Operator.
    pub op: &'a str,
    /// Its attributes.
    pub attributes: Attributes<'a>,
    /// Opset version.
    pub opset: i64,
    /// Number of outputs of the node.
    pub outputs: usize,
}

/// The outputs of an operator on known tensors; `None` if the operator is not folded.
pub(crate) fn apply(call: &Call<'_>, inputs: &[Option<&Tensor>]) -> Result<Option<Vec<Tensor>>, Reason> {
    let a = call.attributes;
    let get = |i: usize| inputs.get(i).copied().flatten().ok_or_else(|| Reason::from(format!("input {i} is missing")));
    let maybe = |i: usize| inputs.get(i).copied().flatten();
    // A list that is an attribute in older opsets and an input in newer ones.
    let list = |name: &str, i: usize| -> Result<Option<Vec<i64>>, Reason> {
        match (maybe(i), a.ints(name)) {
            (Some(t), _) => Ok(Some(t.as_ints()?.to_vec())),
            (None, attribute) => Ok(attribute.map(<[i64]>::to_vec)),
        }
    };
    let one = |t: Tensor| Ok(Some(vec![t]));
    match call.op {
        "Identity" | "Dropout" => one(get(0)?.clone()),
        "Constant" => one(constant(a)?),
        "ConstantOfShape" => {
            let dims = lengths(get(0)?.as_ints()?)?;
            let n = bounded(&dims)?;
            let value = a.tensor("value").map(|t| read(t, None)).transpose()?;
            let elements = match value.as_ref().map(|v| &v.elements) {
                None => Elements::Float(vec![0.0; n]),
                Some(Elements::Float(v)) => Elements::Float(vec![v.first().copied().unwrap_or_default(); n]),
                Some(Elements::Int(v)) => Elements::Int(vec![v.first().copied().unwrap_or_default(); n]),
            };
            one(Tensor { dims, elements })
        }
        "Shape" => one(shape_of(&get(0)?.dims, a)),
        "Size" => one(Tensor { dims: vec![], elements: Elements::Int(vec![get(0)?.len() as i64]) }),
        "Cast" => one(cast(get(0)?, a.int("to").unwrap_or_default())?),
        "CastLike" => {
            let to = if matches!(get(1)?.elements, Elements::Int(_)) { DataType::Int64 } else { DataType::Float };
            one(cast(get(0)?, to as i64)?)
        }
        "Reshape" => {
            let t = get(0)?;
            let dims = reshape(&t.dims, get(1)?.as_ints()?, a.flag("allowzero", false))?;
            one(t.reshaped(dims)?)
        }
        "Flatten" => {
            let t = get(0)?;
            one(t.reshaped(flatten(&t.dims, a.int("axis").unwrap_or(1))?)?)
        }
        "Unsqueeze" => {
            let axes = list("axes", 1)?.ok_or("axes are missing")?;
            one(get(0)?.reshaped(unsqueeze(&get(0)?.dims, &axes)?)?)
        }
        "Squeeze" => one(get(0)?.reshaped(squeeze(&get(0)?.dims, list("axes", 1)?.as_deref())?)?),
        "Transpose" => one(transpose(get(0)?, &permutation(get(0)?.dims.len(), a.ints("perm"))?)?),
        "Gather" => one(gather(get(0)?, get(1)?, a.int("axis").unwrap_or(0))?),
        "Slice" => {
            let t = get(0)?;
            let ranges = slice(&t.dims, |name, i| list(name, i))?;
            one(take_slices(t, &ranges)?)
        }
        "Split" => {
            let t = get(0)?;
            let parts = split(&t.dims, a, maybe(1), call.outputs)?;
            let whole: Vec<Range> = t.dims.iter().map(|&n| Range { start: 0, step: 1, count: n }).collect();
            let part = |&(axis, start, count): &(usize, usize, usize)| {
                let mut ranges = whole.clone();
                ranges[axis] = Range { start: start as i64, step: 1, count };
                take_slices(t, &ranges)
            };
            Ok(Some(parts.iter().map(part).collect::<Result<_, _>>()?))
        }
        "Concat" => one(concat(inputs, a.int("axis").ok_or("axis is missing")?)?),
        "Expand" => {
            let t = get(0)?;
            let dims = broadcast(&t.dims, &lengths(get(1)?.as_ints()?)?)?;
            one(spread(t, &dims)?)
        }
        "Tile" => one(tile(get(0)?, get(1)?.as_ints()?)?),
        "Range" => one(range(get(0)?, get(1)?, get(2)?)?),
        "Where" => {
            let (c, x, y) = (get(0)?, get(1)?, get(2)?);
            let dims = broadcast(&broadcast(&c.dims, &x.dims)?, &y.dims)?;
            bounded(&dims)?;
            let (c, x, y) = (spread(c, &dims)?, spread(x, &dims)?, spread(y, &dims)?);
            let n = c.len();
            let elements = match (&x.elements, &y.elements) {
                (Elements::Int(x), Elements::Int(y)) => {
                    Elements::Int((0..n).map(|i| if c.at(i) != 0.0 { x[i] } else { y[i] }).collect())
                }
                _ => Elements::Float(
                    (0..n).map(|i| if c.at(i) != 0.0 { x.at(i) as f32 } else { y.at(i) as f32 }).collect(),
                ),
            };
            one(Tensor { dims, elements })
        }
        "ReduceSum" | "ReduceProd" | "ReduceMax" | "ReduceMin" | "ReduceMean" => {
            let t = get(0)?;
            let axes = list("axes", 1)?;
            one(reduce(call.op, t, axes.as_deref(), a.flag("keepdims", true), a.flag("noop_with_empty_axes", false))?)
        }
        "Not" => one(map(get(0)?, |v| f64::from(u8::from(v == 0.0)), |v| Some(i64::from(v == 0)))?),
        "Neg" => one(map(get(0)?, |v| -v, i64::checked_neg)?),
        "Abs" => one(map(get(0)?, f64::abs, i64::checked_abs)?),
        "Floor" => one(map(get(0)?, f64::floor, Some)?),
        "Ceil" => one(map(get(0)?, f64::ceil, Some)?),
        "Round" => one(map(get(0)?, f64::round_ties_even, Some)?),
        "Sqrt" => one(map(get(0)?, f64::sqrt, |_| None)?),
        "Exp" => one(map(get(0)?, f64::exp, |_| None)?),
        "Log" => one(map(get(0)?, f64::ln, |_| None)?),
        "Reciprocal" => one(map(get(0)?, |v| 1.0 / v, |_| None)?),
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "And" | "Or" | "Equal" | "Less" | "LessOrEqual" | "Greater"
        | "GreaterOrEqual" => one(binary(call, get(0)?, get(1)?)?),
        "Min" | "Max" => {
            let mut result = get(0)?.clone();
            for i in 1..inputs.len() {
                result = binary(call, &result, get(i)?)?;
            }
            one(result)
        }
        _ => Ok(None),
    }
}
