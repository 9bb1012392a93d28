//! An ONNX file's network as an architecture.

use super::Why;
use super::ending::{Decision, Ending};
use super::parts::Parts;
use super::quantised::real_form;
use super::range;
use super::translate::{NODE_COST, Translated, describe, translate};
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId, footprint};
use crate::model::dialect::{Origin, Report, Setting};
use crate::model::{Architecture, Built, INPUT, SizeRule};
use crate::ops::ImportNchw;
use crate::tensor::{Shape, TensorDesc};
use crate::weights::{Normalisation, Weights};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a file leaves open, and what may be wanted otherwise than assumed. What is absent is found out as said.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnnxOptions {
    /// The output that segmentation uses. Of those with rows and columns the first of the largest, if absent; if that is
    /// ArgMax's, what ArgMax reads.
    pub output: Option<String>,
    /// What makes probabilities of that output. If absent it is worked out from the bounds of the file's own arithmetic:
    /// nothing where the output is a probability, else a sigmoid for one channel and a softmax for several.
    pub activation: Option<Ending>,
    /// Takes a file with fixed rows and columns for one that would do with any: exact where all its layers do.
    pub free_size: bool,
    /// Channels of the input, where the file does not say.
    pub in_channels: Option<usize>,
    /// What becomes of pixels; whole numbers divided by the largest of their type if absent.
    pub normalisation: Option<Normalisation>,
}

impl OnnxOptions {
    /// From `key=value` settings of the command line or of a program.
    pub fn from_settings(set: &Map<String, Value>) -> Result<Self> {
        let mut set = set.clone();
        let normalisation = set.remove("normalisation").map(|v| Normalisation::from_setting(&v)).transpose()?;
        let options = Self::deserialize(&Value::Object(set)).map_err(|e| {
            let activations = Ending::SETTINGS;
            let known = format!("output, activation ({activations}), free_size, in_channels, normalisation");
            Error::invalid("--set", format!("{e}; an ONNX file takes: {known}"))
        })?;
        Ok(Self { normalisation, ..options })
    }
}

/// The network of an ONNX file. It is translated anew for every input shape, so rows and columns may be any that the file's
/// own arithmetic on shapes allows.
#[derive(Clone, Debug)]
pub struct OnnxNetwork {
    parts: Arc<Parts>,
    /// The output that segmentation uses, and the value that classes are decided on.
    output: String,
    decision: String,
    ending: Decision,
    rule: SizeRule,
    fixed: [Option<usize>; 2],
    out_channels: usize,
}

/// Largest size that is tried when a network's size rule is looked for.
const PROBED: usize = 512;
/// What that may cost, as [`Translated::cost`] counts: some hundred translations of the largest networks.
const SEARCH: u64 = 1 << 28;

impl OnnxNetwork {
    /// Understands a file's network: translates it for one size, and finds out which others it takes.
    pub(super) fn new(parts: Parts, weights: &Weights, options: &OnnxOptions) -> Result<Self, Why> {
        let [_, _, h, w] = parts.dims;
        let fixed = if options.free_size { [None; 2] } else { [h, w] };
        let mut network = Self {
            parts: Arc::new(parts),
            output: String::new(),
            decision: String::new(),
            ending: Decision::set(Ending::Sigmoid),
            rule: SizeRule { minimum: 1, step: 1, margin: 0 },
            fixed,
            out_channels: 1,
        };
        // A size that every network of the family takes, unless a file asks for its own.
        let at = [fixed[0].or(h).unwrap_or(PROBED), fixed[1].or(w).unwrap_or(PROBED)];
        let (graph, translated) = network.translate_at(at)?;
        network.choose_output(&graph, &translated, options)?;
        let (probe, align) = network.probe(at)?;
        network.out_channels = probe.out.c;
        network.ending = match options.activation {
            Some(ending) => Decision::set(ending),
            None => network.decided(weights, at)?,
        };
        network.rule = network.find_rule(at, &probe, align)?;
        Ok(network)
    }

    /// Small constants that became no parameter, such as scales of a resize: they are no weights.
    pub(super) fn without_arithmetic(mut self, weights: &mut Weights) -> Result<Self, Why> {
        let s = self.example();
        let (graph, _) = self.translate_at([s.h, s.w])?;
        let used: std::collections::HashSet<&str> = graph.parameters().map(|p| p.0).collect();
        let idle: Vec<String> = weights.keys().filter(|k| !used.contains(k)).map(String::from).collect();
        let parts = Arc::make_mut(&mut self.parts);
        idle.iter().filter(|name| parts.forget(name)).for_each(|name| drop(weights.remove(name)));
        Ok(self)
    }

