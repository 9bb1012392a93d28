//! Operators that move, join and split elements, and casts.

use super::view::beside;
use super::{Call, Data, Outputs, Translator, Value, pointwise};
use crate::graph::ValueId;
use crate::model::onnx::Reason;
use crate::model::onnx::fold::{self, Range, axis};
use crate::model::onnx::proto::DataType;
use crate::model::onnx::tensor::{Elements, Tensor};
use crate::model::onnx::value::{canonical, canonical_axis};
use crate::ops::{
    Binary, BinaryKind, ChannelSlice, Concat, ConcatPixels, Crop2d, Function, Resize, ResizeMode, ResizeSize, Slice,
    Unary,
};
use crate::tensor::Shape;

pub(super) fn same(_: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    if call.op() == "Dropout" && call.known(2).ok().flatten().is_some_and(|t| t.at(0) != 0.0) {
        return Err("exported in training mode: it drops elements".into());
    }
    Ok(vec![call.value(0)?.clone()])
}

/// All numbers are `f32` here, so only casts that change values have an effect.
pub(super) fn cast(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let to = call.attributes.int("to").and_then(|v| i32::try_from(v).ok()).and_then(|v| DataType::try_from(v).ok());
    match to {
        Some(DataType::Float | DataType::Float16 | DataType::Double | DataType::Bfloat16) => Ok(vec![Value::Data(d)]),
        _ if call.op() == "CastLike" => Ok(vec![Value::Data(d)]),
        Some(DataType::Bool) => {
            let zero = t.parameter(&Value::known(Tensor::floats(vec![1], vec![0.0])?), &[1])?;
            let one = t.parameter(&Value::known(Tensor::floats(vec![1], vec![1.0])?), &[1])?;
            let is_zero = t.add(call, Binary { kind: BinaryKind::Equal }, &[d.id, zero])?;
            let id = t.add(call, Binary { kind: BinaryKind::Sub }, &[one, is_zero])?;
            Ok(vec![Value::Data(Data { integral: true, ..d.with(id) })])
        }
        Some(_) if d.integral => Ok(vec![Value::Data(d)]),
        // Rounds towards zero, as in C.
        Some(to) if to != DataType::String => {
            let sign = t.add(call, Unary { kind: Function::Sign }, &[d.id])?;
            let size = t.add(call, Unary { kind: Function::Abs }, &[d.id])?;
            let size = t.add(call, Unary { kind: Function::Floor }, &[size])?;
            let id = t.add(call, Binary { kind: BinaryKind::Mul }, &[sign, size])?;
            Ok(vec![Value::Data(Data { integral: true, ..d.with(id) })])
        }
        _ => Err("to this type is not supported".into()),
    }
}

pub(super) fn shape(_: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let dims = call.value(0)?.dims();
    Ok(vec![Value::known(if call.op() == "Size" {
        Tensor { dims: vec![], elements: Elements::Int(vec![dims.iter().product::<usize>() as i64]) }
    } else {
        fold::shape_of(&dims, call.attributes)
    })])
}

pub(super) fn reshape(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let from = d.dims();
    let a = call.attributes;
    let dims = match call.op() {
        "Flatten" => fold::flatten(&from, a.int("axis").unwrap_or(1))?,
        "Unsqueeze" => fold::unsqueeze(&from, &call.list("axes", 1)?.ok_or("axes are missing")?)?,
        "Squeeze" => fold::squeeze(&from, call.list("axes", 1)?.as_deref())?,
        _ => fold::reshape(&from, &call.list("shape", 1)?.ok_or("shape is missing")?, a.flag("allowzero", false))?,
    };
    Ok(vec![Value::Data(reshaped(t, call, &d, dims)?)])
}

/// Reshapes a value; elements move only if no view has these dimensions.
pub(super) fn reshaped(t: &mut Translator<'_>, call: &Call<'_>, d: &Data, dims: Vec<usize>) -> Result<Data, Reason> {
    let own = t.graph.shape(d.id);
    if let Some(view) = d.viewed_as(&dims, own).filter(|v| v.is_of(own) || !d.in_order()) {
        return Ok(view);
    }
    let id = if d.in_order() {
        d.id
    } else {
        let shape = canonical(&dims).or_else(|| canonical(&d.dims())).unwrap_or_else(|| folded_shape(&dims));
        t.shaped(call, d, shape)?
    };
    Ok(Data { integral: d.integral, ..Data::plain(id, dims) })
}

/// More than four dimensions as NCHW: the last two are rows and columns, the others are merged into the channels.
fn folded_shape(dims: &[usize]) -> Shape {
    let (front, pixels) = dims.split_at(dims.len().saturating_sub(2));
    let n = front.first().copied().unwrap_or(1);
    let c = front.iter().skip(1).product();
    Shape::new(n, c, pixels.first().copied().unwrap_or(1), pixels.last().copied().unwrap_or(1))
}

