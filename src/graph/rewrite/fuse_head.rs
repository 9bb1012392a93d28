//! A 1x1 convolution to few classes, its softmax and its export or mask become one last kernel.

use crate::error::Result;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::{Conv2d, ExportNchw, FusedConv2d, Head2d, HeadOutput, MaskOut, MaskRule, Softmax};

/// `export(conv(x))`, `mask(softmax(conv(x)))` and the like, where the values between have no other reader.
pub(super) fn rewrite(graph: &Graph) -> Result<Graph> {
    let uses = graph.uses();
    graph.rebuild(|cx, node| {
        let old = cx.old;
        let output = if node.op.as_op::<ExportNchw>().is_some() {
            HeadOutput::Values
        } else if let Some(mask) = node.op.as_op::<MaskOut>().filter(|m| m.rule != MaskRule::Foreground) {
            HeadOutput::Mask(mask.rule)
        } else {
            return Ok(None);
        };
        // The producer of a value without other readers.
        let only = |v: ValueId| old.producer(v).filter(|_| uses[v.index()] == 1);
        let Some(before) = only(node.inputs[0]) else { return Ok(None) };
        let softmax = before.op.as_op::<Softmax>().is_some();
        let convolution: Option<&Node> = if softmax { only(before.inputs[0]) } else { Some(before) };
        let Some((node_of, conv)) = convolution.and_then(|n| Some((n, FusedConv2d::of(&*n.op)?))) else {
            return Ok(None);
        };
        let FusedConv2d { conv: Conv2d { out_channels, bias, .. }, activation, .. } = conv;
        let plain = Conv2d::new(out_channels, 1, 0).with_bias(bias).with_activation(activation);
        let region = conv.region.is_none_or(|[h, w]| {
            let s = old.shape(node_of.inputs[0]);
            (s.h, s.w) == (h, w)
        });
        let same = FusedConv2d { region: conv.region, ..plain } == conv;
        if !same || !region || out_channels > Head2d::MAX_CLASSES {
            return Ok(None);
        }
        let op = Head2d { classes: out_channels, bias, activation, softmax, output };
        let inputs = cx.map_all(&node_of.inputs)?;
        Ok(Some(vec![cx.new.node(node_of.label.clone(), op, &inputs)?]))
    })
}
