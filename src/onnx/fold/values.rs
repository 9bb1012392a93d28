//! Folding of constants: moving, joining and computing elements.

use super::Call;
use super::dims::{Range, axis, bounded, broadcast, lengths};
use crate::onnx::Reason;
use crate::onnx::attributes::Attributes;
use crate::onnx::proto::DataType;
use crate::onnx::tensor::{Elements, MAX_FOLDED, Tensor, count, read, strides};

pub(super) fn constant(a: Attributes<'_>) -> Result<Tensor, Reason> {
    if let Some(t) = a.tensor("value") {
        if t.data_location == 1 {
            return Err("a constant in another file is not supported".into());
        }
        return read(t, None);
    }
    if a.has("value_int") {
        return Ok(Tensor { dims: vec![], elements: Elements::Int(vec![a.int("value_int").unwrap_or_default()]) });
    }
    if a.has("value_float") {
        return Ok(Tensor { dims: vec![], elements: Elements::Float(vec![a.float("value_float", 0.0)]) });
    }
    if let Some(list) = a.ints("value_ints") {
        return Ok(Tensor::ints(list.iter().copied()));
    }
    if let Some(list) = a.floats("value_floats") {
        return Tensor::floats(vec![list.len()], list.to_vec());
    }
    Err("a constant that is neither a tensor nor a list of numbers".into())
}

pub(super) fn cast(t: &Tensor, to: i64) -> Result<Tensor, Reason> {
    let kind = i32::try_from(to).ok().and_then(|v| DataType::try_from(v).ok());
    let elements = match kind {
        Some(DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16) => {
            Elements::Float(t.to_floats())
        }
        Some(DataType::Bool) => Elements::Int((0..t.len()).map(|i| i64::from(t.at(i) != 0.0)).collect()),
        Some(
            DataType::Int64
            | DataType::Int32
            | DataType::Int16
            | DataType::Int8
            | DataType::Uint8
            | DataType::Uint16
            | DataType::Uint32
            | DataType::Uint64,
        ) => match &t.elements {
            Elements::Int(v) => Elements::Int(v.clone()),
            Elements::Float(v) => Elements::Int(v.iter().map(|&v| v as i64).collect()),
        },
        _ => return Err(format!("a cast to type {to}").into()),
    };
    Ok(Tensor { dims: t.dims.clone(), elements })
}

/// Row-major indices of a tensor of dimensions `dims` into one with `strides`, from `origin`.
fn walk(dims: &[usize], strides: &[i64], origin: i64) -> impl Iterator<Item = usize> {
    let (dims, strides) = (dims.to_vec(), strides.to_vec());
    let total: usize = dims.iter().product();
    let mut at = vec![0usize; dims.len()];
    let mut index = origin;
    (0..total).map(move |_| {
        let now = index;
        for i in (0..dims.len()).rev() {
            at[i] += 1;
            if at[i] < dims[i] {
                index += strides[i];
                break;
            }
            // Back to the first element; wrapping, since a stride of an axis of one element can be any number.
            index -= strides[i].wrapping_mul(dims[i] as i64 - 1);
            at[i] = 0;
        }
        usize::try_from(now).unwrap_or(usize::MAX)
    })
}

pub(super) fn transpose(t: &Tensor, perm: &[usize]) -> Result<Tensor, Reason> {
    let from = strides(&t.dims);
    let dims: Vec<usize> = perm.iter().map(|&p| t.dims[p]).collect();
    let by: Vec<i64> = perm.iter().map(|&p| from[p] as i64).collect();
    t.pick(dims.clone(), walk(&dims, &by, 0))
}

pub(super) fn gather(t: &Tensor, indices: &Tensor, at: i64) -> Result<Tensor, Reason> {
    let at = axis(at, t.dims.len())?;
    let n = t.dims[at] as i64;
    let list = indices.as_ints()?.iter().map(|&i| axis(i, n as usize)).collect::<Result<Vec<_>, _>>()?;
    let (before, after) = (count(&t.dims[..at])?, count(&t.dims[at + 1..])?);
    let dims = [&t.dims[..at], &indices.dims, &t.dims[at + 1..]].concat();
    // An empty result may still have very many rows.
    let before = if bounded(&dims)? == 0 { 0 } else { before };
    let list = &list;
    let picked = (0..before)
        .flat_map(|b| list.iter().flat_map(move |&i| (0..after).map(move |a| (b * n as usize + i) * after + a)));
    t.pick(dims, picked)
}