pub(super) fn transpose(_: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let perm = fold::permutation(d.order.len(), call.attributes.ints("perm"))?;
    let order = perm.iter().map(|&p| d.order[p]).collect();
    Ok(vec![Value::Data(Data { order, ..d })])
}

/// A value as a tensor, with the mapping of axes.
pub(super) struct Placed {
    /// The tensor.
    pub id: ValueId,
    /// The tensor's axis for each of the value's axes.
    pub axes: Vec<usize>,
    /// Whether the value's axes are a permutation of the tensor's four.
    viewed: bool,
}

/// The tensor of a value without moving elements, if its axes are a permutation; else in the order of its dimensions.
pub(super) fn placed(t: &mut Translator<'_>, call: &Call<'_>, d: &Data) -> Result<Placed, Reason> {
    if d.base == t.graph.shape(d.id).dims() {
        return Ok(Placed { id: d.id, axes: d.order.clone(), viewed: true });
    }
    let dims = d.dims();
    let shape = canonical(&dims).ok_or_else(|| Reason::from(format!("dimensions {dims:?} are not supported")))?;
    let axes = (0..dims.len()).map(|i| canonical_axis(i, dims.len())).collect();
    Ok(Placed { id: t.shaped(call, d, shape)?, axes, viewed: false })
}

impl Placed {
    /// The result `id` of an op on the tensor, as a value of dimensions `dims`.
    pub(super) fn result(&self, t: &Translator<'_>, id: ValueId, dims: Vec<usize>) -> Data {
        if self.viewed {
            Data { id, base: t.graph.shape(id).dims().to_vec(), order: self.axes.clone(), integral: false }
        } else {
            Data::plain(id, dims)
        }
    }
}

pub(super) fn concat(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let first = call.inputs.iter().flatten().find_map(|v| if let Value::Data(d) = v { Some(d) } else { None });
    let first = first.ok_or("no input is computed")?.clone();
    let dims = first.dims();
    let at = axis(call.attributes.int("axis").ok_or("axis is missing")?, dims.len())?;
    // Empty parts are skipped; as in onnxruntime, an empty list may stand for an empty tensor.
    let inputs: Vec<&Value> =
        call.inputs.iter().flatten().filter(|v| v.dims().get(at) != Some(&0) && v.dims() != [0]).collect();
    let mut joined = dims.clone();
    joined[at] = 0;
    for value in &inputs {
        let d = value.dims();
        if d.len() != dims.len() || (0..d.len()).any(|k| k != at && d[k] != dims[k]) {
            return Err(format!("{dims:?} and {d:?} cannot be joined along axis {at}").into());
        }
        joined[at] += d[at];
    }
    if let [one] = inputs[..] {
        return Ok(vec![one.clone()]);
    }
    if let Some(result) = stacked(t, call, &inputs, &joined, at)? {
        return Ok(vec![Value::Data(result)]);
    }
    let place = joint(t, call, &first)?;
    let mut ids = Vec::new();
    for value in inputs {
        ids.push(match value {
            Value::Data(d) if place.viewed => d.id,
            constant if place.viewed => {
                let (dims, perm) = beside(&constant.dims(), &first.order)?;
                let p = t.permuted(constant, &dims, &perm)?;
                t.graph.node(format!("{} (constant)", call.label), Unary { kind: Function::Identity }, &[p])?
            }
            value => {
                let shape = canonical(&value.dims()).ok_or("dimensions that are not supported")?;
                t.tensor(call, value, shape)?
            }
        });
    }
    let id = match place.axes[at] {
        1 => t.add(call, Concat, &ids)?,
        2 => t.add(call, ConcatPixels { columns: false }, &ids)?,
        3 => t.add(call, ConcatPixels { columns: true }, &ids)?,
        _ => return Err("along the images of a batch is not supported".into()),
    };
    Ok(vec![Value::Data(place.result(t, id, joined))])
}

/// [`placed`] for all inputs of a node: without moving elements if all have the same axis order, else in the order of
/// their dimensions.
fn joint(t: &mut Translator<'_>, call: &Call<'_>, first: &Data) -> Result<Placed, Reason> {
    let same = |v: &Value| match v {
        Value::Data(d) => d.order == first.order && d.is_of(t.graph.shape(d.id)),
        _ => true,
    };
    if call.inputs.iter().flatten().all(same) {
        return placed(t, call, first);
    }
    let dims = first.dims();
    let shape = canonical(&dims).ok_or_else(|| Reason::from(format!("dimensions {dims:?} are not supported")))?;
    let axes = (0..dims.len()).map(|i| canonical_axis(i, dims.len())).collect();
    Ok(Placed { id: t.shaped(call, first, shape)?, axes, viewed: false })
}

