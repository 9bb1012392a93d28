//! The CPU reference with the rounding of `f16` storage: what it and the device differ by is arithmetic.

use half::f16;
use std::collections::BTreeMap;
use unet_wgpu::low_level::graph::{Graph, Node, ValueId};
use unet_wgpu::low_level::kernel::{Function, Target};
use unet_wgpu::low_level::ops::{Conv2d, FusedConv2d, Lowered, Lowering, MaxPool2d, Op, Resize, ResizeSize, Source};
use unet_wgpu::low_level::tensor::{HostTensor, Layout, Precision};
use unet_wgpu::{Error, Result};

/// Runs a graph with every op's reference and rounds what an `f16` plan for `target` stores as `f16`: blocked tensors, weights as nodes
/// pack them, and the sum of a convolution after each of its sources.
pub(super) fn run_rounded(
    graph: &Graph,
    target: &Target,
    inputs: &BTreeMap<String, HostTensor>,
    mut stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
) -> Result<BTreeMap<String, HostTensor>> {
    let mut values = graph.evaluate_parameters(&mut stored)?;
    for (name, id) in graph.inputs() {
        values[id.index()] = inputs.get(name).cloned();
    }
    let missing = |what: &str| Error::invalid(what, "has no value");
    for node in graph.nodes() {
        let (given, made) = (graph.descs(&node.inputs), graph.descs(&node.outputs));
        let mut cx = Lowering::new(&node.label, target, &given, &made);
        node.op.lower(&mut cx)?;
        let lowered = cx.finish();
        let is_half = |k: usize| lowered.weights.iter().any(|w| w.precision == Precision::F16 && w.inputs.contains(&k));
        let mut arguments = Vec::with_capacity(node.inputs.len());
        for (k, v) in node.inputs.iter().enumerate() {
            let value = values[v.index()].clone().ok_or_else(|| missing(&node.label))?;
            arguments.push(if is_half(k) { rounded(value) } else { value });
        }
        for ((v, desc), result) in node.outputs.iter().zip(&made).zip(results(node, &lowered, &arguments)?) {
            values[v.index()] = Some(if desc.layout == Layout::Blocked { rounded(result) } else { result });
        }
    }
    let output =
        |(name, v): &(String, ValueId)| Ok((name.clone(), values[v.index()].clone().ok_or_else(|| missing(name))?));
    graph.outputs().iter().map(output).collect()
}

fn rounded(mut tensor: HostTensor) -> HostTensor {
    tensor.data_mut().iter_mut().for_each(|v| *v = f16::from_f32(*v).to_f32());
    tensor
}

/// The node's results, not rounded.
fn results(node: &Node, lowered: &Lowered, arguments: &[HostTensor]) -> Result<Vec<HostTensor>> {
    match node.op.as_op::<FusedConv2d>() {
        Some(op) if lowered.dispatches.iter().any(|d| d.kernel.accumulates()) => by_source(op, arguments),
        _ => node.op.reference(&arguments.iter().collect::<Vec<_>>()),
    }
}

/// A convolution whose kernels add one source after the other to what they have stored.
fn by_source(op: &FusedConv2d, arguments: &[HostTensor]) -> Result<Vec<HostTensor>> {
    let k = op.sources.len();
    let (weight, [kh, kw]) = (&arguments[k], op.conv.kernel);
    let upsampled = |i: usize| match op.sources[i].upsample {
        Some((mode, factor)) => {
            let resize = Resize { mode, size: ResizeSize::Scale(factor) };
            Ok::<_, Error>(rounded(resize.reference(&[&arguments[i]])?.remove(0)))
        }
        None => Ok(arguments[i].clone()),
    };
    let sources = (0..k).map(upsampled).collect::<Result<Vec<_>>>()?;
    let shape = sources[0].shape()?;
    let region = op.region.unwrap_or([shape.h, shape.w]);
    let per_output = weight.data().len() / op.conv.out_channels;
    let (mut sum, mut first): (Option<HostTensor>, usize) = (None, 0);
    for (i, source) in sources.iter().enumerate() {
        let channels = source.shape()?.c;
        let part = first * kh * kw..(first + channels) * kh * kw;
        first += channels;
        let of_source: Vec<f32> =
            weight.data().chunks(per_output).flat_map(|row| &row[part.clone()]).copied().collect();
        let of_source = HostTensor::new([op.conv.out_channels, channels, kh, kw], of_source)?;
        let one = FusedConv2d {
            conv: Conv2d { bias: op.conv.bias && i == 0, ..op.conv },
            sources: vec![Source::at(op.sources[i].top, op.sources[i].left)],
            region: Some(region),
            activation: Function::Identity,
            pool: false,
        };
        let bias = arguments[k + 1..].iter().filter(|_| one.conv.bias);
        let inputs: Vec<&HostTensor> = [source, &of_source].into_iter().chain(bias).collect();
        let mut added = one.reference(&inputs)?.remove(0);
        if let Some(sum) = sum {
            added.data_mut().iter_mut().zip(sum.data()).for_each(|(a, s)| *a += s);
        }
        sum = Some(if i + 1 < k { rounded(added) } else { added });
    }
    let mut result = sum.ok_or_else(|| Error::invalid("convolution", "has no source"))?;
    result.data_mut().iter_mut().for_each(|v| *v = op.activation.apply(f64::from(*v)) as f32);
    let pooled = if op.pool { MaxPool2d::new(2).reference(&[&result])? } else { vec![] };
    Ok([vec![result], pooled].concat())
}
