//! Convolutions and matmuls.

use super::{Call, Data, Outputs, Translator, Value};
use crate::graph::Formula;
use crate::model::onnx::Reason;
use crate::model::onnx::value::canonical;
use crate::ops::{Conv2d, ConvTranspose2d, MatMul};
use crate::tensor::Shape;

/// Kernel, stride, dilation and padding of a window, with `auto_pad` resolved for the input size.
pub(super) struct Geometry {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
}

impl Geometry {
    pub(super) fn of(call: &Call<'_>, kernel: [usize; 2], size: [usize; 2]) -> Result<Self, Reason> {
        let a = call.attributes;
        let (stride, dilation) = (a.pair("strides", 1)?, a.pair("dilations", 1)?);
        if [kernel, stride, dilation].concat().contains(&0) {
            return Err(format!("kernel {kernel:?}, stride {stride:?}, dilation {dilation:?}").into());
        }
        let same = |upper: bool| {
            let mut pads = [0; 4];
            for axis in 0..2 {
                let out = size[axis].div_ceil(stride[axis]);
                let span = (kernel[axis] - 1) * dilation[axis] + 1;
                let total = (out.saturating_sub(1) * stride[axis] + span).saturating_sub(size[axis]);
                let (less, more) = (total / 2, total - total / 2);
                (pads[axis], pads[axis + 2]) = if upper { (less, more) } else { (more, less) };
            }
            pads
        };
        let padding = match a.text("auto_pad", "NOTSET")? {
            "NOTSET" | "" => a.pads()?,
            "VALID" => [0; 4],
            "SAME_UPPER" => same(true),
            "SAME_LOWER" => same(false),
            other => return Err(format!("auto_pad `{other}` is not supported").into()),
        };
        Ok(Self { kernel, stride, dilation, padding })
    }
}

/// The dimensions of a weight, which must be four and match `kernel_shape`.
fn weight_dims(call: &Call<'_>) -> Result<[usize; 4], Reason> {
    let dims = call.value(1)?.dims();
    let Ok(dims) = <[usize; 4]>::try_from(&dims[..]) else {
        return Err(format!("weight of dimensions {dims:?}: only two-dimensional convolutions are supported").into());
    };
    let kernel = [dims[2], dims[3]];
    match call.attributes.has("kernel_shape") && call.attributes.pair("kernel_shape", 1)? != kernel {
        true => Err(format!("kernel_shape does not fit the weight {dims:?}").into()),
        false => Ok(dims),
    }
}

pub(super) fn conv(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let x = t.nchw(call, 0)?;
    let s = t.graph.shape(x);
    let dims = weight_dims(call)?;
    let g = Geometry::of(call, [dims[2], dims[3]], [s.h, s.w])?;
    let groups = usize::try_from(call.attributes.int("group").unwrap_or(1)).ok().filter(|&g| g > 0);
    let mut inputs = vec![x, t.parameter(call.value(1)?, &dims)?];
    if let Some(bias) = call.maybe(2) {
        inputs.push(t.parameter(bias, &dims[..1])?);
    }
    let op = Conv2d {
        stride: g.stride,
        padding: g.padding,
        dilation: g.dilation,
        kernel: g.kernel,
        groups: groups.ok_or("group is not a positive number")?,
        ..Conv2d::new(dims[0], 1, 0).with_bias(inputs.len() == 3)
    };
    t.emit(call, op, &inputs)
}

pub(super) fn conv_transpose(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let x = t.nchw(call, 0)?;
    let s = t.graph.shape(x);
    let dims = weight_dims(call)?;
    let a = call.attributes;
    let groups = usize::try_from(a.int("group").unwrap_or(1)).ok().filter(|&g| g > 0 && dims[0].is_multiple_of(g));
    let groups = groups.ok_or("group does not divide the channels")?;
    let (stride, dilation) = (a.pair("strides", 1)?, a.pair("dilations", 1)?);
    let output_padding = a.pair("output_padding", 0)?;
    if [stride, dilation, [dims[2], dims[3]]].concat().contains(&0) {
        return Err("a stride, dilation or kernel of 0".into());
    }
    let kernel = [(dims[2] - 1) * dilation[0] + 1, (dims[3] - 1) * dilation[1] + 1];
    let size = [s.h, s.w];
    // The output size before padding is cropped off.
    let full = [0, 1].map(|i| size[i].saturating_sub(1) * stride[i] + kernel[i] + output_padding[i]);
    let auto = a.text("auto_pad", "NOTSET")?;
    let target = match (a.has("output_shape"), auto) {
        (true, _) => {
            let list = a.ints("output_shape").unwrap_or_default();
            let last = list.get(list.len().wrapping_sub(2)..).unwrap_or_default();
            let last: Vec<usize> = last.iter().filter_map(|&v| usize::try_from(v).ok()).collect();
            Some(<[usize; 2]>::try_from(last).map_err(|_| Reason::from("output_shape is not two numbers"))?)
        }
        (_, "SAME_UPPER" | "SAME_LOWER") => Some([0, 1].map(|i| size[i] * stride[i])),
        (_, "NOTSET" | "VALID" | "") => None,
        (_, other) => return Err(format!("auto_pad `{other}` is not supported").into()),
    };
    let pads = match target {
        Some(target) => {
            let mut pads = [0; 4];
            for i in 0..2 {
                let total =
                    full[i].checked_sub(target[i]).ok_or("output_shape is larger than what the kernel reaches")?;
                let (less, more) = (total / 2, total - total / 2);
                (pads[i], pads[i + 2]) = if auto == "SAME_UPPER" { (less, more) } else { (more, less) };
            }
            pads
        }
        None => a.pads()?,
    };
    let out_channels = dims[1] * groups;
    let mut inputs = vec![x, t.parameter(call.value(1)?, &dims)?];
    if let Some(bias) = call.maybe(2) {
        inputs.push(t.parameter(bias, &[out_channels])?);
    }
    let op = ConvTranspose2d {
        kernel: [dims[2], dims[3]],
        stride,
        padding: pads,
        dilation,
        groups,
        output_padding,
        bias: inputs.len() == 3,
        ..ConvTranspose2d::up2(out_channels)
    };
    t.emit(call, op, &inputs)
}

