//! An activation after a convolution becomes its epilogue.

use crate::error::Result;
use crate::graph::Graph;
use crate::ops::{Activation, ActivationKind, Conv2d, ConvTranspose2d, Op};
use std::sync::Arc;

/// `act(conv(x))` in one op, where the convolution has no other reader.
pub fn rewrite(graph: &Graph) -> Result<Graph> {
    let uses = graph.uses();
    graph.rebuild(|cx, node| {
        let Some(Activation { kind }) = node.op.as_op::<Activation>().cloned() else { return Ok(None) };
        let x = node.inputs[0];
        let Some(conv) = cx.old.producer(x).filter(|_| uses[x.index()] == 1) else { return Ok(None) };
        let fused: Arc<dyn Op> = if let Some(op) = conv.op.as_op::<Conv2d>() {
            if op.activation != ActivationKind::None {
                return Ok(None);
            }
            Arc::new(op.clone().with_activation(kind))
        } else if let Some(op) = conv.op.as_op::<ConvTranspose2d>() {
            if op.activation != ActivationKind::None {
                return Ok(None);
            }
            Arc::new(ConvTranspose2d { activation: kind, ..op.clone() })
        } else {
            return Ok(None);
        };
        let inputs = cx.map_all(&conv.inputs)?;
        cx.new.node_shared(conv.label.clone(), fused, &inputs).map(Some)
    })
}
