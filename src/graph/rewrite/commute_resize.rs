//! `conv(resize(x))` mixes channels before it upsamples: see [`TapSum`]. The largest saving of all: in U-Net 3+ at
//! 320x320 the upsampled skips fall from 147 to 10 GMAC, and the 1024-channel map at full resolution never exists.

use crate::error::Result;
use crate::graph::{Derived, Formula, Graph, Node, Rebuild, ValueId};
use crate::kernel::{ResizeCosts, Target};
use crate::ops::{Conv2d, Function, FusedConv2d, Resize, ResizeSize, Source, TapSum};
use crate::tensor::LANES;

/// An upsampled source of a convolution.
struct Upsampled {
    /// Its index among the sources.
    source: usize,
    /// The value that is upsampled.
    small: ValueId,
    resize: Resize,
    factor: usize,
}

/// Splits a convolution over upsampled sources (and plain ones): a convolution over the plain sources, then for each
/// upsampled one a 1x1 convolution at its own resolution and a [`TapSum`] added to the result so far.
pub(super) fn rewrite(graph: &Graph, target: &Target) -> Result<Graph> {
    let costs = target.preset().resize;
    graph.rebuild(|cx, node| {
        let Some(fused) = FusedConv2d::of(&*node.op) else { return Ok(None) };
        let (conv, k) = (&fused.conv, fused.sources.len());
        let [kernel, kw] = conv.kernel;
        let uniform = conv.padding.iter().all(|&p| p == conv.padding[0]);
        let whole = fused.sources.iter().all(|s| *s == Source::WHOLE);
        if kernel != kw
            || kernel == 1
            || conv.stride != [1; 2]
            || conv.dilation != [1; 2]
            || conv.groups != 1
            || !uniform
            || !whole
        {
            return Ok(None);
        }
        let upsampled: Vec<Upsampled> =
            (0..k).filter_map(|source| upsampled_source(cx.old, node, source, conv, &costs)).collect();
        if upsampled.is_empty() {
            return Ok(None);
        }
        mix_before_upsampling(cx, node, &fused, &upsampled).map(|y| Some(vec![y]))
    })
}

fn upsampled_source(
    graph: &Graph,
    node: &Node,
    source: usize,
    conv: &Conv2d,
    costs: &ResizeCosts,
) -> Option<Upsampled> {
    let producer = graph.producer(node.inputs[source])?;
    let resize = producer.op.as_op::<Resize>()?.clone();
    let factor = match resize.size {
        ResizeSize::Scale(f) if f > 1 => f,
        _ => return None,
    };
    let channels = graph.shape(producer.inputs[0]).c;
    pays(costs, conv.kernel[0], channels, conv.out_channels, factor).then_some(())?;
    Some(Upsampled { source, small: producer.inputs[0], resize, factor })
}

/// Whether mixing channels first is cheaper, by cost per output pixel. From factor 4 on, the saved multiply-adds
/// decide. At factor 2 a 3x3 convolution by Winograd has no more to multiply than the taps at a quarter of the pixels,
/// and its input transform upsamples by itself: the comparison is between that transform and nine maps with their sum.
fn pays(costs: &ResizeCosts, kernel: usize, channels: usize, out_channels: usize, factor: usize) -> bool {
    let (i, o) = (channels.div_ceil(LANES) as f64, out_channels.div_ceil(LANES) as f64);
    let taps = (kernel * kernel) as f64;
    let maps = taps / (factor * factor) as f64;
    let (mixing, each_input, each_output) = match (kernel, factor) {
        (3, 2) => (taps / 4.0, costs.upsampling_transform, costs.inverse_transform),
        (3, _) => (taps / 4.0, costs.upsample + costs.transform, costs.inverse_transform),
        _ => (taps, costs.upsample, 0.0),
    };
    let plain = costs.mix * mixing * i * o + each_input * i + each_output * o;
    let mixed_first = costs.mix * maps * i * o + costs.map * maps * o + (costs.tap * taps + costs.sum) * o;
    mixed_first < plain
}

