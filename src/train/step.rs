//! A training step as a graph: forward, loss, backward and optimiser, with the parameters as states of it.

use crate::error::{Error, Result};
use crate::graph::{DropoutAt, Graph, ValueId, differentiate, differentiate_checkpointed, training};
use crate::ops::{Accumulate, ClipFactor, Hyper, OptimiserKind, OptimiserStep, SquaredNorm, Sum};
use crate::tensor::TensorDesc;
use std::sync::Arc;

/// Name of the output that is the loss.
pub const LOSS: &str = "loss";
/// Name of the input with what changes from step to step: [`Hyper`].
pub const HYPER: &str = "hyper";
/// What the names of accumulated gradients begin with.
pub const ACCUMULATED: &str = "accumulated/";
/// What the names of gradients, where they are outputs, begin with.
pub const GRADIENT: &str = "grad/";

/// How parameters change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOptions {
    /// The optimiser.
    pub optimiser: OptimiserKind,
    /// Largest common norm of the gradients.
    pub clip: Option<f32>,
    /// Whether gradients of several batches can be added up before parameters change.
    pub accumulate: bool,
    /// Whether the encoder's activations are computed again for the backward pass, not kept: the same numbers in less memory.
    pub checkpointing: bool,
    /// Whether gradients are outputs, as `grad/<parameter>`.
    pub gradients: bool,
}

/// The name of moment `i`, 1 or 2, of a parameter.
pub fn moment(i: usize, parameter: &str) -> String {
    format!("moment{i}/{parameter}")
}

/// The training step of a network in evaluation mode whose output [`LOSS`] is the loss, a linear scalar. Further outputs stay,
/// as they are in training mode.
pub fn step_graph(network: &Graph, dropouts: &[DropoutAt], options: &StepOptions) -> Result<Graph> {
    let mut graph = training(network, dropouts)?;
    let loss = graph.outputs().iter().find(|o| o.0 == LOSS).map(|o| o.1);
    let loss = loss.ok_or_else(|| Error::invalid("training step", "the network has no output `loss`"))?;
    let parameters = graph.trainable();
    let differentiate = if options.checkpointing { differentiate_checkpointed } else { differentiate };
    let grads = differentiate(&mut graph, loss, &parameters)?;
    let hyper = graph.input(HYPER, TensorDesc::linear(Hyper::SHAPE));
    let mut trained: Vec<(ValueId, ValueId)> = Vec::new();
    // What the loss does not depend on stays as it is.
    for (parameter, grad) in parameters.into_iter().zip(grads).filter_map(|(p, g)| Some((p, g?))) {
        let name = graph.value(parameter).name.clone();
        if options.gradients {
            graph.output(format!("{GRADIENT}{name}"), grad);
        }
        let mut grad = grad;
        if options.accumulate {
            let sum = graph.variable(format!("{ACCUMULATED}{name}"), &dims(&graph, parameter))?;
            grad = graph.node(format!("{name}.accumulate"), Accumulate, &[grad, hyper, sum])?;
            graph.update(sum, grad)?;
        }
        trained.push((parameter, grad));
    }
    let clip = match options.clip {
        Some(max) => Some(clip_factor(&mut graph, &trained, hyper, max)?),
        None => None,
    };
    for (parameter, grad) in trained {
        let name = graph.value(parameter).name.clone();
        let mut inputs = vec![grad, hyper];
        inputs.extend(clip);
        let first = inputs.len();
        inputs.push(parameter);
        for i in 1..=options.optimiser.moments() {
            inputs.push(graph.variable(moment(i, &name), &dims(&graph, parameter))?);
        }
        let op = Arc::new(OptimiserStep { kind: options.optimiser, clip: clip.is_some() });
        let next = graph.node_shared(format!("{name}.step"), op, &inputs)?;
        for (&state, next) in inputs[first..].iter().zip(next) {
            graph.update(state, next)?;
        }
    }
    Ok(graph.without_dead_nodes())
}

/// Dimensions of a state, as in the checkpoint.
fn dims(graph: &Graph, state: ValueId) -> Vec<usize> {
    match &graph.value(state).kind {
        crate::graph::ValueKind::Variable(dims) => dims.clone(),
        _ => graph.shape(state).dims().to_vec(),
    }
}

/// The factor that brings all gradients' common norm down to `max`.
fn clip_factor(graph: &mut Graph, trained: &[(ValueId, ValueId)], hyper: ValueId, max: f32) -> Result<ValueId> {
    let mut squares = Vec::with_capacity(trained.len());
    for (parameter, grad) in trained {
        let label = format!("{}.squared_norm", graph.value(*parameter).name);
        squares.push(graph.node(label, SquaredNorm, &[*grad])?);
    }
    let total = match squares[..] {
        [one] => one,
        _ => graph.node("squared_norm", Sum { inputs: squares.len() }, &squares)?,
    };
    graph.node("clip", ClipFactor { max }, &[total, hyper])
}