    /// Pictures in a batch: as many as the file fixes, else 1.
    fn batch(&self) -> usize {
        self.parts.dims[0].unwrap_or(1)
    }

    fn channels(&self) -> usize {
        self.parts.dims[1].unwrap_or(1)
    }

    /// The graph for an input of so many rows and columns, not yet with outputs.
    fn translate_at(&self, [h, w]: [usize; 2]) -> Result<(Graph, Translated), Why> {
        self.translated(Shape::new(self.batch(), self.channels(), h, w))
    }

    fn translated(&self, s: Shape) -> Result<(Graph, Translated), Why> {
        let mut graph = Graph::new();
        let x = graph.input(INPUT, TensorDesc::linear(s));
        let x = graph.node("import", ImportNchw, &[x])?;
        let translated = translate(&self.parts, &mut graph, x, &self.decision).map_err(|f| Why(describe(&f)))?;
        Ok((graph, translated))
    }

    /// Chooses the output that segmentation uses, and what is behind it.
    fn choose_output(&mut self, graph: &Graph, translated: &Translated, options: &OnnxOptions) -> Result<(), Why> {
        let found = &translated.outputs;
        let names = || found.iter().map(|o| o.0.as_str()).collect::<Vec<_>>().join(", ");
        let picture = |v: ValueId| graph.shape(v).pixels();
        self.output = match &options.output {
            Some(name) => {
                let known = found.iter().any(|o| o.0 == *name);
                known.then(|| name.clone()).ok_or_else(|| format!("has no output `{name}`, only {}", names()))?
            }
            None => {
                let most = found.iter().map(|o| picture(o.1)).max().filter(|&n| n > 1);
                let most = most.ok_or_else(|| Why::from(format!("none of its outputs ({}) is a picture", names())))?;
                found.iter().find(|o| picture(o.1) == most).map(|o| o.0.clone()).unwrap_or_default()
            }
        };
        let real = real_form(&self.output);
        let real = self.parts.is_made(&real).then_some(real);
        self.decision = self.before(&self.output, "ArgMax").or(real).unwrap_or_else(|| self.output.clone());
        Ok(())
    }

    /// What the node `op` reads, if `name` is its result or that in other words.
    fn before(&self, name: &str, op: &str) -> Option<String> {
        let node = self.ending_node(name)?;
        if node.op_type == op { node.input.first().cloned() } else { None }
    }

    /// The last node that makes more of `name` than another shape or type.
    fn ending_node(&self, name: &str) -> Option<&super::proto::NodeProto> {
        let mut node = self.parts.producer_of(name)?;
        // Nodes are in order, so this ends.
        while matches!(
            &node.op_type[..],
            "Identity" | "Cast" | "Squeeze" | "Unsqueeze" | "Reshape" | "Transpose" | "Flatten" | "Dropout"
        ) {
            node = self.parts.producer_of(node.input.first()?)?;
        }
        Some(node)
    }

    /// What the output is, as the file's arithmetic shows.
    fn decided(&self, weights: &Weights, at: [usize; 2]) -> Result<Decision, Why> {
        let (graph, translated) = self.translate_at(at)?;
        Ok(Decision::of(&range::read(&graph, weights, translated.decision), self.out_channels))
    }

    /// What the file leaves open and was assumed; `normalisation` is what becomes of pixels, if the file does not say it.
    pub fn report(&self, normalisation: Option<&Normalisation>, set: bool) -> Report {
        let mut settings = vec![self.ending.setting()];
        if let Some(rule) = normalisation {
            let origin = if set { Origin::Set } else { Origin::Assumed(self.parts.pixels()) };
            settings.push(Setting { key: "normalisation".into(), value: json!(rule), origin });
        }
        let mut notes = self.parts.notes.clone();
        if self.parts.outputs.len() > 1 {
            notes.push(format!(
                "of its outputs {} the classes are of `{}`",
                self.parts.outputs.join(", "),
                self.output
            ));
        }
        Report { settings, notes, ..Report::new("ONNX") }
    }