/// Concatenation in more than four dimensions: the joined axis is merged into the channels, and pixels do not move.
fn stacked(
    t: &mut Translator<'_>,
    call: &Call<'_>,
    inputs: &[&Value],
    joined: &[usize],
    at: usize,
) -> Result<Option<Data>, Reason> {
    if let (&[n, c, h, w], 0) = (joined, at) {
        // Images are stacked in the channels until an operator needs them as a batch.
        let mut ids = Vec::new();
        for value in inputs {
            let shape = Shape::new(1, value.dims()[0] * c, h, w);
            ids.push(t.tensor(call, value, shape)?);
        }
        return Ok(Some(Data::plain(t.add(call, Concat, &ids)?, vec![n, c, h, w])));
    }
    if joined.len() < 5 {
        return Ok(None);
    }
    // The joined axis becomes the second one.
    let others: Vec<usize> = (0..joined.len()).filter(|&i| i != at).collect();
    let mut perm = others.clone();
    perm.insert(1, at);
    let base: Vec<usize> = perm.iter().map(|&i| joined[i]).collect();
    let mut ids = Vec::new();
    for value in inputs {
        let dims = value.dims();
        let shape = folded_shape(&perm.iter().map(|&i| dims[i]).collect::<Vec<_>>());
        ids.push(match value {
            Value::Data(d) => {
                let view = Data { order: perm.iter().map(|&i| d.order[i]).collect(), ..d.clone() };
                t.shaped(call, &view, shape)?
            }
            constant if dims[at] == 1 || perm.is_sorted() => t.tensor(call, constant, shape)?,
            _ => return Err("of such constants is not supported".into()),
        });
    }
    let id = t.add(call, Concat, &ids)?;
    let mut order = vec![0; joined.len()];
    perm.iter().enumerate().for_each(|(i, &axis)| order[axis] = i);
    Ok(Some(Data { id, base, order, integral: false }))
}

/// Slices a value along each axis.
pub(super) fn take(t: &mut Translator<'_>, call: &Call<'_>, d: &Data, ranges: &[Range]) -> Result<Data, Reason> {
    let dims: Vec<usize> = ranges.iter().map(|r| r.count).collect();
    let full = |r: &Range, n: usize| r.step == 1 && r.count == n;
    if ranges.iter().zip(d.dims()).all(|(r, n)| full(r, n)) {
        return Ok(d.clone());
    }
    if d.base != t.graph.shape(d.id).dims() && canonical(&d.dims()).is_none() {
        return take_of_many(t, call, d, ranges);
    }
    let place = placed(t, call, d)?;
    let s = t.graph.shape(place.id);
    let mut of: [Range; 4] = s.dims().map(|count| Range { start: 0, step: 1, count });
    for (r, &at) in ranges.iter().zip(&place.axes) {
        of[at] = *r;
    }
    let start = of.map(|r| usize::try_from(r.start).unwrap_or_default());
    let [n, c, h, w] = of;
    let id = if full(&n, s.n) && full(&c, s.c) && h.step == 1 && w.step == 1 {
        t.add(call, Crop2d { top: start[2], left: start[3], h: h.count, w: w.count }, &[place.id])?
    } else if full(&n, s.n) && c.step == 1 && full(&h, s.h) && full(&w, s.w) {
        t.add(call, ChannelSlice { first: start[1], count: c.count }, &[place.id])?
    } else {
        t.add(call, Slice { start, step: of.map(|r| r.step), len: of.map(|r| r.count) }, &[place.id])?
    };
    Ok(Data { integral: d.integral, ..place.result(t, id, dims) })
}

/// Slices a value of more than four dimensions, axis by axis; the axis becomes the outermost one of the channels.
fn take_of_many(t: &mut Translator<'_>, call: &Call<'_>, d: &Data, ranges: &[Range]) -> Result<Data, Reason> {
    let (mut d, all) = (d.clone(), d.dims());
    for (at, r) in ranges.iter().enumerate().filter(|(at, r)| r.step != 1 || r.count != all[*at]) {
        let dims = d.dims();
        let mut perm: Vec<usize> = (0..dims.len()).filter(|&i| i != at).collect();
        perm.insert(1, at);
        let view = Data { order: perm.iter().map(|&i| d.order[i]).collect(), ..d.clone() };
        let mut base = view.dims();
        let shape = folded_shape(&base);
        // No element moves if the view is in this order already.
        let x = t.shaped(call, &view, shape)?;
        let run = shape.c / base[1].max(1);
        let id = if r.step == 1 || r.count == 1 {
            let first = usize::try_from(r.start).unwrap_or_default() * run;
            t.add(call, ChannelSlice { first, count: r.count * run }, &[x])?
        } else {
            let mut parts = Vec::new();
            for i in 0..r.count as i64 {
                let first = usize::try_from(r.start + i * r.step).unwrap_or_default() * run;
                parts.push(t.add(call, ChannelSlice { first, count: run }, &[x])?);
            }
            t.add(call, Concat, &parts)?
        };
        base[1] = r.count;
        let mut order = vec![0; perm.len()];
        perm.iter().enumerate().for_each(|(i, &axis)| order[axis] = i);
        d = Data { id, base, order, integral: d.integral };
    }
    Ok(d)
}

