//! Operators on tensors that are known: the shape arithmetic of exporters, and constants made of constants.

use super::Why;
use super::attributes::Attributes;
use super::proto::DataType;
use super::tensor::{Elements, MAX_FOLDED, MAX_RANK, Tensor, count, read, strides};

/// A node as [`apply`] needs it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Operator.
    pub op: &'a str,
    /// Its attributes.
    pub attributes: Attributes<'a>,
    /// Version of the operators.
    pub opset: i64,
    /// How many outputs the node has.
    pub outputs: usize,
}

/// The outputs of an operator on known tensors; `None` for an operator that is not folded.
pub fn apply(call: &Call<'_>, inputs: &[Option<&Tensor>]) -> Result<Option<Vec<Tensor>>, Why> {
    let a = call.attributes;
    let get = |i: usize| inputs.get(i).copied().flatten().ok_or_else(|| Why::from(format!("input {i} is missing")));
    let maybe = |i: usize| inputs.get(i).copied().flatten();
    // A list that older operators have as an attribute and newer ones as an input.
    let list = |name: &str, i: usize| -> Result<Option<Vec<i64>>, Why> {
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

fn constant(a: Attributes<'_>) -> Result<Tensor, Why> {
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

/// The result of `Shape`, with its optional first and last axis.
pub fn shape_of(dims: &[usize], a: Attributes<'_>) -> Tensor {
    let rank = dims.len() as i64;
    let at = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (at(a.int("start").unwrap_or(0)), at(a.int("end").unwrap_or(rank)));
    Tensor::ints(dims.get(start..end).unwrap_or_default().iter().map(|&d| d as i64))
}

fn cast(t: &Tensor, to: i64) -> Result<Tensor, Why> {
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

/// Axis `axis` of `rank`, counted from the end if negative.
pub fn axis(axis: i64, rank: usize) -> Result<usize, Why> {
    let at = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(at).ok().filter(|&a| a < rank).ok_or_else(|| format!("axis {axis} of {rank} dimensions").into())
}

/// Dimensions from whole numbers.
pub fn lengths(v: &[i64]) -> Result<Vec<usize>, Why> {
    let dims: Option<Vec<usize>> = v.iter().map(|&d| usize::try_from(d).ok()).collect();
    let dims = dims.ok_or_else(|| Why::from(format!("negative dimensions {v:?}")))?;
    count(&dims)?;
    Ok(dims)
}

/// Number of elements of a tensor that is about to be made.
fn bounded(dims: &[usize]) -> Result<usize, Why> {
    let n = count(dims)?;
    if n > MAX_FOLDED {
        return Err(format!("a constant of dimensions {dims:?} is larger than {MAX_FOLDED} elements").into());
    }
    Ok(n)
}

/// The dimensions that `Reshape` asks for.
pub fn reshape(from: &[usize], to: &[i64], zero_is_zero: bool) -> Result<Vec<usize>, Why> {
    if to.len() > MAX_RANK {
        return Err(format!("a reshape to {} dimensions", to.len()).into());
    }
    let total = count(from)?;
    let wrong = || Why::from(format!("{from:?} cannot be reshaped to {to:?}"));
    let mut dims = Vec::with_capacity(to.len());
    let mut open = None;
    for (i, &d) in to.iter().enumerate() {
        dims.push(match d {
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            0 if !zero_is_zero => *from.get(i).ok_or_else(wrong)?,
            d => usize::try_from(d).map_err(|_| wrong())?,
        });
    }
    let known = count(&dims)?;
    if let Some(i) = open {
        dims[i] = total.checked_div(known).ok_or_else(wrong)?;
    }
    if count(&dims)? == total { Ok(dims) } else { Err(wrong()) }
}

/// The dimensions of `Flatten`.
pub fn flatten(dims: &[usize], at: i64) -> Result<Vec<usize>, Why> {
    let at = if at == dims.len() as i64 { dims.len() } else { axis(at, dims.len())? };
    Ok(vec![count(&dims[..at])?, count(&dims[at..])?])
}

/// The dimensions of `Unsqueeze`.
pub fn unsqueeze(dims: &[usize], axes: &[i64]) -> Result<Vec<usize>, Why> {
    let rank = dims.len() + axes.len();
    if rank > MAX_RANK {
        return Err(format!("{rank} dimensions").into());
    }
    let axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut rest = dims.iter();
    let dims: Vec<usize> =
        (0..rank).map(|i| if axes.contains(&i) { 1 } else { rest.next().copied().unwrap_or(1) }).collect();
    if rest.next().is_some() { Err(format!("axes {axes:?} are named twice").into()) } else { Ok(dims) }
}

/// The dimensions of `Squeeze`.
pub fn squeeze(dims: &[usize], axes: Option<&[i64]>) -> Result<Vec<usize>, Why> {
    let Some(axes) = axes else { return Ok(dims.iter().copied().filter(|&d| d != 1).collect()) };
    let axes = axes.iter().map(|&a| axis(a, dims.len())).collect::<Result<Vec<_>, _>>()?;
    if let Some(&a) = axes.iter().find(|&&a| dims[a] != 1) {
        return Err(format!("axis {a} of {dims:?} is not 1").into());
    }
    Ok(dims.iter().enumerate().filter(|d| !axes.contains(&d.0)).map(|d| *d.1).collect())
}

/// The permutation of `Transpose`.
pub fn permutation(rank: usize, perm: Option<&[i64]>) -> Result<Vec<usize>, Why> {
    let Some(perm) = perm else { return Ok((0..rank).rev().collect()) };
    let found = perm.iter().map(|&p| axis(p, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = found.clone();
    sorted.sort_unstable();
    if sorted == (0..rank).collect::<Vec<_>>() {
        Ok(found)
    } else {
        Err(format!("permutation {perm:?} of {rank} dimensions").into())
    }
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
            index += strides[i];
            if at[i] < dims[i] {
                break;
            }
            index -= strides[i] * dims[i] as i64;
            at[i] = 0;
        }
        usize::try_from(now).unwrap_or(usize::MAX)
    })
}

fn transpose(t: &Tensor, perm: &[usize]) -> Result<Tensor, Why> {
    let from = strides(&t.dims);
    let dims: Vec<usize> = perm.iter().map(|&p| t.dims[p]).collect();
    let by: Vec<i64> = perm.iter().map(|&p| from[p] as i64).collect();
    t.pick(dims.clone(), walk(&dims, &by, 0))
}

fn gather(t: &Tensor, indices: &Tensor, at: i64) -> Result<Tensor, Why> {
    let at = axis(at, t.dims.len())?;
    let n = t.dims[at] as i64;
    let list = indices.as_ints()?.iter().map(|&i| axis(i, n as usize)).collect::<Result<Vec<_>, _>>()?;
    let (before, after) = (count(&t.dims[..at])?, count(&t.dims[at + 1..])?);
    let dims = [&t.dims[..at], &indices.dims, &t.dims[at + 1..]].concat();
    bounded(&dims)?;
    let list = &list;
    let picked = (0..before)
        .flat_map(|b| list.iter().flat_map(move |&i| (0..after).map(move |a| (b * n as usize + i) * after + a)));
    t.pick(dims, picked)
}

/// What is taken along an axis: `count` elements from `start`, `step` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First.
    pub start: i64,
    /// Distance.
    pub step: i64,
    /// How many.
    pub count: usize,
}

/// What `Slice` takes along every axis. `list(name, input)` gives an attribute or an input.
pub fn slice(dims: &[usize], list: impl Fn(&str, usize) -> Result<Option<Vec<i64>>, Why>) -> Result<Vec<Range>, Why> {
    let starts = list("starts", 1)?.ok_or("starts are missing")?;
    let ends = list("ends", 2)?.ok_or("ends are missing")?;
    let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("starts, ends, axes and steps differ in length".into());
    }
    let mut ranges: Vec<Range> = dims.iter().map(|&n| Range { start: 0, step: 1, count: n }).collect();
    for (((&start, &end), &at), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let at = axis(at, dims.len())?;
        let n = dims[at] as i64;
        let wrap = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
        let (start, span) = match step {
            0 => return Err("a step of 0".into()),
            1.. => {
                let start = wrap(start).clamp(0, n);
                (start, wrap(end).clamp(0, n) - start)
            }
            _ => {
                let start = wrap(start).clamp(-1, n - 1);
                // The end is exclusive, and -1 stands for "before the first".
                let end = if end < -n { -1 } else { wrap(end).clamp(-1, n - 1) };
                (start, start - end)
            }
        };
        let count = (span.max(0) as u64).div_ceil(step.unsigned_abs()) as usize;
        ranges[at] = Range { start, step, count };
    }
    Ok(ranges)
}

fn take_slices(t: &Tensor, ranges: &[Range]) -> Result<Tensor, Why> {
    let from = strides(&t.dims);
    let dims: Vec<usize> = ranges.iter().map(|r| r.count).collect();
    let by: Vec<i64> = ranges.iter().zip(&from).map(|(r, &s)| r.step.saturating_mul(s as i64)).collect();
    let origin = ranges.iter().zip(&from).map(|(r, &s)| r.start * s as i64).sum();
    t.pick(dims.clone(), walk(&dims, &by, origin))
}

/// The parts of `Split`: axis, start and length of each.
pub fn split(
    dims: &[usize],
    a: Attributes<'_>,
    sizes: Option<&Tensor>,
    outputs: usize,
) -> Result<Vec<(usize, usize, usize)>, Why> {
    let at = axis(a.int("axis").unwrap_or(0), dims.len())?;
    let n = dims[at];
    let sizes = match (sizes, a.ints("split")) {
        (Some(t), _) => lengths(t.as_ints()?)?,
        (None, Some(list)) => lengths(list)?,
        (None, None) => {
            let parts = a.int("num_outputs").map_or(Ok(outputs), usize::try_from).unwrap_or(0);
            if parts == 0 {
                return Err("no parts to split into".into());
            }
            let size = n.div_ceil(parts);
            (0..parts).map(|i| size.min(n.saturating_sub(i * size))).collect()
        }
    };
    if sizes.len() != outputs || sizes.iter().sum::<usize>() != n || sizes.contains(&0) {
        return Err(format!("{n} along axis {at} do not split into {sizes:?} for {outputs} outputs").into());
    }
    let mut start = 0;
    let part = |size: &usize| {
        start += size;
        (at, start - size, *size)
    };
    Ok(sizes.iter().map(part).collect())
}

fn concat(inputs: &[Option<&Tensor>], at: i64) -> Result<Tensor, Why> {
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
    bounded(&dims)?;
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

/// The dimensions two tensors broadcast to, as in NumPy.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Why> {
    let rank = a.len().max(b.len());
    let get = |d: &[usize], i: usize| if i + d.len() < rank { 1 } else { d[i + d.len() - rank] };
    (0..rank)
        .map(|i| match (get(a, i), get(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(format!("{a:?} and {b:?} do not go together").into()),
        })
        .collect()
}

fn spread(t: &Tensor, dims: &[usize]) -> Result<Tensor, Why> {
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

fn tile(t: &Tensor, repeats: &[i64]) -> Result<Tensor, Why> {
    let repeats = lengths(repeats)?;
    if repeats.len() != t.dims.len() {
        return Err("repeats for another number of dimensions".into());
    }
    let dims: Vec<usize> = t.dims.iter().zip(&repeats).map(|(&d, &r)| d.saturating_mul(r)).collect();
    let n = bounded(&dims)?;
    let (from, to) = (strides(&t.dims), strides(&dims));
    let indices = (0..n).map(|i| (0..dims.len()).map(|k| (i / to[k] % dims[k]) % t.dims[k] * from[k]).sum());
    t.pick(dims.clone(), indices)
}

fn range(start: &Tensor, limit: &Tensor, delta: &Tensor) -> Result<Tensor, Why> {
    let (s, l, d) = (start.scalar()?, limit.scalar()?, delta.scalar()?);
    let n = ((l - s) / d).ceil().max(0.0);
    if !(d != 0.0 && n <= MAX_FOLDED as f64) {
        return Err(format!("a range from {s} to {l} by {d}").into());
    }
    let n = n as usize;
    match (&start.elements, &delta.elements) {
        (Elements::Int(s), Elements::Int(d)) => Ok(Tensor::ints((0..n as i64).map(|i| s[0] + i * d[0]))),
        _ => Tensor::floats(vec![n], (0..n).map(|i| (s + i as f64 * d) as f32).collect()),
    }
}

fn reduce(op: &str, t: &Tensor, axes: Option<&[i64]>, keep: bool, empty_is_none: bool) -> Result<Tensor, Why> {
    let rank = t.dims.len();
    let axes: Vec<usize> = match axes {
        Some([]) if empty_is_none => return Ok(t.clone()),
        None if empty_is_none => return Ok(t.clone()),
        None | Some([]) => (0..rank).collect(),
        Some(list) => list.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
    };
    let kept: Vec<usize> = (0..rank).map(|i| if axes.contains(&i) { 1 } else { t.dims[i] }).collect();
    let (from, to) = (strides(&t.dims), strides(&kept));
    let start = match op {
        "ReduceProd" => 1.0,
        "ReduceMax" => f64::NEG_INFINITY,
        "ReduceMin" => f64::INFINITY,
        _ => 0.0,
    };
    let mut out = vec![start; count(&kept)?];
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
    let dims = if keep { kept } else { (0..rank).filter(|k| !axes.contains(k)).map(|k| t.dims[k]).collect() };
    let elements = match t.elements {
        Elements::Int(_) => Elements::Int(out.iter().map(|&v| v as i64).collect()),
        Elements::Float(_) => Elements::Float(out.iter().map(|&v| v as f32).collect()),
    };
    Tensor { dims, elements }.checked()
}

fn map(t: &Tensor, float: impl Fn(f64) -> f64, int: impl Fn(i64) -> Option<i64>) -> Result<Tensor, Why> {
    let elements = match &t.elements {
        Elements::Float(v) => Elements::Float(v.iter().map(|&v| float(v.into()) as f32).collect()),
        Elements::Int(v) => {
            Elements::Int(v.iter().map(|&v| int(v)).collect::<Option<_>>().ok_or("whole numbers beyond their range")?)
        }
    };
    Ok(Tensor { dims: t.dims.clone(), elements })
}

fn binary(call: &Call<'_>, a: &Tensor, b: &Tensor) -> Result<Tensor, Why> {
    let dims = broadcast(&a.dims, &b.dims)?;
    let (a, b) = (spread(a, &dims)?, spread(b, &dims)?);
    let truth = |v: bool| i64::from(v);
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
        (Some(f), ..) => Elements::Int((0..a.len()).map(|i| truth(f(a.at(i), b.at(i)))).collect()),
        (None, Elements::Int(x), Elements::Int(y)) => {
            let f = |(&x, &y): (&i64, &i64)| match call.op {
                "Add" => x.checked_add(y),
                "Sub" => x.checked_sub(y),
                "Mul" => x.checked_mul(y),
                // Towards zero, as in C.
                "Div" => x.checked_div(y),
                "Mod" if call.attributes.flag("fmod", false) => x.checked_rem(y),
                // The sign of the divisor, as in Python.
                "Mod" => x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r }),
                "Pow" => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
                "Min" => Some(x.min(y)),
                _ => Some(x.max(y)),
            };
            let all: Option<Vec<i64>> = x.iter().zip(y).map(f).collect();
            Elements::Int(all.ok_or("whole numbers beyond their range")?)
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