/// `alpha * A * B + beta * C` with `A` `[N, K]`: a 1x1 convolution.
pub(super) fn gemm(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let a = call.attributes;
    if a.flag("transA", false) {
        return Err("a transposed first input is not supported".into());
    }
    let (alpha, beta) = (a.float("alpha", 1.0), a.float("beta", 1.0));
    let bias = call.maybe(2).map(|c| (c.clone(), beta));
    linear(t, call, a.flag("transB", false), alpha, bias)
}

pub(super) fn matmul(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let (a, b) = (call.data(0)?.clone(), call.value(1)?.clone());
    let (da, db) = (a.dims(), b.dims());
    let last = a.channels_of(t.graph.shape(a.id)).is_some_and(|axis| axis + 1 == da.len());
    if (da.len() == 2 || last) && db.len() == 2 && !matches!(b, Value::Data(_)) {
        return linear(t, call, false, 1.0, None);
    }
    if !(2..=4).contains(&da.len()) || !(2..=4).contains(&db.len()) {
        return Err(format!("matrices of dimensions {da:?} and {db:?} are not supported").into());
    }
    let rank = da.len().max(db.len());
    let four = |d: &[usize]| [vec![1; 4 - d.len()], d.to_vec()].concat();
    let (sa, sb) = (Shape::from_dims(&four(&da))?, Shape::from_dims(&four(&db))?);
    let x = t.shaped(call, &a, sa)?;
    let y = match &b {
        Value::Data(d) => t.shaped(call, d, sb)?,
        constant => t.parameter(constant, &sb.dims())?,
    };
    let id = t.add(call, MatMul { transposed: false }, &[x, y])?;
    let dims = t.graph.shape(id).dims()[4 - rank..].to_vec();
    Ok(vec![Value::Data(Data::plain(id, dims))])
}

/// A value `[N, K]`, or any whose last axis is the tensor's channels, times a constant `[K, M]`, or `[M, K]` if
/// transposed.
fn linear(
    t: &mut Translator<'_>,
    call: &Call<'_>,
    transposed: bool,
    alpha: f32,
    bias: Option<(Value, f32)>,
) -> Outputs {
    let x = call.data(0)?.clone();
    let (dx, dw) = (x.dims(), call.value(1)?.dims());
    let (Some(&k), &[first, second]) = (dx.last(), &dw[..]) else {
        return Err(format!("matrices of dimensions {dx:?} and {dw:?} are not supported").into());
    };
    let (inner, m) = if transposed { (second, first) } else { (first, second) };
    if inner != k {
        return Err(format!("matrices of dimensions {dx:?} and {dw:?} do not match").into());
    }
    // If the columns of a matrix are a tensor's channels, its rows are pixels.
    let rows = x.channels_of(t.graph.shape(x.id)) == Some(dx.len() - 1);
    let view = match dx[..] {
        _ if rows => x,
        [n, k] => Data::plain(t.shaped(call, &x, canonical(&[n, k]).ok_or("no shape")?)?, dx.clone()),
        _ => return Err(format!("matrices of dimensions {dx:?} and {dw:?} are not supported").into()),
    };
    let x = view.id;
    let mut weight = t.parameter(call.value(1)?, &dw)?;
    if !transposed || alpha != 1.0 {
        let matrix = Formula::Matrix { rows: m, columns: k, transpose: !transposed, factor: alpha };
        weight = t.derived(weight, &[m, k], matrix)?;
    }
    let mut inputs = vec![x, weight];
    if let Some((value, beta)) = bias {
        let dims = value.dims();
        let ones = dims.iter().rev().skip(1).all(|&d| d == 1);
        let len = dims.last().copied().unwrap_or(1);
        if !ones || (len != m && len != 1) {
            return Err(format!("a third input of dimensions {dims:?} for {m} columns is not supported").into());
        }
        let stored = t.parameter(&value, &[len])?;
        let bias = if len == m && beta == 1.0 {
            stored
        } else {
            t.derived(stored, &[m], Formula::Repeated { count: m, factor: beta })?
        };
        inputs.push(bias);
    }
    let y = t.add(call, Conv2d::new(m, 1, 0).with_bias(inputs.len() == 3), &inputs)?;
    let mut base = view.base.clone();
    base[view.order[dx.len() - 1]] = m;
    Ok(vec![Value::Data(Data { id: y, base, integral: false, ..view })])
}
