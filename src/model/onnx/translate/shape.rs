//! What moves elements, joins them and takes them apart; reductions.

use super::norm::channels_at;
use super::value::{canonical, canonical_axis};
use super::view::beside;
use super::{Call, Data, Outputs, Translator, Value};
use crate::graph::ValueId;
use crate::model::onnx::Why;
use crate::model::onnx::fold::{self, Range, axis};
use crate::model::onnx::proto::DataType;
use crate::model::onnx::tensor::{Elements, Tensor};
use crate::ops::{
    ArgMax, ChannelSlice, Concat, ConcatPixels, Crop2d, GlobalAvgPool, GlobalMaxPool, Reduce, ReduceKind, Resize,
    ResizeMode, ResizeSize, Slice, Unary, UnaryKind,
};

pub fn same(_: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    if call.op() == "Dropout" && call.known(2).ok().flatten().is_some_and(|t| t.at(0) != 0.0) {
        return Err("exported in training mode: it drops elements".into());
    }
    Ok(vec![call.value(0)?.clone()])
}

/// Numbers are `f32` here whatever the file says, so only what changes values matters.
pub fn cast(_: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let to = call.attributes.int("to").and_then(|v| i32::try_from(v).ok()).and_then(|v| DataType::try_from(v).ok());
    match to {
        Some(DataType::Float | DataType::Float16 | DataType::Double | DataType::Bfloat16) => Ok(vec![Value::Data(d)]),
        _ if call.op() == "CastLike" => Ok(vec![Value::Data(d)]),
        Some(_) if d.whole => Ok(vec![Value::Data(d)]),
        _ => Err("of computed floats to whole numbers is not supported".into()),
    }
}

pub fn shape(_: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let dims = call.value(0)?.dims();
    Ok(vec![Value::known(if call.op() == "Size" {
        Tensor { dims: vec![], elements: Elements::Int(vec![dims.iter().product::<usize>() as i64]) }
    } else {
        fold::shape_of(&dims, call.attributes)
    })])
}

