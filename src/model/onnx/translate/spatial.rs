//! Spatial operators: pooling, resizing, padding.

use super::conv::Geometry;
use super::shape::{Placed, placed};
use super::{Call, Outputs, Translator, Value};
use crate::model::onnx::Reason;
use crate::model::onnx::fold::{axis, lengths};
use crate::ops::{
    AvgPool2d, Coordinates, DepthOrder, DepthToSpace, GlobalAvgPool, GlobalMaxPool, Interpolate, InterpolateKernel,
    MaxPool2d, NearestRule, OutputSize, Pad2d, PadMode, PadWith, Pool2d, PoolKind, SpaceToDepth,
};

pub(super) fn pool(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let x = t.nchw(call, 0)?;
    let s = t.graph.shape(x);
    let a = call.attributes;
    if call.outputs() > 1 {
        return Err("its second output (positions of the maxima) is not supported".into());
    }
    if !a.has("kernel_shape") {
        return Err("kernel_shape is missing".into());
    }
    let max = call.op() == "MaxPool";
    let Geometry { kernel, stride, dilation, padding } = Geometry::of(call, a.pair("kernel_shape", 1)?, [s.h, s.w])?;
    let ceil_mode = a.flag("ceil_mode", false);
    let plain = padding == [0; 4] && dilation == [1; 2];
    if plain && kernel == [s.h, s.w] && !ceil_mode {
        return if max { t.emit(call, GlobalMaxPool, &[x]) } else { t.emit(call, GlobalAvgPool, &[x]) };
    }
    let square = kernel[0] == kernel[1] && stride[0] == stride[1] && padding == [padding[0]; 4] && dilation == [1; 2];
    let (k, p) = (kernel[0], padding[0]);
    if square && max && 2 * p <= k {
        return t.emit(call, MaxPool2d { kernel: k, stride: stride[0], padding: p, ceil_mode }, &[x]);
    }
    if square && !max && p == 0 && stride[0] == k && !ceil_mode {
        return t.emit(call, AvgPool2d { kernel: k }, &[x]);
    }
    let kind =
        if max { PoolKind::Max } else { PoolKind::Average { count_include_pad: a.flag("count_include_pad", false) } };
    t.emit(call, Pool2d { kind, kernel, stride, padding, dilation, ceil_mode }, &[x])
}

pub(super) fn global_pool(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let x = t.nchw(call, 0)?;
    if call.op() == "GlobalMaxPool" { t.emit(call, GlobalMaxPool, &[x]) } else { t.emit(call, GlobalAvgPool, &[x]) }
}

/// Input 0, which must have four dimensions, without permutation.
fn placed_map(t: &mut Translator<'_>, call: &Call<'_>) -> Result<Placed, Reason> {
    let d = call.data(0)?.clone();
    match d.order.len() {
        4 => placed(t, call, &d),
        _ => Err(format!("its input has dimensions {:?}: only [N, C, H, W] is supported", d.dims()).into()),
    }
}

pub(super) fn resize(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let place = placed_map(t, call)?;
    let x = place.id;
    let s = t.graph.shape(x);
    let a = call.attributes;
    // Upsample, and Resize up to opset 10, have no region of interest and no coordinate mode.
    let old = call.op() == "Upsample" || call.opset < 11;
    let coordinates = match a.text("coordinate_transformation_mode", if old { "asymmetric" } else { "half_pixel" })? {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
        other => return Err(format!("coordinates `{other}` are not supported").into()),
    };
    let exclude_outside = a.flag("exclude_outside", false);
    let kernel = match a.text("mode", "nearest")? {
        "nearest" => InterpolateKernel::Nearest(match a.text("nearest_mode", "round_prefer_floor")? {
            _ if old => NearestRule::Floor,
            "round_prefer_floor" => NearestRule::RoundPreferFloor,
            "round_prefer_ceil" => NearestRule::RoundPreferCeil,
            "floor" => NearestRule::Floor,
            "ceil" => NearestRule::Ceil,
            other => return Err(format!("nearest_mode `{other}` is not supported").into()),
        }),
        "linear" | "bilinear" if !exclude_outside => InterpolateKernel::Linear,
        "cubic" => InterpolateKernel::Cubic { a: a.float("cubic_coeff_a", -0.75), exclude_outside },
        other => return Err(format!("mode `{other}` with these attributes is not supported").into()),
    };
    if a.flag("antialias", false) {
        return Err("antialiasing is not supported".into());
    }
    if a.text("keep_aspect_ratio_policy", "stretch")? != "stretch" {
        return Err("keep_aspect_ratio_policy is not supported".into());
    }
    let axes = match a.ints("axes") {
        Some(list) => list.iter().map(|&v| axis(v, 4)).collect::<Result<Vec<_>, _>>()?,
        None => vec![0, 1, 2, 3],
    };
    // The corresponding axes of the tensor.
    let axes: Vec<usize> = axes.iter().map(|&i| place.axes[i]).collect();
    let scales = match (old, a.floats("scales")) {
        (true, Some(list)) => Some(list.to_vec()),
        (true, None) => call.known(1)?.map(|t| t.to_floats()),
        (false, _) => call.known(2)?.map(|t| t.to_floats()),
    };
    let sizes = if old { None } else { call.known(3)? };
    let whole = s.dims();
    let size = match (scales.filter(|s| !s.is_empty()), sizes.filter(|t| t.len() > 0)) {
        (Some(scales), None) => {
            let mut all = [1.0f32; 4];
            fill(&mut all, &axes, &scales)?;
            if all[0] != 1.0 || all[1] != 1.0 {
                return Err("of images or channels is not supported".into());
            }
            if !(all[2] > 0.0 && all[3] > 0.0 && all.iter().all(|v| v.is_finite())) {
                return Err(format!("scales {scales:?}").into());
            }
            OutputSize::Scales([all[2], all[3]])
        }
        (None, Some(sizes)) => {
            let mut all = whole;
            fill(&mut all, &axes, &lengths(sizes.as_ints()?)?)?;
            if all[..2] != whole[..2] {
                return Err("of images or channels is not supported".into());
            }
            OutputSize::Sizes([all[2], all[3]])
        }
        _ => return Err("needs either scales or sizes".into()),
    };
    let op = Interpolate { kernel, coordinates, size };
    let id = match op.simpler(s) {
        Some(simple) => t.add(call, simple, &[x])?,
        None => t.add(call, op, &[x])?,
    };
    Ok(vec![Value::Data(place.result(t, id, t.graph.shape(id).dims().to_vec()))])
}

