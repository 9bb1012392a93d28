//! A convolution upsamples a source on the fly: the upsampled copy, the largest tensor of a bilinear decoder, never
//! exists.

use crate::error::Result;
use crate::graph::Graph;
use crate::ops::{FusedConv2d, Resize, ResizeSize, Source};
use std::sync::Arc;

/// `conv(.., resize(x), ..)` for 3x3 convolutions and a factor of 2, where `resize(x)` has no other reader. Winograd's
/// input transform computes the pixels it needs, from 16 to 25 instead of reading 36; other kernels upsample into
/// scratch memory.
pub(super) fn rewrite(graph: &Graph) -> Result<Graph> {
    let uses = graph.uses();
    graph.rebuild(|cx, node| {
        let Some(fused) = FusedConv2d::of(&*node.op) else { return Ok(None) };
        let conv = &fused.conv;
        let plain = conv.kernel == [3; 2] && conv.stride == [1; 2] && conv.dilation == [1; 2] && conv.groups == 1;
        if !plain || conv.padding.iter().any(|&p| p > 1) {
            return Ok(None);
        }
        let (mut op, mut inputs) = (fused.clone(), node.inputs.clone());
        for (source, input) in op.sources.iter_mut().zip(&mut inputs).filter(|s| *s.0 == Source::WHOLE) {
            let Some(producer) = cx.old.producer(*input) else { continue };
            let Some(Resize { mode, size: ResizeSize::Scale(2) }) = producer.op.as_op::<Resize>() else { continue };
            if uses[input.index()] == 1 {
                *source = Source::upsampled(*mode, 2);
                *input = producer.inputs[0];
            }
        }
        if inputs == node.inputs {
            return Ok(None);
        }
        let size = cx.old.shape(node.inputs[0]);
        op.region = Some(fused.region.unwrap_or([size.h, size.w]));
        let inputs = cx.map_all(&inputs)?;
        cx.new.node_shared(node.label.clone(), Arc::new(op), &inputs).map(Some)
    })
}