    /// Whether what follows the output is what this program's own networks have.
    pub fn is_plain(&self) -> bool {
        self.ending.of_logits()
    }

    /// What becomes of an input of that size, and by how many rows and columns it can be shifted, if that is known.
    fn probe(&self, at: [usize; 2]) -> Result<(Probe, Option<[usize; 2]>), Why> {
        let (graph, translated) = self.translate_at(at)?;
        let align = |axis| {
            let input = graph.inputs().next()?.1;
            footprint(&graph, input, translated.decision, axis).ok().map(|f| f.align)
        };
        let align = align(0).zip(align(1)).map(|(rows, columns)| [rows, columns]);
        Ok((Probe::of(at, &graph, translated.decision), align))
    }

    /// Which sizes the network takes. Fixed rows and columns are the only ones. Else: the distance is that by which pooling
    /// and the like shift exactly, worked out from the graph; where the graph depends on the whole picture, the smallest power
    /// of two whose odd multiples translate. Of all sizes modulo that distance those that lose the fewest pixels; the
    /// smallest is the first that translates.
    fn find_rule(&self, first: [usize; 2], probe: &Probe, align: Option<[usize; 2]>) -> Result<SizeRule, Why> {
        let size = |n: usize| [self.fixed[0].unwrap_or(n), self.fixed[1].unwrap_or(n)];
        if let [Some(h), Some(w)] = self.fixed {
            let margin = probe.margin().ok_or_else(|| probe.unfit(first))?;
            let step = align.map_or(1, |a| a[0].max(a[1]));
            return Ok(SizeRule { minimum: h.max(w), step, margin });
        }
        let free = usize::from(self.fixed[0].is_some());
        let align = align.map(|a| if self.fixed == [None; 2] { a[0].max(a[1]) } else { a[free] });
        let left = Cell::new(SEARCH);
        let lost = |n: usize| {
            if left.get() == 0 {
                return None;
            }
            let (graph, translated) = self.translate_at(size(n)).ok().or_else(|| {
                left.set(left.get().saturating_sub(self.parts.nodes.len() as u64 * NODE_COST));
                None
            })?;
            left.set(left.get().saturating_sub(translated.cost));
            Probe::of(size(n), &graph, translated.decision).margin()
        };
        let step = match align {
            Some(step) => step,
            None => {
                let works = |s: usize| {
                    let odd = (64 / s) | 1;
                    [odd, odd + 2, odd + 4].iter().all(|m| lost(m * s) == Some(0))
                };
                let found = (0..9).map(|k| 1 << k).find(|&s| works(s));
                found.ok_or_else(|| {
                    Why::from("no rule was found for the sizes it takes; fix rows and columns in the file")
                })?
            }
        };
        let base = PROBED.next_multiple_of(step);
        let best = match lost(base) {
            Some(0) => Some((0, 0)),
            _ => (0..step).filter_map(|r| Some((lost(base + r)?, r))).min(),
        };
        let (margin, remainder) = match best {
            Some(found) => found,
            None if left.get() > 0 => return Err(probe.unfit(first)),
            None => (0, 0),
        };
        let sizes = (0..).map(|k| remainder + k * step).filter(|&n| n > 2 * margin);
        let minimum = sizes.take_while(|&n| n <= base + remainder && left.get() > 0).find(|&n| lost(n) == Some(margin));
        if left.get() == 0 {
            return Err("which sizes it takes is not found in reasonable time; fix rows and columns in the file".into());
        }
        // A network that enlarges or shrinks loses another number of pixels at the next size.
        let minimum = minimum.filter(|&n| lost(n + step) == Some(margin)).ok_or_else(|| probe.unfit(first))?;
        Ok(SizeRule { minimum, step, margin })
    }
}

/// What a network makes of an input size.
struct Probe {
    out: Shape,
    lost: [Option<usize>; 2],
}

impl Probe {
    fn of(at: [usize; 2], graph: &Graph, decision: ValueId) -> Self {
        let out = graph.shape(decision);
        Self { out, lost: [at[0].checked_sub(out.h), at[1].checked_sub(out.w)] }
    }

    /// Pixels lost on every side.
    fn margin(&self) -> Option<usize> {
        match self.lost {
            [Some(a), Some(b)] if a == b && a % 2 == 0 => Some(a / 2),
            _ => None,
        }
    }