/// Assigns an operator's numbers to the axes that they are for.
fn fill<T: Copy>(all: &mut [T; 4], axes: &[usize], numbers: &[T]) -> Result<(), Reason> {
    if axes.len() != numbers.len() {
        return Err(format!("{} numbers for {} axes", numbers.len(), axes.len()).into());
    }
    axes.iter().zip(numbers).for_each(|(&axis, &v)| all[axis] = v);
    Ok(())
}

pub(super) fn pad(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let rank = call.data(0)?.order.len();
    let pads = match call.list("pads", 1)? {
        Some(pads) => pads,
        None => call.attributes.ints("paddings").ok_or("pads are missing")?.to_vec(),
    };
    let axes = match call.known(3)? {
        Some(t) => t.as_ints()?.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", pads.len(), axes.len()).into());
    }
    let mut all = [[0i64; 2]; 8];
    for (i, &at) in axes.iter().enumerate() {
        if at >= all.len() {
            return Err(format!("{rank} dimensions").into());
        }
        all[at] = [pads[i], pads[i + axes.len()]];
    }
    if all.iter().all(|p| *p == [0; 2]) {
        return Ok(vec![call.value(0)?.clone()]);
    }
    let place = placed_map(t, call)?;
    let x = place.id;
    let mut on = [[0i64; 2]; 4];
    place.axes.iter().zip(&all).for_each(|(&axis, pads)| on[axis] = *pads);
    let ([_, _, [top, bottom], [left, right]], true) = (on, on[..2] == [[0; 2]; 2]) else {
        return Err(format!("of images or channels ({pads:?}) is not supported").into());
    };
    if pads.iter().any(|&p| i32::try_from(p).is_err()) {
        return Err(format!("pads {pads:?}").into());
    }
    let value = match call.known(2)? {
        Some(t) if t.len() > 0 => t.scalar()? as f32,
        _ => call.attributes.float("value", 0.0),
    };
    let mode = match call.attributes.text("mode", "constant")? {
        "constant" => PadMode::Constant(value),
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" => PadMode::Wrap,
        other => return Err(format!("mode `{other}` is not supported").into()),
    };
    let id = if mode == PadMode::Constant(0.0) {
        t.add(call, Pad2d { left, right, top, bottom }, &[x])?
    } else {
        t.add(call, PadWith { left, right, top, bottom, mode }, &[x])?
    };
    Ok(vec![Value::Data(place.result(t, id, t.graph.shape(id).dims().to_vec()))])
}

pub(super) fn depth(t: &mut Translator<'_>, call: &Call<'_>) -> Outputs {
    let x = t.nchw(call, 0)?;
    let block = call.attributes.int("blocksize").and_then(|b| usize::try_from(b).ok()).filter(|b| (1..=64).contains(b));
    let block = block.ok_or("blocksize is not in 1..64")?;
    if call.op() == "SpaceToDepth" {
        return t.emit(call, SpaceToDepth { block, order: DepthOrder::Dcr }, &[x]);
    }
    let order = match call.attributes.text("mode", "DCR")? {
        "DCR" => DepthOrder::Dcr,
        "CRD" => DepthOrder::Crd,
        other => return Err(format!("mode `{other}` is not supported").into()),
    };
    t.emit(call, DepthToSpace { block, order }, &[x])
}
