//! A convolution reads the sources of a concatenation, and crops of them, in place: nothing is copied.

use crate::error::Result;
use crate::graph::{Graph, ValueId};
use crate::ops::{Concat, Conv2d, Corner, Crop2d, FusedConv2d, JoinedConv2d, Op, Source};
use std::sync::Arc;

/// `conv(concat(a, crop(b), ..))` as one convolution over several sources. Only unpadded
/// convolutions read crops in place: a padded one needs zeros around the crop.
pub(crate) fn rewrite(graph: &Graph) -> Result<Graph> {
    graph.rebuild(|cx, node| {
        let Some(fused) = FusedConv2d::of(&*node.op) else { return Ok(None) };
        let conv = &fused.conv;
        if fused.sources != [Source::WHOLE] || fused.region.is_some() || conv.groups != 1 {
            return Ok(None);
        }
        let x = node.inputs[0];
        let parts: Vec<ValueId> = match cx.old.producer(x) {
            Some(p) if p.op.as_op::<Concat>().is_some() => p.inputs.clone(),
            _ => vec![x],
        };
        let uncrop = |v: ValueId| match cx.old.producer(v) {
            Some(p) if conv.padding == [0; 4] => {
                p.op.as_op::<Crop2d>().map(|c| (p.inputs[0], Corner { top: c.top, left: c.left }))
            }
            _ => None,
        };
        let sources: Vec<(ValueId, Corner)> =
            parts.iter().map(|&v| uncrop(v).unwrap_or((v, Corner::default()))).collect();
        if sources.len() == 1 && sources[0].0 == x {
            return Ok(None);
        }
        let s = cx.old.shape(x);
        let region = Some([s.h, s.w]);
        let joined = JoinedConv2d { conv: conv.clone(), sources: sources.iter().map(|s| s.1).collect(), region };
        // In training nothing else is fused, and the convolution keeps its gradient.
        let op: Arc<dyn Op> = if node.op.as_op::<Conv2d>().is_some() {
            Arc::new(joined)
        } else {
            Arc::new(FusedConv2d { activation: fused.activation, pool: fused.pool, ..joined.into() })
        };
        let values: Vec<ValueId> = sources.iter().map(|s| s.0).chain(node.inputs[1..].iter().copied()).collect();
        let inputs = cx.map_all(&values)?;
        cx.new.node_shared(node.label.clone(), op, &inputs).map(Some)
    })
}