    fn unfit(&self, [h, w]: [usize; 2]) -> Why {
        let Shape { h: oh, w: ow, .. } = self.out;
        format!("makes {oh}x{ow} pixels of {h}x{w}: that is not the same margin less on every side").into()
    }
}

impl Architecture for OnnxNetwork {
    fn id(&self) -> &'static str {
        "onnx"
    }

    fn name(&self) -> &'static str {
        "ONNX network"
    }

    fn in_channels(&self) -> usize {
        self.channels()
    }

    fn out_channels(&self) -> usize {
        self.out_channels
    }

    fn classes(&self) -> usize {
        self.ending.classes(self.out_channels)
    }

    fn config(&self) -> Value {
        let p = &self.parts;
        json!({
            "producer": p.producer,
            "opset": p.opset,
            "input": p.input,
            "channels_last": p.channels_last,
            "batch": p.dims[0],
            "rows": self.fixed[0],
            "columns": self.fixed[1],
            "outputs": p.outputs,
            "output": self.output,
            "activation": self.ending.ending.name(),
            "nodes": p.nodes.len(),
        })
    }

    fn size_rule(&self) -> SizeRule {
        self.rule
    }

    fn fixed_size(&self) -> [Option<usize>; 2] {
        self.fixed
    }

    fn output_dims(&self, s: Shape) -> Result<BTreeMap<String, Vec<usize>>> {
        let translated = self.translated(s).map_err(|why| Error::invalid(format!("input {s}"), why.0))?.1;
        Ok(translated.dims.into_iter().filter(|d| d.1.len() != 4).collect())
    }

    fn example(&self) -> Shape {
        let [h, w] = self.fixed.map(|n| n.unwrap_or(self.rule.minimum));
        Shape::new(self.batch(), self.channels(), h, w)
    }

    fn build(&self, graph: &mut Graph, x: ValueId) -> Result<Built> {
        let s = graph.shape(x);
        for (axis, (want, got)) in self.fixed.iter().zip([s.h, s.w]).enumerate() {
            if let Some(want) = want.filter(|&n| n != got) {
                let axis = ["rows", "columns"][axis];
                let hint = "`free_size=true` tries whether its layers take others";
                return Err(Error::invalid("input", format!("{s}: the file fixes {axis} at {want}; {hint}")));
            }
        }
        if s.c != self.channels() {
            return Err(Error::invalid("input", format!("{s}: the file takes {} channels", self.channels())));
        }
        let translated = translate(&self.parts, graph, x, &self.decision).map_err(|failures| {
            let batch = self.parts.dims[0].filter(|&n| n != s.n);
            let hint = batch.map_or(String::new(), |n| format!(" (the file is for batches of {n})"));
            Error::invalid(format!("input {s}"), format!("{}{hint}", describe(&failures)))
        })?;
        let value = translated.decision;
        let out = graph.shape(value);
        if out.n != s.n {
            return Err(Error::invalid(
                format!("input {s}"),
                format!("the output is {out}: another number of pictures"),
            ));
        }
        let (probability, rule) = self.ending.probability(graph, value)?;
        Ok(Built { outputs: translated.outputs, probability, decision: probability, rule })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OnnxOptions, export, parse};
    use crate::graph::{Graph, rewrite};
    use crate::model::{Architecture, Model, whole_graph};
    use std::path::Path;

    #[test]
    fn rewrites_make_of_an_imported_network_what_they_make_of_our_own() {
        for name in ["nuclei", "nuclei-unet3+"] {
            let model = Model::open(name).unwrap();
            let bytes = export::export(&model).unwrap();
            let (network, metadata, _) = parse(&bytes, Path::new("m.onnx"), &OnnxOptions::default()).unwrap();
            assert_eq!(network.size_rule(), model.architecture.size_rule(), "{name}");
            assert_eq!(metadata.normalisation, model.metadata.normalisation);
            let optimised = |n: &dyn Architecture| rewrite::optimise(&whole_graph(n, 1, 64, 64).unwrap()).unwrap();
            let (ours, theirs) = (optimised(&*model.architecture), optimised(&network));
            let ops = |g: &Graph| g.nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>();
            assert_eq!(ops(&ours), ops(&theirs), "{name}");
            assert_eq!(ours.macs(), theirs.macs(), "{name}");
        }
    }
}