pub(super) fn take_slices(t: &Tensor, ranges: &[Range]) -> Result<Tensor, Reason> {
    let from = strides(&t.dims);
    let dims: Vec<usize> = ranges.iter().map(|r| r.count).collect();
    let by: Vec<i64> = ranges.iter().zip(&from).map(|(r, &s)| r.step.saturating_mul(s as i64)).collect();
    let origin = ranges.iter().zip(&from).map(|(r, &s)| r.start * s as i64).sum();
    t.pick(dims.clone(), walk(&dims, &by, origin))
}

pub(super) fn concat(inputs: &[Option<&Tensor>], at: i64) -> Result<Tensor, Reason> {
    let parts: Option<Vec<&Tensor>> = inputs.iter().copied().collect();
    let parts = parts.filter(|p| !p.is_empty()).ok_or("an input is missing")?;
    let first = parts[0];
    let at = axis(at, first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[at] = 0;
    for p in &parts {
        let same = p.dims.len() == dims.len() && (0..dims.len()).all(|i| i == at || p.dims[i] == dims[i]);
        if !same {
            return Err(format!("{:?} and {:?} cannot be joined along axis {at}", first.dims, p.dims).into());
        }
        dims[at] += p.dims[at];
    }
    if bounded(&dims)? == 0 {
        return Ok(Tensor { dims, elements: first.elements.clone() });
    }
    let before = count(&dims[..at])?;
    let runs: Vec<usize> = parts.iter().map(|p| count(&p.dims[at..])).collect::<Result<_, _>>()?;
    let all_ints = parts.iter().all(|p| matches!(p.elements, Elements::Int(_)));
    let order = (0..before).flat_map(|b| parts.iter().zip(&runs).map(move |(p, &run)| (*p, b * run..(b + 1) * run)));
    let elements = if all_ints {
        let mut out = Vec::new();
        for (p, run) in order {
            out.extend_from_slice(p.as_ints()?.get(run).unwrap_or_default());
        }
        Elements::Int(out)
    } else {
        Elements::Float(order.flat_map(|(p, run)| run.map(move |i| p.at(i) as f32)).collect())
    };
    Tensor { dims, elements }.checked()
}

pub(super) fn spread(t: &Tensor, dims: &[usize]) -> Result<Tensor, Reason> {
    bounded(dims)?;
    let from = strides(&t.dims);
    let skip = dims.len().checked_sub(t.dims.len()).ok_or("broadcast to fewer dimensions")?;
    let by: Vec<i64> = (0..dims.len())
        .map(|i| match i.checked_sub(skip) {
            Some(j) if t.dims[j] != 1 => from[j] as i64,
            _ => 0,
        })
        .collect();
    t.pick(dims.to_vec(), walk(dims, &by, 0))
}

pub(super) fn tile(t: &Tensor, repeats: &[i64]) -> Result<Tensor, Reason> {
    let repeats = lengths(repeats)?;
    if repeats.len() != t.dims.len() {
        return Err("repeats and input differ in rank".into());
    }
    let dims: Vec<usize> = t.dims.iter().zip(&repeats).map(|(&d, &r)| d.saturating_mul(r)).collect();
    let n = bounded(&dims)?;
    let (from, to) = (strides(&t.dims), strides(&dims));
    let indices = (0..n).map(|i| (0..dims.len()).map(|k| (i / to[k] % dims[k]) % t.dims[k] * from[k]).sum());
    t.pick(dims.clone(), indices)
}

pub(super) fn range(start: &Tensor, limit: &Tensor, delta: &Tensor) -> Result<Tensor, Reason> {
    let (s, l, d) = (start.scalar()?, limit.scalar()?, delta.scalar()?);
    let n = ((l - s) / d).ceil().max(0.0);
    if !(d != 0.0 && n <= MAX_FOLDED as f64) {
        return Err(format!("a range from {s} to {l} by {d}").into());
    }
    let n = n as usize;
    match (&start.elements, &delta.elements) {
        (Elements::Int(s), Elements::Int(d)) => {
            let at = |i: i64| i.checked_mul(d[0])?.checked_add(s[0]);
            let all: Option<Vec<i64>> = (0..n as i64).map(at).collect();
            Ok(Tensor::ints(all.ok_or("integer overflow")?))
        }
        _ => Tensor::floats(vec![n], (0..n).map(|i| (s + i as f64 * d) as f32).collect()),
    }
}

pub(super) fn reduce(
    op: &str,
    t: &Tensor,
    axes: Option<&[i64]>,
    keep: bool,
    noop_if_empty: bool,
) -> Result<Tensor, Reason> {
    let rank = t.dims.len();
    let axes: Vec<usize> = match axes {
        Some([]) if noop_if_empty => return Ok(t.clone()),
        None if noop_if_empty => return Ok(t.clone()),
        None | Some([]) => (0..rank).collect(),
        Some(list) => list.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
    };
    let reduced: Vec<usize> = (0..rank).map(|i| if axes.contains(&i) { 1 } else { t.dims[i] }).collect();
    let (from, to) = (strides(&t.dims), strides(&reduced));
    let start = match op {
        "ReduceProd" => 1.0,
        "ReduceMax" => f64::NEG_INFINITY,
        "ReduceMin" => f64::INFINITY,
        _ => 0.0,
    };
    let mut out = vec![start; bounded(&reduced)?];
    for i in 0..t.len() {
        let at: usize = (0..rank).filter(|k| !axes.contains(k)).map(|k| i / from[k] % t.dims[k] * to[k]).sum();
        let v = t.at(i);
        out[at] = match op {
            "ReduceProd" => out[at] * v,
            "ReduceMax" => out[at].max(v),
            "ReduceMin" => out[at].min(v),
            _ => out[at] + v,
        };
    }
    if op == "ReduceMean" {
        let n = (t.len() / out.len().max(1)).max(1) as f64;
        out.iter_mut().for_each(|v| *v /= n);
    }
    let dims = if keep { reduced } else { (0..rank).filter(|k| !axes.contains(k)).map(|k| t.dims[k]).collect() };
    let elements = match t.elements {
        Elements::Int(_) => Elements::Int(out.iter().map(|&v| v as i64).collect()),
        Elements::Float(_) => Elements::Float(out.iter().map(|&v| v as f32).collect()),
    };
    Tensor { dims, elements }.checked()
}

pub(super) fn map(t: &Tensor, float: impl Fn(f64) -> f64, int: impl Fn(i64) -> Option<i64>) -> Result<Tensor, Reason> {
    let elements = match &t.elements {
        Elements::Float(v) => Elements::Float(v.iter().map(|&v| float(v.into()) as f32).collect()),
        Elements::Int(v) => Elements::Int(v.iter().map(|&v| int(v)).collect::<Option<_>>().ok_or("integer overflow")?),
    };
    Ok(Tensor { dims: t.dims.clone(), elements })
}

pub(super) fn binary(call: &Call<'_>, a: &Tensor, b: &Tensor) -> Result<Tensor, Reason> {
    let dims = broadcast(&a.dims, &b.dims)?;
    let (a, b) = (spread(a, &dims)?, spread(b, &dims)?);
    let boolean = |v: bool| i64::from(v);
    let compare: Option<fn(f64, f64) -> bool> = match call.op {
        "Equal" => Some(|x, y| x == y),
        "Less" => Some(|x, y| x < y),
        "LessOrEqual" => Some(|x, y| x <= y),
        "Greater" => Some(|x, y| x > y),
        "GreaterOrEqual" => Some(|x, y| x >= y),
        "And" => Some(|x, y| x != 0.0 && y != 0.0),
        "Or" => Some(|x, y| x != 0.0 || y != 0.0),
        _ => None,
    };
    let elements = match (compare, &a.elements, &b.elements) {
        (Some(f), ..) => Elements::Int((0..a.len()).map(|i| boolean(f(a.at(i), b.at(i)))).collect()),
        (None, Elements::Int(x), Elements::Int(y)) => {
            let f = |(&x, &y): (&i64, &i64)| match call.op {
                "Add" => x.checked_add(y),
                "Sub" => x.checked_sub(y),
                "Mul" => x.checked_mul(y),
                // Rounds towards zero, as in C.
                "Div" => x.checked_div(y),
                "Mod" if call.attributes.flag("fmod", false) => x.checked_rem(y),
                // Has the sign of the divisor, as in Python.
                "Mod" => x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r }),
                "Pow" => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
                "Min" => Some(x.min(y)),
                _ => Some(x.max(y)),
            };
            let all: Option<Vec<i64>> = x.iter().zip(y).map(f).collect();
            Elements::Int(all.ok_or("integer overflow")?)
        }
        _ => {
            let f = |i: usize| {
                let (x, y) = (a.at(i), b.at(i));
                (match call.op {
                    "Add" => x + y,
                    "Sub" => x - y,
                    "Mul" => x * y,
                    "Div" => x / y,
                    "Mod" => x % y,
                    "Pow" => x.powf(y),
                    "Min" => x.min(y),
                    _ => x.max(y),
                }) as f32
            };
            Elements::Float((0..a.len()).map(f).collect())
        }
    };
    Ok(Tensor { dims, elements })
}
