//! Reductions along axes, and operators composed of them.

use super::shape::{placed, reshaped, take};
use super::view::channels_at;
use super::{Call, Data, Outputs, Translator, Value, pointwise};
use crate::graph::ValueId;
use crate::model::onnx::Reason;
use crate::model::onnx::fold::{Range, axis};
use crate::model::onnx::tensor::Tensor;
use crate::model::onnx::value::canonical;
use crate::ops::{
    ArgMax, Binary, BinaryKind, ChannelSlice, Function, GlobalAvgPool, GlobalMaxPool, Reduce, ReduceKind, Slice, Unary,
};
use crate::tensor::Shape;

/// The axes that a node reduces; `None` if it reduces none.
fn axes(call: &Call<'_>, rank: usize) -> Result<Option<Vec<usize>>, Reason> {
    let list = call.list("axes", 1)?.filter(|a| !a.is_empty());
    if list.is_none() && call.attributes.flag("noop_with_empty_axes", false) {
        return Ok(None);
    }
    match list {
        Some(list) => list.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>().map(Some),
        None => Ok(Some((0..rank).collect())),
    }
}

pub(super) fn reduce(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let dims = d.dims();
    let Some(along) = axes(call, dims.len())? else { return Ok(vec![Value::Data(d)]) };
    let result = match call.op() {
        "ReduceMean" => along_axes(t, call, &d, &along, ReduceKind::Mean)?,
        "ReduceSum" => along_axes(t, call, &d, &along, ReduceKind::Sum)?,
        "ReduceMax" => along_axes(t, call, &d, &along, ReduceKind::Max)?,
        "ReduceMin" => along_axes(t, call, &d, &along, ReduceKind::Min)?,
        "ReduceLogSumExp" => log_sum_exp(t, call, &d, &along)?,
        "ReduceL1" => {
            let y = unary(t, call, &d, Function::Abs)?;
            along_axes(t, call, &y, &along, ReduceKind::Sum)?
        }
        "ReduceProd" => product(t, call, &d, &along)?,
        op => {
            let y = two(t, call, BinaryKind::Mul, &d, &d)?;
            let sum = along_axes(t, call, &y, &along, ReduceKind::Sum)?;
            if op == "ReduceL2" { unary(t, call, &sum, Function::Sqrt)? } else { sum }
        }
    };
    if call.attributes.flag("keepdims", true) {
        return Ok(vec![Value::Data(result)]);
    }
    let left = (0..dims.len()).filter(|i| !along.contains(i)).map(|i| dims[i]).collect();
    Ok(vec![Value::Data(reshaped(t, call, &result, left)?)])
}

/// The product, slice by slice.
fn product(t: &mut Translator<'_>, call: &Call<'_>, d: &Data, along: &[usize]) -> Result<Data, Reason> {
    let mut result = d.clone();
    for &at in along {
        let dims = result.dims();
        if dims[at] > MAX_SLICES {
            return Err(format!("of {} elements is not supported", dims[at]).into());
        }
        let all: Vec<Range> = dims.iter().map(|&count| Range { start: 0, step: 1, count }).collect();
        let mut product = None;
        for i in 0..dims[at] {
            let mut ranges = all.clone();
            ranges[at] = Range { start: i as i64, step: 1, count: 1 };
            let part = take(t, call, &result, &ranges)?;
            product = Some(match product {
                None => part,
                Some(product) => two(t, call, BinaryKind::Mul, &product, &part)?,
            });
        }
        result = product.ok_or("of an empty axis")?;
    }
    Ok(result)
}

/// A reduction that keeps the reduced axes, with one element.
pub(super) fn along_axes(
    t: &mut Translator<'_>,
    call: &Call<'_>,
    d: &Data,
    along: &[usize],
    kind: ReduceKind,
) -> Result<Data, Reason> {
    let dims = d.dims();
    let reduced: Vec<usize> = (0..dims.len()).map(|i| if along.contains(&i) { 1 } else { dims[i] }).collect();
    if reduced == dims {
        return Ok(d.clone());
    }
    if d.base != t.graph.shape(d.id).dims() {
        if let [one] = along.iter().copied().filter(|&a| dims[a] != 1).collect::<Vec<_>>()[..]
            && let Some(id) = stacked(t, call, d, d.order[one], kind)?
        {
            let base = (0..d.base.len()).map(|i| if i == d.order[one] { 1 } else { d.base[i] }).collect();
            return Ok(Data { id, base, order: d.order.clone(), integral: false });
        }
        if canonical(&dims).is_none() {
            return many(t, call, d, along, kind);
        }
    }
    let place = placed(t, call, d)?;
    let mut on = [false; 4];
    along.iter().filter(|&&a| dims[a] != 1).for_each(|&a| on[place.axes[a]] = true);
    let id = nchw(t, call, place.id, on, kind)?;
    Ok(place.result(t, id, reduced))
}