fn mix_before_upsampling(
    cx: &mut Rebuild<'_>,
    node: &Node,
    fused: &FusedConv2d,
    upsampled: &[Upsampled],
) -> Result<ValueId> {
    let (conv, k) = (&fused.conv, fused.sources.len());
    let old = cx.old;
    let plain: Vec<usize> = (0..k).filter(|s| upsampled.iter().all(|e| e.source != *s)).collect();
    let channels: Vec<usize> = node.inputs[..k].iter().map(|&v| old.shape(v).c).collect();
    let first_channel = |s: usize| channels[..s].iter().sum::<usize>();
    let weight = cx.map(node.inputs[k])?;
    let bias = if conv.bias { Some(cx.map(node.inputs[k + 1])?) } else { None };
    let size = old.shape(node.inputs[0]);

    let mut sum: Option<ValueId> = None;
    if !plain.is_empty() {
        // The weight's input channels that belong to the plain sources, in their order.
        let ranges: Vec<(usize, usize)> = plain.iter().map(|&s| (first_channel(s), channels[s])).collect();
        let total = ranges.iter().map(|r| r.1).sum();
        let dims = [conv.out_channels, total, conv.kernel[0], conv.kernel[1]];
        let part = Derived { from: vec![weight], formula: Formula::InputChannels(ranges) };
        let part = cx.new.derived(format!("{}.plain_weight", node.label), &dims, part)?;
        let values: Vec<ValueId> = plain.iter().map(|&s| node.inputs[s]).collect();
        let mut inputs = cx.map_all(&values)?;
        inputs.push(part);
        inputs.extend(bias);
        let op = FusedConv2d {
            sources: vec![Source::WHOLE; plain.len()],
            region: Some([size.h, size.w]),
            activation: Function::Identity,
            ..fused.clone()
        };
        sum = Some(cx.new.node(format!("{}.plain", node.label), op, &inputs)?);
    }
    for (i, e) in upsampled.iter().enumerate() {
        let last = i + 1 == upsampled.len();
        let op = TapSum {
            out_channels: conv.out_channels,
            kernel: conv.kernel[0],
            padding: conv.padding[0],
            mode: e.resize.mode,
            factor: e.factor,
            residual: sum.is_some(),
            // The convolution over the plain sources has already added the bias.
            bias: conv.bias && sum.is_none(),
            activation: if last { fused.activation } else { Function::Identity },
        };
        let (first, count, outputs) = (first_channel(e.source), channels[e.source], conv.out_channels);
        let dims = [op.tap_channels(), count, 1, 1];
        let taps = Derived { from: vec![weight], formula: Formula::TapsToChannels { first, count, outputs } };
        let name = format!("{}.taps{}", node.label, if upsampled.len() > 1 { i.to_string() } else { String::new() });
        let taps = cx.new.derived(format!("{name}_weight"), &dims, taps)?;
        let small = cx.map(e.small)?;
        let mixed = cx.new.node(name, Conv2d::new(op.tap_channels(), 1, 0), &[small, taps])?;
        let mut inputs = vec![mixed];
        inputs.extend(sum);
        if op.bias {
            inputs.extend(bias);
        }
        let label = if last { node.label.clone() } else { format!("{}.sum{i}", node.label) };
        sum = Some(cx.new.node(label, op, &inputs)?);
    }
    sum.ok_or_else(|| crate::error::Error::op(&node.label, "has no source"))
}

#[cfg(test)]
mod tests {
    use super::pays;
    use crate::kernel::{AdapterClass, preset};

    #[test]
    fn pays_for_large_factors_and_many_input_channels() {
        for class in AdapterClass::ALL {
            let pays = |i, o, factor| pays(&preset(class).resize, 3, i, o, factor);
            // U-Net 3+: every factor. Nested U-Net: 64 channels at half the size to 32.
            assert!([2, 4, 8, 16].iter().all(|&f| pays(320, 64, f)), "{class:?}");
            assert!(!pays(64, 32, 2), "{class:?}");
            // The bilinear U-Net's decoder: equal input and output channels.
            assert!(!pays(512, 512, 2), "{class:?}");
            assert!(pays(512, 512, 4), "{class:?}");
            assert!(!pays(8, 64, 2), "{class:?}");
        }
    }

    #[test]
    fn the_class_of_the_device_decides() {
        let pays = |class| pays(&preset(class).resize, 3, 192, 64, 2);
        assert!(!pays(AdapterClass::Cpu), "samples of maps cost more than the transform saves");
        assert!(pays(AdapterClass::Nvidia), "samples come from the first cache");
    }
}