/// [`take`] as a value; an empty result is a constant.
fn sliced(t: &mut Translator<'_>, call: &Call<'_>, d: &Data, ranges: &[Range]) -> Result<Value, Reason> {
    let dims: Vec<usize> = ranges.iter().map(|r| r.count).collect();
    if dims.contains(&0) {
        return Ok(Value::known(Tensor::floats(dims, Vec::new())?));
    }
    take(t, call, d, ranges).map(Value::Data)
}

pub(super) fn slice(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let ranges = fold::slice(&d.dims(), |name, i| call.list(name, i))?;
    Ok(vec![sliced(t, call, &d, &ranges)?])
}

pub(super) fn split(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let dims = d.dims();
    let parts = fold::split(&dims, call.attributes, call.known(1)?, call.outputs())?;
    let full: Vec<Range> = dims.iter().map(|&count| Range { start: 0, step: 1, count }).collect();
    let mut outputs = Vec::new();
    for (at, start, count) in parts {
        let mut ranges = full.clone();
        ranges[at] = Range { start: start as i64, step: 1, count };
        outputs.push(sliced(t, call, &d, &ranges)?);
    }
    Ok(outputs)
}

/// One element along an axis, or evenly spaced ones.
pub(super) fn gather(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let dims = d.dims();
    let at = axis(call.attributes.int("axis").unwrap_or(0), dims.len())?;
    let indices = call.known(1)?.ok_or("indices are missing")?;
    let list = indices.as_ints()?.iter().map(|&i| axis(i, dims[at])).collect::<Result<Vec<_>, _>>()?;
    let step = match list[..] {
        [a, b, ..] => b as i64 - a as i64,
        _ => 1,
    };
    if list.is_empty()
        || step == 0
        || list.windows(2).any(|p| p[1] as i64 - p[0] as i64 != step)
        || indices.dims.len() > 1
    {
        return Err(format!("of elements {list:?} is not supported, only of evenly spaced ones").into());
    }
    let mut ranges: Vec<Range> = dims.iter().map(|&count| Range { start: 0, step: 1, count }).collect();
    ranges[at] = Range { start: list[0] as i64, step, count: list.len() };
    let part = take(t, call, &d, &ranges)?;
    if !indices.dims.is_empty() {
        return Ok(vec![Value::Data(part)]);
    }
    let mut left = part.dims();
    left.remove(at);
    Ok(vec![Value::Data(reshaped(t, call, &part, left)?)])
}

/// Only needed where operators do not broadcast by themselves.
pub(super) fn expand(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let list = call.known(1)?.ok_or("shape is missing")?;
    let from = d.dims();
    let dims = if call.op() == "Tile" {
        let repeats = fold::lengths(list.as_ints()?)?;
        if repeats.len() != from.len() || repeats.iter().zip(&from).any(|(&r, &n)| r == 0 || (r > 1 && n != 1)) {
            return Err(format!("of {from:?} by {repeats:?} is not supported").into());
        }
        repeats.iter().zip(&from).map(|(r, n)| r * n).collect()
    } else {
        fold::broadcast(&from, &fold::lengths(list.as_ints()?)?)?
    };
    if dims == from {
        return Ok(vec![Value::Data(d)]);
    }
    let mut on = [1; 4];
    if from.len() == 4 && dims.len() == 4 {
        let place = placed(t, call, &d)?;
        place.axes.iter().zip(&dims).for_each(|(&axis, &n)| on[axis] = n);
        let [n, c, h, w] = on;
        let s = t.graph.shape(place.id);
        if (n, c, 1, 1) == (s.n, s.c, s.h, s.w) {
            let op = Resize { mode: ResizeMode::Nearest, size: ResizeSize::Exact { h, w } };
            let id = t.add(call, op, &[place.id])?;
            return Ok(vec![Value::Data(place.result(t, id, dims))]);
        }
    }
    // Repeats by adding zeros of the target dimensions.
    let own = [vec![1; dims.len() - from.len()], from].concat();
    let zeros: Vec<usize> = own.iter().zip(&dims).map(|(a, b)| if a == b { 1 } else { *b }).collect();
    let zeros = Value::known(Tensor::zeros_like(&zeros)?);
    Ok(vec![pointwise::two(t, call, BinaryKind::Add, &Value::Data(d), &zeros)?])
}