/// Reduces a tensor of the graph along the axes set in `on`.
fn nchw(
    t: &mut Translator<'_>,
    call: &Call<'_>,
    x: ValueId,
    on: [bool; 4],
    kind: ReduceKind,
) -> Result<ValueId, Reason> {
    let [images, channels, rows, columns] = on;
    let s = t.graph.shape(x);
    let x = match images && s.n > 1 {
        true if s.n > MAX_SLICES => return Err(format!("over {} images of a batch is not supported", s.n).into()),
        true => {
            let mut parts = Vec::new();
            for i in 0..s.n {
                let op = Slice { start: [i, 0, 0, 0], step: [1; 4], len: [1, s.c, s.h, s.w] };
                parts.push(t.add(call, op, &[x])?);
            }
            combined(t, call, &parts, kind)?
        }
        false => x,
    };
    if !(channels || rows || columns) {
        return Ok(x);
    }
    match kind {
        ReduceKind::Mean if !channels && rows && columns => t.add(call, GlobalAvgPool, &[x]),
        ReduceKind::Max if !channels && rows && columns => t.add(call, GlobalMaxPool, &[x]),
        _ => t.add(call, Reduce { kind, channels, rows, columns }, &[x]),
    }
}

/// Reduces a value of more than four dimensions: its axes are merged into one that is reduced and one that is not.
fn many(t: &mut Translator<'_>, call: &Call<'_>, d: &Data, along: &[usize], kind: ReduceKind) -> Result<Data, Reason> {
    let dims = d.dims();
    let reduced: Vec<usize> = (0..dims.len()).map(|i| if along.contains(&i) { 1 } else { dims[i] }).collect();
    // The reduced axes come last, merged into the channels.
    let (stay, go): (Vec<usize>, Vec<usize>) = (0..dims.len()).partition(|i| !along.contains(i));
    let order = stay.iter().chain(&go).map(|&i| d.order[i]).collect();
    let size = |list: &[usize]| list.iter().map(|&i| dims[i]).product::<usize>();
    let view = Data { order, ..d.clone() };
    let x = t.shaped(call, &view, Shape::new(size(&stay), size(&go), 1, 1))?;
    let id = nchw(t, call, x, [false, true, false, false], kind)?;
    Ok(Data::plain(id, reduced))
}

