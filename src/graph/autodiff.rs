//! Reverse-mode differentiation, as a graph function: the backward pass is more nodes of the same graph, written down by
//! each op's [`Op::backward`](crate::ops::Op::backward) and planned like any other.

use super::checkpointing::Recomputed;
use super::{Graph, ValueId};
use crate::error::{Error, Result};
use crate::ops::{Backward, Fill, GraphBuilder, Op, Sum};
use crate::tensor::{Layout, Shape, TensorDesc};
use std::sync::Arc;

/// Adds the backward pass of `loss`, a linear scalar; gives the gradient of each value of `requested`, `None` where the loss
/// does not depend on it.
pub fn differentiate(graph: &mut Graph, loss: ValueId, requested: &[ValueId]) -> Result<Vec<Option<ValueId>>> {
    of_loss(graph, loss, requested, Retain::All)
}

/// The same with activation checkpointing: activations inside the encoder's levels are not kept until the backward pass
/// reads them but computed again. The same bits, in less memory, for a part of the forward pass more.
pub fn differentiate_checkpointed(
    graph: &mut Graph,
    loss: ValueId,
    requested: &[ValueId],
) -> Result<Vec<Option<ValueId>>> {
    of_loss(graph, loss, requested, Retain::Checkpoints)
}

/// Which values of the forward pass the backward pass reads.
#[derive(Clone, Copy, PartialEq)]
enum Retain {
    All,
    Checkpoints,
}

fn of_loss(graph: &mut Graph, loss: ValueId, requested: &[ValueId], keep: Retain) -> Result<Vec<Option<ValueId>>> {
    let desc = graph.value(loss).desc;
    if desc.layout != Layout::Linear || desc.shape.len() != 1 {
        return Err(Error::op(&graph.value(loss).name, format!("a loss is a single number, this is {}", desc.shape)));
    }
    // What comes after the loss has no part in it.
    let nodes = graph.nodes().len();
    let one = graph.node("grad.one", Fill { shape: Shape::new(1, 1, 1, 1), value: 1.0 }, &[])?;
    backward(graph, nodes, &[(loss, one)], requested, keep)
}

/// The same from the gradients of any values: pairs of a value and its gradient, of its shape and layout. Contributions to
/// a gradient are added up in the order of the forward nodes, last first: the same bits every time.
pub fn differentiate_from(
    graph: &mut Graph,
    seeds: &[(ValueId, ValueId)],
    requested: &[ValueId],
) -> Result<Vec<Option<ValueId>>> {
    let nodes = graph.nodes().len();
    backward(graph, nodes, seeds, requested, Retain::All)
}

/// The backward pass of the first `nodes` nodes.
fn backward(
    graph: &mut Graph,
    nodes: usize,
    seeds: &[(ValueId, ValueId)],
    requested: &[ValueId],
    keep: Retain,
) -> Result<Vec<Option<ValueId>>> {
    let needed = dependants(graph, requested);
    let mut recomputed = match keep {
        Retain::All => Recomputed::default(),
        Retain::Checkpoints => Recomputed::encoder(graph, &needed),
    };
    let mut pass = Pass { parts: vec![Vec::new(); graph.values().len()], label: String::new(), graph };
    for &(value, grad) in seeds {
        let (expected, got) = (pass.graph.value(value).desc, pass.graph.value(grad).desc);
        if expected != got {
            return Err(Error::op(
                &pass.graph.value(value).name,
                format!("the gradient of a {expected:?} is a {got:?}"),
            ));
        }
        pass.parts[value.index()].push(grad);
    }
    for i in (0..nodes).rev() {
        let node = pass.graph.nodes()[i].clone();
        if !node.outputs.iter().any(|o| needed[o.index()] && !pass.parts[o.index()].is_empty()) {
            continue;
        }
        pass.label.clone_from(&node.label);
        let grads = node.outputs.iter().map(|&o| pass.total(o)).collect::<Result<Vec<_>>>()?;
        let needs_grad: Vec<bool> = node.inputs.iter().map(|v| needed[v.index()]).collect();
        let mut stored = |v: &ValueId| recomputed.stored(pass.graph, *v);
        let inputs = node.inputs.iter().map(&mut stored).collect::<Result<Vec<_>>>()?;
        let outputs = node.outputs.iter().map(&mut stored).collect::<Result<Vec<_>>>()?;
        let backward = Backward { inputs: &inputs, outputs: &outputs, grads: &grads, needs_grad: &needs_grad };
        let builder: &mut dyn GraphBuilder = &mut pass;
        let parts = node.op.backward(&backward, builder).map_err(|e| Error::op(&node.label, e.to_string()))?;
        if parts.len() != node.inputs.len() {
            let reason = format!("{} gradients for {} inputs", parts.len(), node.inputs.len());
            return Err(Error::op(&node.label, reason));
        }
        for (&input, part) in node.inputs.iter().zip(parts).filter(|(v, _)| needed[v.index()]) {
            let Some(part) = part else { continue };
            let (expected, got) = (pass.graph.value(input).desc, pass.graph.value(part).desc);
            if expected != got {
                let reason = format!("the gradient of a {expected:?} is a {got:?}");
                return Err(Error::op(&node.label, reason));
            }
            pass.parts[input.index()].push(part);
        }
    }
    requested
        .iter()
        .map(|&v| {
            pass.label.clone_from(&pass.graph.value(v).name);
            pass.total(v)
        })
        .collect()
}

/// Which values depend on one of `requested`.
fn dependants(graph: &Graph, requested: &[ValueId]) -> Vec<bool> {
    let mut depends = vec![false; graph.values().len()];
    requested.iter().for_each(|v| depends[v.index()] = true);
    for node in graph.nodes() {
        if node.inputs.iter().any(|v| depends[v.index()]) {
            node.outputs.iter().for_each(|v| depends[v.index()] = true);
        }
    }
    depends
}

/// A backward pass being written.
struct Pass<'a> {
    graph: &'a mut Graph,
    /// Contributions to the gradient of each value of the forward graph.
    parts: Vec<Vec<ValueId>>,
    /// The forward node or value that new nodes are named after.
    label: String,
}

impl Pass<'_> {
    /// The gradient of a value: the sum of what its readers contributed.
    fn total(&mut self, v: ValueId) -> Result<Option<ValueId>> {
        let parts = std::mem::take(&mut self.parts[v.index()]);
        let total = match parts[..] {
            [] => return Ok(None),
            [one] => one,
            _ => {
                let builder: &mut dyn GraphBuilder = self;
                builder.node("grad", Sum { inputs: parts.len() }, &parts)?
            }
        };
        self.parts[v.index()].push(total);
        Ok(Some(total))
    }
}

impl GraphBuilder for Pass<'_> {
    fn desc(&self, value: ValueId) -> TensorDesc {
        self.graph.value(value).desc
    }

    fn builder(&mut self, what: &str, op: Arc<dyn Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>> {
        self.graph.node_shared(format!("{}.{what}", self.label), op, inputs)
    }
}
