//! A 2x2 max-pooling after a convolution becomes the convolution's second output.

use crate::error::Result;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::{FusedConv2d, MaxPool2d};
use std::collections::HashMap;
use std::sync::Arc;

/// `max_pool2d(conv(x), 2)`, next to `conv(x)` for the skip connection. In ceil mode only if it makes no difference.
pub(super) fn rewrite(graph: &Graph) -> Result<Graph> {
    let pools = |node: &Node| {
        let op = node.op.as_op::<MaxPool2d>()?;
        let s = graph.shape(node.inputs[0]);
        let even = s.h.is_multiple_of(2) && s.w.is_multiple_of(2);
        (*op == MaxPool2d::new(2) || (*op == MaxPool2d::ceil(2) && even)).then_some(node.inputs[0])
    };
    let pooled: Vec<ValueId> = graph.nodes().iter().filter_map(pools).collect();
    // The new pooled value of each old convolution's result.
    let mut pooled_values: HashMap<ValueId, ValueId> = HashMap::new();
    graph.rebuild(|cx, node| {
        if let Some(&z) = pools(node).and_then(|x| pooled_values.get(&x)) {
            return Ok(Some(vec![z]));
        }
        let Some(conv) = FusedConv2d::of(&*node.op) else { return Ok(None) };
        let y = node.outputs[0];
        if conv.pool || !pooled.contains(&y) {
            return Ok(None);
        }
        let inputs = cx.map_all(&node.inputs)?;
        let op = FusedConv2d { pool: true, ..conv };
        let outputs = cx.new.node_shared(node.label.clone(), Arc::new(op), &inputs)?;
        pooled_values.insert(y, outputs[1]);
        Ok(Some(outputs))
    })
}
