//! What a network's outputs mean for segmentation, by what it was trained to predict for instances.

use super::blocks::sigmoid;
use super::{Architecture, Built, Model, built, whole_graph};
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};
use crate::ops::{Binary, BinaryKind, ChannelSlice, Concat, ExportNchw, Function, MaskRule, Softmax, Unary};
use crate::tensor::Shape;
use crate::weights::InstanceTarget;

/// A network's outputs as segmentation reads them.
pub(crate) struct Interpreted {
    /// Probabilities and decision of the classes of the model, not of the network's channels.
    pub built: Built,
    /// The planes of [`InstanceTarget::geometry`].
    pub geometry: Option<ValueId>,
}

impl Model {
    /// What the network predicts for instances besides classes, if anything.
    pub fn geometry(&self) -> Option<InstanceTarget> {
        self.metadata.target.filter(|t| t.geometry() > 0)
    }

    /// Number of classes of the mask, the background included.
    pub(super) fn class_count(&self) -> usize {
        match self.geometry() {
            Some(target) => 1 + target.classes(self.architecture.out_channels()).unwrap_or(1),
            None => self.architecture.classes(),
        }
    }

    /// Number of probability planes: those of the network, or for one that predicts geometry the foreground alone, and with
    /// several classes of instances one per class.
    pub fn planes(&self) -> usize {
        match (self.geometry(), self.class_count()) {
            (None, _) => self.architecture.out_channels(),
            (Some(_), 2) => 1,
            (Some(_), classes) => classes,
        }
    }

    /// Adds the network to a graph, read by its target.
    pub(crate) fn build(&self, graph: &mut Graph, x: ValueId) -> Result<Interpreted> {
        let built = self.architecture.build(graph, x)?;
        self.interpret(graph, built)
    }

    /// The network on its own, for an input of the smallest size, read by its target.
    pub(crate) fn built(&self) -> Result<(Graph, Interpreted)> {
        let (mut graph, built) = built(&*self.architecture, self.architecture.example())?;
        let interpreted = self.interpret(&mut graph, built)?;
        Ok((graph, interpreted))
    }

    /// The whole network with plain NCHW tensors at both ends, as [`whole_graph`] gives it. Of networks that predict geometry the
    /// outputs are the raw ones, and what they mean: `foreground` and `geometry`.
    pub fn whole_graph(&self, n: usize, h: usize, w: usize) -> Result<Graph> {
        let architecture = &*self.architecture;
        if !self.metadata.target.is_some_and(InstanceTarget::is_geometry) {
            return whole_graph(architecture, n, h, w);
        }
        let (mut graph, built) = built(architecture, Shape::new(n, architecture.in_channels(), h, w))?;
        // Softmax or sigmoid over planes of different kinds means nothing.
        let mut outputs = built.outputs.clone();
        outputs.retain(|o| o.0.starts_with("logits"));
        let Interpreted { built, geometry } = self.interpret(&mut graph, built)?;
        outputs.push(("foreground".into(), built.probability));
        outputs.extend(geometry.map(|v| ("geometry".into(), v)));
        for (name, v) in outputs {
            let exported = graph.node(format!("export {name}"), ExportNchw, &[v])?;
            graph.output(name, exported);
        }
        Ok(graph.without_dead_nodes())
    }

    fn interpret(&self, graph: &mut Graph, built: Built) -> Result<Interpreted> {
        match self.geometry() {
            None => Ok(Interpreted { built, geometry: None }),
            Some(InstanceTarget::Border) => border(graph, built),
            Some(target) => planes(graph, built, target, self.class_count()),
        }
    }

