//! The graph that a tile runs: raw pixels in, class ids and probabilities out.

use crate::error::Result;
use crate::graph::Graph;
use crate::model::{Built, Model};
use crate::ops::{Concat, ExportNchw, Function, ImageIn, ImageInfo, MaskOut, MaskRule, Unary};
use crate::tensor::{Shape, TensorDesc};

pub(super) const WINDOW: &str = "window";
pub(super) const INFO: &str = "info";
pub(super) const MASK: &str = "mask";
pub(super) const PROBABILITY: &str = "probability";
pub(super) const DECISION: &str = "decision";

/// What is read of a tile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TileOutputs {
    /// Probabilities of every class.
    pub probabilities: bool,
    /// What the class is decided on, in place of the class.
    pub decision: bool,
}

/// What a tile's graph gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileRequest {
    pub mask: bool,
    pub decision: bool,
    pub probabilities: bool,
}

/// A network's rule, for probabilities where it decides on something else.
pub(super) fn on_probabilities(built: &Built) -> MaskRule {
    match built.rule {
        // A threshold of logits.
        MaskRule::Threshold(t) if built.decision != built.probability => MaskRule::Threshold(1.0 / (1.0 + (-t).exp())),
        rule => rule,
    }
}

/// Raw pixels in, class ids and `planes` probabilities out, for `batch` tiles of one shape; and how probabilities become
/// classes.
pub(super) fn tile_graph(
    model: &Model,
    (batch, [h, w]): (usize, [usize; 2]),
    request: TileRequest,
    planes: usize,
) -> Result<(Graph, MaskRule)> {
    let channels = model.architecture.in_channels();
    let mut graph = Graph::new();
    let window = graph.input(WINDOW, TensorDesc::linear(Shape::new(batch, channels, h, w)));
    let info = graph.input(INFO, TensorDesc::linear(Shape::new(batch, 1, 1, ImageInfo::len(channels))));
    let x = graph.node("image", ImageIn { height: h, width: w }, &[window, info])?;
    let mut built = model.architecture.build(&mut graph, x)?;
    if planes == 2 && graph.shape(built.probability).c == 1 {
        let complement = Unary { kind: Function::HardSigmoid { alpha: -1.0, beta: 1.0 } };
        let background = graph.node("background", complement, &[built.probability])?;
        let both = graph.node("class planes", Concat, &[background, built.probability])?;
        (built.probability, built.decision, built.rule) = (both, both, MaskRule::Argmax);
    }
    if request.mask {
        let mask = graph.node("mask", MaskOut { rule: built.rule }, &[built.decision])?;
        graph.output(MASK, mask);
    }
    if request.decision {
        let exported = graph.node("export decision", ExportNchw, &[built.decision])?;
        graph.output(DECISION, exported);
    }
    if request.probabilities {
        let exported = graph.node("export probability", ExportNchw, &[built.probability])?;
        graph.output(PROBABILITY, exported);
    }
    let rule = if request.decision { built.rule } else { on_probabilities(&built) };
    Ok((graph.without_dead_nodes(), rule))
}
