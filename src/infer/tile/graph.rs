//! The graph of a tile: from raw pixels to class ids and probabilities.

use crate::error::Result;
use crate::graph::Graph;
use crate::model::{Built, Interpreted, Model};
use crate::ops::{Concat, ExportNchw, Function, ImageIn, ImageInfo, MaskOut, MaskRule, Unary};
use crate::tensor::{Shape, TensorDesc};

pub(crate) const WINDOW: &str = "window";
pub(crate) const INFO: &str = "info";
pub(crate) const MASK: &str = "mask";
pub(crate) const PROBABILITY: &str = "probability";
pub(crate) const DECISION: &str = "decision";
pub(crate) const GEOMETRY: &str = "geometry";
pub(crate) const LOGITS: &str = "logits";

/// Outputs to read for a tile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TileOutputs {
    /// Probabilities of every class.
    pub probabilities: bool,
    /// The planes that decide the class, instead of the class.
    pub decision: bool,
    /// What the network predicts for instances; nothing for a network that predicts classes alone.
    pub geometry: bool,
}

/// Options of a tile's graph.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TileRequest {
    pub mask: bool,
    pub decision: bool,
    pub probabilities: bool,
    pub geometry: bool,
    /// The network's raw output.
    pub logits: bool,
}

/// A network's decision rule in terms of probabilities, if it decides on logits.
pub(crate) fn on_probabilities(built: &Built) -> MaskRule {
    match built.rule {
        // Convert a threshold on logits.
        MaskRule::Threshold(t) if built.decision != built.probability => MaskRule::Threshold(1.0 / (1.0 + (-t).exp())),
        rule => rule,
    }
}

/// Tiles that run together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileBatch {
    /// Number of tiles.
    pub tiles: usize,
    /// Rows and columns of each.
    pub shape: [usize; 2],
}

/// A network extended from a tile's pixels to its results.
pub(crate) struct TileGraph {
    pub graph: Graph,
    /// How probabilities, or the decision planes, become classes.
    pub rule: MaskRule,
}

/// From raw pixels to class ids, `planes` probabilities and geometry.
pub(crate) fn tile_graph(
    model: &Model,
    TileBatch { tiles, shape: [h, w] }: TileBatch,
    request: TileRequest,
    planes: usize,
) -> Result<TileGraph> {
    let channels = model.architecture.in_channels();
    let mut graph = Graph::new();
    let window = graph.input(WINDOW, TensorDesc::linear(Shape::new(tiles, channels, h, w)));
    let info = graph.input(INFO, TensorDesc::linear(Shape::new(tiles, 1, 1, ImageInfo::len(channels))));
    let x = graph.node("image", ImageIn { height: h, width: w }, &[window, info])?;
    let Interpreted { mut built, geometry } = model.build(&mut graph, x)?;
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
    if request.logits {
        let exported = graph.node("export logits", ExportNchw, &[built.logits])?;
        graph.output(LOGITS, exported);
    }
    if let Some(geometry) = geometry.filter(|_| request.geometry) {
        let exported = graph.node("export geometry", ExportNchw, &[geometry])?;
        graph.output(GEOMETRY, exported);
    }
    let rule = if request.decision { built.rule } else { on_probabilities(&built) };
    Ok(TileGraph { graph: graph.without_dead_nodes(), rule })
}
