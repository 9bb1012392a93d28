//! Activation checkpointing (Chen et al., "Training deep nets with sublinear memory cost", 2016): the backward pass
//! recomputes activations of the encoder just before it needs them, so they are not stored through the decoder.

use super::{Graph, ValueId};
use crate::error::Result;
use crate::ops::MaxPool2d;
use std::collections::HashMap;

/// The values that are not stored for the backward pass, and the recomputed copies requested so far.
#[derive(Debug, Default)]
pub(super) struct Recomputed {
    /// By value: the forward node that recomputes it, if it is not stored.
    producers: HashMap<ValueId, usize>,
    again: HashMap<ValueId, ValueId>,
}

impl Recomputed {
    /// The insides of the encoder's levels: values above some max-pooling that one node alone reads, which depend on a
    /// parameter (`trained`, by value). Results of poolings and values that are read twice (the skips) are stored: from
    /// them, a few layers recompute any value between.
    pub(super) fn encoder(graph: &Graph, trained: &[bool]) -> Self {
        let uses = graph.uses();
        let mut above_pool = vec![false; graph.values().len()];
        let mut producers = HashMap::new();
        for (i, node) in graph.nodes().iter().enumerate().rev() {
            let above = node.op.as_op::<MaxPool2d>().is_some() || node.outputs.iter().any(|v| above_pool[v.index()]);
            if !above {
                continue;
            }
            node.inputs.iter().for_each(|v| above_pool[v.index()] = true);
            let stored = node.op.as_op::<MaxPool2d>().is_some() || !node.op.updates().is_empty();
            let inside = |v: &ValueId| !stored && trained[v.index()] && uses[v.index()] <= 1 && above_pool[v.index()];
            // A node is rerun as a whole, with its other outputs, such as batch statistics.
            if node.outputs.first().is_some_and(inside) {
                producers.extend(node.outputs.iter().map(|&v| (v, i)));
            }
        }
        Self { producers, again: HashMap::new() }
    }

    /// The value that a gradient may read for `v`: itself if it is stored, else its recomputed copy, which is added
    /// with its dependencies at the first request.
    pub(super) fn stored(&mut self, graph: &mut Graph, v: ValueId) -> Result<ValueId> {
        let Some(&producer) = self.producers.get(&v) else { return Ok(v) };
        if let Some(&again) = self.again.get(&v) {
            return Ok(again);
        }
        // Not recursive: a level may have any length.
        let mut stack = vec![producer];
        while let Some(&i) = stack.last() {
            let node = graph.nodes()[i].clone();
            let missing = |v: &&ValueId| self.producers.contains_key(v) && !self.again.contains_key(v);
            if let Some(next) = node.inputs.iter().find(missing) {
                stack.push(self.producers[next]);
                continue;
            }
            stack.pop();
            let inputs: Vec<_> = node.inputs.iter().map(|v| self.again.get(v).copied().unwrap_or(*v)).collect();
            let outputs = graph.node_shared(format!("{}.again", node.label), node.op.clone(), &inputs)?;
            self.again.extend(node.outputs.iter().copied().zip(outputs));
        }
        Ok(self.again[&v])
    }
}