/// Reduces tensors that are stacked in the channels, slice by slice, so that pixels stay where they are. `at` is the
/// axis of the base.
fn stacked(
    t: &mut Translator<'_>,
    call: &Call<'_>,
    d: &Data,
    at: usize,
    kind: ReduceKind,
) -> Result<Option<ValueId>, Reason> {
    let s = t.graph.shape(d.id);
    let r = d.base.len();
    // Axes between the batch and the last two.
    let (n, before, after) = match r.checked_sub(2).filter(|&pixels| at < pixels) {
        Some(pixels) if d.base[pixels..] == [s.h, s.w] => {
            let first = usize::from(d.base[0] == s.n && at > 0);
            (s.n, d.base[first..at].iter().product::<usize>(), d.base[at + 1..pixels].iter().product::<usize>())
        }
        _ => return Ok(None),
    };
    let count = d.base[at];
    let behind = d.base[at + 1..r - 2].iter().product::<usize>();
    if count == s.n && d.base[..at].iter().all(|&n| n == 1) && behind == s.c {
        return nchw(t, call, d.id, [true, false, false, false], kind).map(Some);
    }
    if s.n != n || before * count * after != s.c || (before != 1 && after != 1) || count > MAX_SLICES {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for i in 0..count {
        parts.push(if before == 1 {
            t.add(call, ChannelSlice { first: i * after, count: after }, &[d.id])?
        } else {
            let (start, step) = ([0, i, 0, 0], [1, count as i64, 1, 1]);
            t.add(call, Slice { start, step, len: [s.n, before, s.h, s.w] }, &[d.id])?
        });
    }
    combined(t, call, &parts, kind).map(Some)
}

/// Combines several tensors of one shape element by element.
fn combined(t: &mut Translator<'_>, call: &Call<'_>, parts: &[ValueId], kind: ReduceKind) -> Result<ValueId, Reason> {
    let op = match kind {
        ReduceKind::Mean | ReduceKind::Sum => BinaryKind::Add,
        ReduceKind::Max => BinaryKind::Max,
        ReduceKind::Min => BinaryKind::Min,
    };
    let (&first, rest) = parts.split_first().ok_or("of an empty axis")?;
    let mut sum = first;
    for &part in rest {
        sum = t.add(call, Binary { kind: op }, &[sum, part])?;
    }
    if kind != ReduceKind::Mean {
        return Ok(sum);
    }
    let share = t.parameter(&Value::known(Tensor::floats(vec![1], vec![1.0 / parts.len() as f32])?), &[1])?;
    t.add(call, Binary { kind: BinaryKind::Mul }, &[sum, share])
}

/// Maximum number of slices that are processed one by one.
const MAX_SLICES: usize = 64;

/// An elementwise function.
pub(super) fn unary(t: &mut Translator<'_>, call: &Call<'_>, d: &Data, kind: Function) -> Result<Data, Reason> {
    let id = t.add(call, Unary { kind }, &[d.id])?;
    Ok(Data { integral: false, ..d.with(id) })
}

/// An elementwise function of two values.
pub(super) fn two(
    t: &mut Translator<'_>,
    call: &Call<'_>,
    kind: BinaryKind,
    a: &Data,
    b: &Data,
) -> Result<Data, Reason> {
    match pointwise::two(t, call, kind, &Value::Data(a.clone()), &Value::Data(b.clone()))? {
        Value::Data(d) => Ok(d),
        _ => Err("is a constant".into()),
    }
}

/// `max + log(sum(exp(x - max)))`.
fn log_sum_exp(t: &mut Translator<'_>, call: &Call<'_>, d: &Data, along: &[usize]) -> Result<Data, Reason> {
    let max = along_axes(t, call, d, along, ReduceKind::Max)?;
    let less = two(t, call, BinaryKind::Sub, d, &max)?;
    let e = unary(t, call, &less, Function::Exp)?;
    let sum = along_axes(t, call, &e, along, ReduceKind::Sum)?;
    let log = unary(t, call, &sum, Function::Log)?;
    two(t, call, BinaryKind::Add, &max, &log)
}

/// `x - max - log(sum(exp(x - max)))` over channels.
pub(super) fn log_softmax(t: &mut Translator<'_>, call: &Call<'_>, x: ValueId) -> Result<ValueId, Reason> {
    let over = |kind| Reduce { kind, channels: true, rows: false, columns: false };
    let max = t.add(call, over(ReduceKind::Max), &[x])?;
    let less = t.add(call, Binary { kind: BinaryKind::Sub }, &[x, max])?;
    let e = t.add(call, Unary { kind: Function::Exp }, &[less])?;
    let sum = t.add(call, over(ReduceKind::Sum), &[e])?;
    let log = t.add(call, Unary { kind: Function::Log }, &[sum])?;
    t.add(call, Binary { kind: BinaryKind::Sub }, &[less, log])
}

pub(super) fn argmax(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let mut d = call.data(0)?.clone();
    let mut dims = d.dims();
    let at = axis(call.attributes.int("axis").unwrap_or(0), dims.len())?;
    if call.op() == "ArgMin" {
        d = unary(t, call, &d, Function::Neg)?;
    }
    let (x, view) = channels_at(t, call, &d, at)?;
    let id = t.add(call, ArgMax { last: call.attributes.flag("select_last_index", false) }, &[x])?;
    dims[at] = 1;
    // The channel axis of the view now has one element.
    let mut shrunk = view.base.clone();
    shrunk[view.order[at]] = 1;
    let result = Data { id, base: shrunk, order: view.order, integral: true };
    if call.attributes.flag("keepdims", true) {
        return Ok(vec![Value::Data(result)]);
    }
    dims.remove(at);
    Ok(vec![Value::Data(reshaped(t, call, &result, dims)?)])
}
