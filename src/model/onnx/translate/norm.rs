//! Normalisations and softmax.

use super::reduce::{along_axes, log_softmax, two, unary};
use super::view::channels_at;
use super::{Call, Data, Outputs, Translator, Value, pointwise};
use crate::graph::{Formula, ValueId};
use crate::model::onnx::Reason;
use crate::model::onnx::tensor::Tensor;
use crate::model::onnx::value::canonical;
use crate::ops::{BatchNorm2d, Binary, BinaryKind, Function, GroupNorm, InstanceNorm2d, ReduceKind, Softmax};
use crate::tensor::Shape;

pub(super) fn batch(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    if call.attributes.flag("training_mode", false) || (call.opset < 7 && !call.attributes.flag("is_test", false)) {
        return Err("exported in training mode: it uses the statistics of the batch".into());
    }
    let d = call.data(0)?.clone();
    let dims = d.dims();
    let shape = canonical(&dims).filter(|_| dims.len() >= 2);
    let shape = shape.ok_or_else(|| Reason::from(format!("an input of dimensions {dims:?} is not supported")))?;
    let mut inputs = vec![t.shaped(call, &d, shape)?];
    for i in 1..5 {
        inputs.push(t.parameter(call.value(i)?, &[shape.c])?);
    }
    let y = t.add(call, BatchNorm2d { eps: call.attributes.float("epsilon", 1e-5) }, &inputs)?;
    Ok(vec![Value::Data(Data::plain(y, dims))])
}

/// Whether all elements of a constant are `number`.
fn is_all(value: &Value, number: f64) -> bool {
    value.tensor().is_some_and(|t| (0..t.len()).all(|i| t.at(i) == number))
}

pub(super) fn instance(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let eps = call.attributes.float("epsilon", 1e-5);
    let d = call.data(0)?.clone();
    let dims = d.dims();
    if dims.len() < 3 {
        return Err(format!("an input of dimensions {dims:?} has no pixels").into());
    }
    let (n, groups) = (dims[0], dims[1]);
    let s = t.graph.shape(d.id);
    let plain = is_all(call.value(1)?, 1.0) && is_all(call.value(2)?, 0.0);
    // PyTorch exports group normalisation as instance normalisation of a tensor reshaped to [N, groups, elements].
    if plain && d.in_order() && (s.n, s.c) != (n, groups) && s.n == n && groups > 0 && s.c.is_multiple_of(groups) {
        let id = t.add(call, GroupNorm { groups, eps, affine: false }, &[d.id])?;
        return Ok(vec![Value::Data(d.with(id))]);
    }
    let rest = dims[2..].iter().product();
    let shape = canonical(&dims).unwrap_or(Shape::new(n, groups, 1, rest));
    let mut inputs = vec![t.shaped(call, &d, shape)?];
    if !plain {
        inputs.push(t.parameter(call.value(1)?, &[groups])?);
        inputs.push(t.parameter(call.value(2)?, &[groups])?);
    }
    let y = t.add(call, InstanceNorm2d { eps, affine: !plain }, &inputs)?;
    Ok(vec![Value::Data(Data::plain(y, dims))])
}

pub(super) fn group(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let groups = call.attributes.int("num_groups").and_then(|g| usize::try_from(g).ok()).filter(|&g| g > 0);
    let groups = groups.ok_or("num_groups is not a positive number")?;
    let x = t.nchw(call, 0)?;
    let channels = t.graph.shape(x).c;
    let mut inputs = vec![x];
    for i in 1..3 {
        let value = call.value(i)?.clone();
        // Up to opset 20 there is one number per group.
        let len = if call.opset < 21 { groups } else { channels };
        let mut p = t.parameter(&value, &[len])?;
        if len != channels {
            p = t.derived(p, &[channels], Formula::Repeated { count: channels, factor: 1.0 })?;
        }
        inputs.push(p);
    }
    t.emit(call, GroupNorm { groups, eps: call.attributes.float("epsilon", 1e-5), affine: true }, &inputs)
}

