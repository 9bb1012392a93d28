//! An activation after a convolution becomes its epilogue.

use crate::error::Result;
use crate::graph::Graph;
use crate::ops::{Conv2d, ConvTranspose2d, FusedConvTranspose2d, Op, Unary};
use std::sync::Arc;

/// `act(conv(x))` in one op, where the convolution has no other reader.
pub(super) fn rewrite(graph: &Graph) -> Result<Graph> {
    let uses = graph.uses();
    graph.rebuild(|cx, node| {
        let function = node.op.as_op::<Unary>().map(|u| u.kind).filter(|f| f.is_fusable());
        let Some(kind) = function else { return Ok(None) };
        let x = node.inputs[0];
        let Some(conv) = cx.old.producer(x).filter(|_| uses[x.index()] == 1) else { return Ok(None) };
        let fused: Arc<dyn Op> = if let Some(op) = conv.op.as_op::<Conv2d>() {
            Arc::new(op.clone().with_activation(kind))
        } else if let Some(op) = conv.op.as_op::<ConvTranspose2d>() {
            Arc::new(FusedConvTranspose2d { conv: op.clone(), activation: kind })
        } else {
            return Ok(None);
        };
        let inputs = cx.map_all(&conv.inputs)?;
        cx.new.node_shared(conv.label.clone(), fused, &inputs).map(Some)
    })
}
