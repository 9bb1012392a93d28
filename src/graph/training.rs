//! From a network as it is used to the same in training: parameters become states, batch normalisation takes statistics of
//! the batch, dropout appears.

use super::{Graph, ParamSource, Parameter, ValueId, ValueKind, rewrite};
use crate::error::{Error, Result};
use crate::ops::{BatchNorm2d, BatchNorm2dTrain, Dropout, Function, MovingAverage, Unary};
use crate::tensor::TensorDesc;
use std::sync::Arc;

/// Name of the input that seeds dropout; there if the network has any.
pub const DROPOUT_SEED: &str = "dropout_seed";

/// PyTorch's momentum of running statistics.
pub const BN_MOMENTUM: f32 = 0.1;

/// Where a network drops elements out in training.
#[derive(Clone, Debug, PartialEq)]
pub struct DropoutAt {
    /// Label of a node.
    pub node: String,
    /// Whether the node's first input is dropped, for that node alone, or its first output, for all readers.
    pub input: bool,
    /// Probability.
    pub p: f32,
}

/// The graph in training mode. Parameters keep their names; running statistics are updated by every run. Concatenation
/// disappears as it does in inference, the other rewrites do not apply.
pub fn training(graph: &Graph, dropouts: &[DropoutAt]) -> Result<Graph> {
    let graph = rewrite::join_sources::rewrite(graph)?.with_variables()?;
    let uses = graph.uses();
    // A batch normalisation whose only reader is an activation that follows from a sign.
    let fused = |v: ValueId| {
        let reader = graph.nodes().iter().find(|n| n.inputs.contains(&v))?;
        let kind = reader.op.as_op::<Unary>()?.kind;
        let possible = kind != Function::Identity && kind.is_piecewise_linear();
        (uses[v.index()] == 1 && possible).then_some(kind)
    };
    let mut seed = None;
    let mut salt = 0;
    for d in dropouts.iter().filter(|d| d.p > 0.0) {
        if !graph.nodes().iter().any(|n| n.label == d.node) {
            return Err(Error::op(&d.node, "dropout is asked for at a node that is not there"));
        }
    }
    graph.rebuild(|cx, node| {
        let mut dropped = |cx: &mut super::Rebuild<'_>, v: ValueId, p: f32| -> Result<ValueId> {
            let shape = TensorDesc::linear(Dropout::SEED);
            let seed = *seed.get_or_insert_with(|| cx.new.input(DROPOUT_SEED, shape));
            salt += 1;
            cx.new.node(format!("{}.dropout", node.label), Dropout { p, salt }, &[v, seed])
        };
        let find = |input: bool| dropouts.iter().find(|d| d.p > 0.0 && d.input == input && d.node == node.label);
        let first = node.inputs.first().copied();
        if let Some(bn) = node.op.as_op::<BatchNorm2d>() {
            let inputs = cx.map_all(&node.inputs)?;
            let [x, gamma, beta, mean, var] = inputs[..] else { return Ok(None) };
            let s = cx.new.shape(x);
            let count = (s.n * s.pixels()) as f32;
            if count < 2.0 {
                return Err(Error::op(&node.label, format!("batch normalisation of {s}: one value has no variance")));
            }
            let activation = fused(node.outputs[0]).unwrap_or_default();
            let op = Arc::new(BatchNorm2dTrain { eps: bn.eps, activation });
            let out = cx.new.node_shared(node.label.clone(), op, &[x, gamma, beta])?;
            for (name, variable, batch, factor) in
                [("mean", mean, out[1], 1.0), ("var", var, out[2], count / (count - 1.0))]
            {
                let op = MovingAverage { momentum: BN_MOMENTUM, factor };
                let next = cx.new.node(format!("{}.running_{name}", node.label), op, &[variable, batch])?;
                cx.new.update(variable, next)?;
            }
            return Ok(Some(vec![out[0]]));
        }
        let behind_norm = first.and_then(|v| graph.producer(v)).is_some_and(|n| n.op.as_op::<BatchNorm2d>().is_some());
        let mut outputs = match (node.op.as_op::<Unary>(), first) {
            (Some(_), Some(v)) if behind_norm && fused(v).is_some() => vec![cx.map(v)?],
            _ => {
                let mut inputs = cx.map_all(&node.inputs)?;
                if let Some(d) = find(true) {
                    inputs[0] = dropped(cx, inputs[0], d.p)?;
                }
                cx.new.node_shared(node.label.clone(), node.op.clone(), &inputs)?
            }
        };
        if let Some(d) = find(false) {
            outputs[0] = dropped(cx, outputs[0], d.p)?;
        }
        Ok(Some(outputs))
    })
}

/// Whether a parameter is a running statistic: it is not trained.
pub fn is_statistic(name: &str) -> bool {
    name.ends_with("running_mean") || name.ends_with("running_var")
}

impl Graph {
    /// The same with every parameter of the checkpoint a state.
    fn with_variables(&self) -> Result<Graph> {
        let mut graph = self.clone();
        for value in &mut graph.values {
            if let ValueKind::Parameter(Parameter { dims, source }) = &value.kind {
                match source {
                    ParamSource::Stored => value.kind = ValueKind::Variable(dims.clone()),
                    ParamSource::Derived(_) => {
                        return Err(Error::op(&value.name, "is computed from other parameters and cannot be trained"));
                    }
                }
            }
        }
        Ok(graph)
    }

    /// States that are trained: all but running statistics and what is not a parameter.
    pub fn trainable(&self) -> Vec<ValueId> {
        let is_variable = |v: &ValueId| matches!(self.value(*v).kind, ValueKind::Variable(_));
        self.ids().filter(is_variable).filter(|&v| !is_statistic(&self.value(v).name)).collect()
    }
}
