//! A convolution reads the sources of a concatenation, and crops of them, in place: nothing is copied.

use crate::error::Result;
use crate::graph::{Graph, ValueId};
use crate::ops::{Concat, Conv2d, Crop2d, Source};
use std::sync::Arc;

/// `conv(concat(a, crop(b), ..))` as one convolution over several sources. Only unpadded
/// convolutions read crops in place: a padded one needs zeros around the crop.
pub fn rewrite(graph: &Graph) -> Result<Graph> {
    graph.rebuild(|cx, node| {
        let Some(conv) = node.op.as_op::<Conv2d>() else { return Ok(None) };
        if conv.sources != [Source::WHOLE] || conv.region.is_some() || conv.groups != 1 {
            return Ok(None);
        }
        let x = node.inputs[0];
        let parts: Vec<ValueId> = match cx.old.producer(x) {
            Some(p) if p.op.as_op::<Concat>().is_some() => p.inputs.clone(),
            _ => vec![x],
        };
        let uncrop = |v: ValueId| match cx.old.producer(v) {
            Some(p) if conv.padding == [0; 4] => {
                p.op.as_op::<Crop2d>().map(|c| (p.inputs[0], Source::at(c.top, c.left)))
            }
            _ => None,
        };
        let sources: Vec<(ValueId, Source)> = parts.iter().map(|&v| uncrop(v).unwrap_or((v, Source::WHOLE))).collect();
        if sources.len() == 1 && sources[0].0 == x {
            return Ok(None);
        }
        let s = cx.old.shape(x);
        let op = Conv2d { sources: sources.iter().map(|s| s.1).collect(), region: Some([s.h, s.w]), ..conv.clone() };
        let values: Vec<ValueId> = sources.iter().map(|s| s.0).chain(node.inputs[1..].iter().copied()).collect();
        let inputs = cx.map_all(&values)?;
        cx.new.node_shared(node.label.clone(), Arc::new(op), &inputs).map(Some)
    })
}