    /// Checks that the network's channels are those of its target.
    pub(super) fn check_target(&self) -> Result<()> {
        let Some(target) = self.metadata.target else { return Ok(()) };
        let wrong = |reason: String| Err(Error::file(&self.name, format!("`target`: {target} {reason}")));
        let (architecture, channels) = (&*self.architecture, self.architecture.out_channels());
        let Some(classes) = target.classes(channels) else {
            let more = if target.is_geometry() { ", and one for each class if there are several" } else { "" };
            return wrong(format!("needs {} output channels{more}; `out_channels` is {channels}", target.planes()));
        };
        if !is_family(architecture) && target.geometry() > 0 {
            return wrong(format!(
                "cannot be read from an {}; `unet convert` makes its own ONNX files checkpoints again",
                architecture.name()
            ));
        }
        let named = self.metadata.classes.len();
        if named > 0 && named != classes + 1 && target.geometry() > 0 {
            return wrong(format!(
                "with {channels} output channels has {} classes with the background; `classes` names {named}",
                classes + 1
            ));
        }
        let gated = architecture.config().get("cgm").and_then(serde_json::Value::as_bool) == Some(true);
        if gated && target.geometry() > 0 {
            return wrong("cannot be predicted behind a gate; `cgm` must be false".into());
        }
        if target == InstanceTarget::Border && self.architecture_rule()? != MaskRule::Argmax {
            return wrong("needs classes that exclude each other; `activation` must be softmax".into());
        }
        Ok(())
    }

    fn architecture_rule(&self) -> Result<MaskRule> {
        built(&*self.architecture, self.architecture.example()).map(|b| b.1.rule)
    }
}

/// Whether the network is built from a configuration, so that its raw outputs are known.
fn is_family(architecture: &dyn Architecture) -> bool {
    architecture.inner().is_none() && architecture.id() != "onnx"
}

fn slice(graph: &mut Graph, label: &str, x: ValueId, first: usize, count: usize) -> Result<ValueId> {
    graph.node(label, ChannelSlice { first, count }, &[x])
}

fn complement(graph: &mut Graph, label: &str, p: ValueId) -> Result<ValueId> {
    graph.node(label, Unary { kind: Function::HardSigmoid { alpha: -1.0, beta: 1.0 } }, &[p])
}

/// Foreground logit and geometry, then a logit per class of instances if there are several.
fn planes(graph: &mut Graph, built: Built, target: InstanceTarget, classes: usize) -> Result<Interpreted> {
    let z = built.logits;
    let logit = slice(graph, "foreground_logit", z, 0, 1)?;
    let p = sigmoid(graph, "foreground", logit)?;
    let (probability, rule) = match classes {
        2 => (p, MaskRule::Threshold(0.5)),
        _ => {
            let logits = slice(graph, "class_logits", z, target.planes(), classes - 1)?;
            let shares = graph.node("classes", Softmax, &[logits])?;
            let each = graph.node("foreground_by_class", Binary { kind: BinaryKind::Mul }, &[p, shares])?;
            let background = complement(graph, "background", p)?;
            (graph.node("class_planes", Concat, &[background, each])?, MaskRule::Foreground)
        }
    };
    let distance = slice(graph, "distance", z, 1, 1)?;
    let geometry = match target {
        InstanceTarget::Multi => {
            let logit = slice(graph, "border_logit", z, 2, 1)?;
            let border = sigmoid(graph, "border", logit)?;
            let offsets = slice(graph, "offsets", z, 3, 2)?;
            graph.node("geometry", Concat, &[distance, border, offsets])?
        }
        _ => distance,
    };
    let built = Built { probability, decision: probability, rule, ..built };
    Ok(Interpreted { built, geometry: Some(geometry) })
}

/// Classes background, inside and touching border: instances are both latter, the elevation is inside where no border is.
fn border(graph: &mut Graph, built: Built) -> Result<Interpreted> {
    let planes = built.probability;
    let background = slice(graph, "background", planes, 0, 1)?;
    let p = complement(graph, "foreground", background)?;
    let inside = slice(graph, "inside", planes, 1, 1)?;
    let border = slice(graph, "border", planes, 2, 1)?;
    let clear = complement(graph, "no_border", border)?;
    let elevation = graph.node("elevation", Binary { kind: BinaryKind::Mul }, &[inside, clear])?;
    let built = Built { probability: p, decision: p, rule: MaskRule::Threshold(0.5), ..built };
    Ok(Interpreted { built, geometry: Some(elevation) })
}