/// Normalises over an axis and all after it. Also returns mean and reciprocal standard deviation.
pub(super) fn layer(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let dims = d.dims();
    let first = super::fold::axis(call.attributes.int("axis").unwrap_or(-1), dims.len())?;
    if (first, dims.len(), call.outputs()) == (1, 4, 1) {
        return whole_image(t, call);
    }
    let along: Vec<usize> = (first..dims.len()).collect();
    let number = |v: f32| Tensor::floats(vec![1], vec![v]).map(Value::known);
    let mean = along_axes(t, call, &d, &along, ReduceKind::Mean)?;
    let centred = two(t, call, BinaryKind::Sub, &d, &mean)?;
    let square = two(t, call, BinaryKind::Mul, &centred, &centred)?;
    let variance = along_axes(t, call, &square, &along, ReduceKind::Mean)?;
    let eps = number(call.attributes.float("epsilon", 1e-5))?;
    let sum = pointwise::two(t, call, BinaryKind::Add, &Value::Data(variance), &eps)?;
    let Value::Data(sum) = sum else { return Err("is a constant".into()) };
    let deviation = unary(t, call, &sum, Function::Sqrt)?;
    let inverse = unary(t, call, &deviation, Function::Reciprocal)?;
    let mut y = Value::Data(two(t, call, BinaryKind::Div, &centred, &deviation)?);
    for (i, kind) in [(1, BinaryKind::Mul), (2, BinaryKind::Add)] {
        if let Some(value) = call.maybe(i).cloned() {
            y = pointwise::two(t, call, kind, &y, &value)?;
        }
    }
    Ok(vec![y, Value::Data(mean), Value::Data(inverse)])
}

/// Normalises over channels, rows and columns.
fn whole_image(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let x = t.nchw(call, 0)?;
    let s = t.graph.shape(x);
    let eps = call.attributes.float("epsilon", 1e-5);
    let mut y: ValueId = t.add(call, GroupNorm { groups: 1, eps, affine: false }, &[x])?;
    for (i, kind) in [(1, BinaryKind::Mul), (2, BinaryKind::Add)] {
        if let Some(value) = call.maybe(i).cloned() {
            let dims = [vec![1; 4usize.saturating_sub(value.dims().len())], value.dims()].concat();
            let p = t.parameter(&value, &dims)?;
            y = t.add(call, Binary { kind }, &[y, p])?;
        }
    }
    Ok(vec![Value::Data(Data::plain(y, s.dims().to_vec()))])
}

pub(super) fn softmax(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let d = call.data(0)?.clone();
    let dims = d.dims();
    let axis =
        super::fold::axis(call.attributes.int("axis").unwrap_or(if call.opset < 13 { 1 } else { -1 }), dims.len())?;
    // Up to opset 12 it is over that axis and all after it.
    if call.opset < 13 && dims[axis + 1..].iter().any(|&n| n != 1) {
        let flat = dims[..axis].iter().product();
        let x = t.shaped(call, &d, Shape::new(flat, dims[axis..].iter().product(), 1, 1))?;
        let y = if call.op() == "LogSoftmax" { log_softmax(t, call, x)? } else { t.add(call, Softmax, &[x])? };
        return Ok(vec![Value::Data(Data::plain(y, dims))]);
    }
    over_channels(t, call, &d, axis, |t, x| match call.op() {
        "LogSoftmax" => log_softmax(t, call, x),
        _ => t.add(call, Softmax, &[x]),
    })
}

/// Applies an op along one axis, which becomes the channels. The result has the same dimensions.
fn over_channels(
    t: &mut Translator<'_>,
    call: &Call<'_>,
    d: &Data,
    axis: usize,
    op: impl FnOnce(&mut Translator<'_>, ValueId) -> Result<ValueId, Reason>,
) -> Outputs {
    let (x, view) = channels_at(t, call, d, axis)?;
    let y = op(t, x)?;
    Ok(vec![Value::Data(view.with(y))])
}