pub fn reshape(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
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

/// The same elements under other dimensions; moved only if no view of the tensor as it lies has them.
fn reshaped(t: &mut Translator<'_>, call: &Call<'_>, d: &Data, dims: Vec<usize>) -> Result<Data, Why> {
    let own = t.graph.shape(d.id);
    if let Some(view) = d.viewed_as(&dims, own).filter(|v| v.is_of(own) || !d.in_order()) {
        return Ok(view);
    }
    let id = if d.in_order() {
        d.id
    } else {
        let shape = canonical(&dims).or_else(|| canonical(&d.dims()));
        let shape = shape.ok_or_else(|| Why::from(format!("from {:?} to {dims:?} is not supported", d.dims())))?;
        t.shaped(call, d, shape)?
    };
    Ok(Data { whole: d.whole, ..Data::plain(id, dims) })
}

pub fn transpose(_: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let perm = fold::permutation(d.order.len(), call.attributes.ints("perm"))?;
    let order = perm.iter().map(|&p| d.order[p]).collect();
    Ok(vec![Value::Data(Data { order, ..d })])
}

/// A value as a tensor, and which of that tensor's axes each of the value's is.
pub struct Placed {
    /// The tensor.
    pub id: ValueId,
    /// Of each of the value's axes the tensor's.
    pub axes: Vec<usize>,
    /// Whether the tensor's axes are the value's in another order, all four.
    viewed: bool,
}

/// A value as it lies, if its axes are the tensor's in some order; else in the order of its dimensions.
pub fn placed(t: &mut Translator<'_>, call: &Call<'_>, d: &Data) -> Result<Placed, Why> {
    if d.base == t.graph.shape(d.id).dims() {
        return Ok(Placed { id: d.id, axes: d.order.clone(), viewed: true });
    }
    let dims = d.dims();
    let shape = canonical(&dims).ok_or_else(|| Why::from(format!("dimensions {dims:?} are not supported")))?;
    let axes = (0..dims.len()).map(|i| canonical_axis(i, dims.len())).collect();
    Ok(Placed { id: t.shaped(call, d, shape)?, axes, viewed: false })
}

impl Placed {
    /// What an op made of the tensor, under dimensions `dims`.
    pub fn result(&self, t: &Translator<'_>, id: ValueId, dims: Vec<usize>) -> Data {
        if self.viewed {
            Data { id, base: t.graph.shape(id).dims().to_vec(), order: self.axes.clone(), whole: false }
        } else {
            Data::plain(id, dims)
        }
    }
}

pub fn concat(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let first = call.inputs.iter().flatten().find_map(|v| if let Value::Data(d) = v { Some(d) } else { None });
    let first = first.ok_or("no input is computed")?.clone();
    let dims = first.dims();
    let at = axis(call.attributes.int("axis").ok_or("axis is missing")?, dims.len())?;
    let mut joined = dims.clone();
    joined[at] = 0;
    for i in 0..call.inputs.len() {
        let d = call.value(i)?.dims();
        if d.len() != dims.len() || (0..d.len()).any(|k| k != at && d[k] != dims[k]) {
            return Err(format!("{dims:?} and {d:?} cannot be joined along axis {at}").into());
        }
        joined[at] += d[at];
    }
    if call.inputs.len() == 1 {
        return Ok(vec![call.value(0)?.clone()]);
    }
    let place = joint(t, call, &first)?;
    let mut ids = Vec::new();
    for value in call.inputs.iter().flatten() {
        ids.push(match value {
            Value::Data(d) if place.viewed => d.id,
            constant if place.viewed => {
                let (dims, perm) = beside(&constant.dims(), &first.order)?;
                let p = t.permuted(constant, &dims, &perm)?;
                t.graph.node(format!("{} (constant)", call.label), Unary { kind: UnaryKind::Identity }, &[p])?
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
        _ => return Err("along the pictures of a batch is not supported".into()),
    };
    Ok(vec![Value::Data(place.result(t, id, joined))])
}

/// [`placed`] for all inputs of a node: as they lie if they are all seen in the same order, else each as its dimensions say.
fn joint(t: &mut Translator<'_>, call: &Call<'_>, first: &Data) -> Result<Placed, Why> {
    let same = |v: &Value| match v {
        Value::Data(d) => d.order == first.order && d.is_of(t.graph.shape(d.id)),
        _ => true,
    };
    if call.inputs.iter().flatten().all(same) {
        return placed(t, call, first);
    }
    let dims = first.dims();
    let shape = canonical(&dims).ok_or_else(|| Why::from(format!("dimensions {dims:?} are not supported")))?;
    let axes = (0..dims.len()).map(|i| canonical_axis(i, dims.len())).collect();
    Ok(Placed { id: t.shaped(call, first, shape)?, axes, viewed: false })
}

/// Some elements along each axis.
fn take(t: &mut Translator<'_>, call: &Call<'_>, d: &Data, ranges: &[Range]) -> Result<Data, Why> {
    let dims: Vec<usize> = ranges.iter().map(|r| r.count).collect();
    if dims.contains(&0) {
        return Err(format!("of {:?} leaves nothing", d.dims()).into());
    }
    let whole = |r: &Range, n: usize| r.step == 1 && r.count == n;
    if ranges.iter().zip(d.dims()).all(|(r, n)| whole(r, n)) {
        return Ok(d.clone());
    }
    let place = placed(t, call, d)?;
    let s = t.graph.shape(place.id);
    let mut of: [Range; 4] = s.dims().map(|count| Range { start: 0, step: 1, count });
    for (r, &at) in ranges.iter().zip(&place.axes) {
        of[at] = *r;
    }
    let start = of.map(|r| usize::try_from(r.start).unwrap_or_default());
    let [n, c, h, w] = of;
    let id = if whole(&n, s.n) && whole(&c, s.c) && h.step == 1 && w.step == 1 {
        t.add(call, Crop2d { top: start[2], left: start[3], h: h.count, w: w.count }, &[place.id])?
    } else if whole(&n, s.n) && c.step == 1 && whole(&h, s.h) && whole(&w, s.w) {
        t.add(call, ChannelSlice { first: start[1], count: c.count }, &[place.id])?
    } else {
        t.add(call, Slice { start, step: of.map(|r| r.step), len: of.map(|r| r.count) }, &[place.id])?
    };
    Ok(Data { whole: d.whole, ..place.result(t, id, dims) })
}

pub fn slice(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let ranges = fold::slice(&d.dims(), |name, i| call.list(name, i))?;
    Ok(vec![Value::Data(take(t, call, &d, &ranges)?)])
}

pub fn split(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let dims = d.dims();
    let parts = fold::split(&dims, call.attributes, call.known(1)?, call.outputs())?;
    let whole: Vec<Range> = dims.iter().map(|&count| Range { start: 0, step: 1, count }).collect();
    let mut outputs = Vec::new();
    for (at, start, count) in parts {
        let mut ranges = whole.clone();
        ranges[at] = Range { start: start as i64, step: 1, count };
        outputs.push(Value::Data(take(t, call, &d, &ranges)?));
    }
    Ok(outputs)
}

/// One element along an axis, or a run of them.
pub fn gather(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
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
    let taken = take(t, call, &d, &ranges)?;
    if !indices.dims.is_empty() {
        return Ok(vec![Value::Data(taken)]);
    }
    let mut left = taken.dims();
    left.remove(at);
    Ok(vec![Value::Data(reshaped(t, call, &taken, left)?)])
}

/// Of one pixel to a map; most uses of broadcasting need no `Expand`.
pub fn expand(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let to = call.known(1)?.ok_or("shape is missing")?;
    let from = d.dims();
    let dims = fold::broadcast(&from, &fold::lengths(to.as_ints()?)?)?;
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
    Err(format!("from {from:?} to {dims:?} is not supported").into())
}

pub fn reduce(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let dims = d.dims();
    let list = call.list("axes", 1)?.filter(|a| !a.is_empty());
    if list.is_none() && call.attributes.flag("noop_with_empty_axes", false) {
        return Ok(vec![Value::Data(d)]);
    }
    let along = match list {
        Some(list) => list.iter().map(|&a| axis(a, dims.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..dims.len()).collect(),
    };
    let place = placed(t, call, &d)?;
    let mut on = [false; 4];
    along.iter().filter(|&&a| dims[a] != 1).for_each(|&a| on[place.axes[a]] = true);
    let kept: Vec<usize> = (0..dims.len()).map(|i| if along.contains(&i) { 1 } else { dims[i] }).collect();
    let [pictures, channels, rows, columns] = on;
    if pictures {
        return Err("over the pictures of a batch is not supported".into());
    }
    let id = match call.op() {
        _ if !(channels || rows || columns) => place.id,
        "ReduceMean" if !channels && rows && columns => t.add(call, GlobalAvgPool, &[place.id])?,
        "ReduceMax" if !channels && rows && columns => t.add(call, GlobalMaxPool, &[place.id])?,
        op => {
            let kind = match op {
                "ReduceMean" => ReduceKind::Mean,
                "ReduceSum" => ReduceKind::Sum,
                "ReduceMax" => ReduceKind::Max,
                _ => ReduceKind::Min,
            };
            t.add(call, Reduce { kind, channels, rows, columns }, &[place.id])?
        }
    };
    let result = place.result(t, id, kept.clone());
    if call.attributes.flag("keepdims", true) {
        return Ok(vec![Value::Data(result)]);
    }
    let left = (0..dims.len()).filter(|i| !along.contains(i)).map(|i| dims[i]).collect();
    Ok(vec![Value::Data(reshaped(t, call, &result, left)?)])
}

pub fn argmax(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let mut dims = d.dims();
    let at = axis(call.attributes.int("axis").unwrap_or(0), dims.len())?;
    let (x, view) = channels_at(t, call, &d, at)?;
    let id = t.add(call, ArgMax { last: call.attributes.flag("select_last_index", false) }, &[x])?;
    dims[at] = 1;
    // The view's own axis of channels has one element now.
    let mut shrunk = view.base.clone();
    shrunk[view.order[at]] = 1;
    let result = Data { id, base: shrunk, order: view.order, whole: true };
    if call.attributes.flag("keepdims", true) {
        return Ok(vec![Value::Data(result)]);
    }
    dims.remove(at);
    Ok(vec![Value::Data(reshaped(t, call, &result, dims)?)])
}
