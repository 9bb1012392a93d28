//! An ONNX file's network as an architecture.

use super::Reason;
use super::ending::{Decision, Ending};
use super::layout::{self, Stuck};
use super::options::{OnnxOptions, Size};
use super::parts::Parts;
use super::quantised::real_form;
use super::range;
use super::sizes::{self, PROBED, Probe, Sizes};
use super::translate::{Failure, NODE_COST, Translated, describe, translate};
use crate::error::{Error, Hint, Message, Result};
use crate::graph::{Graph, ValueId};
use crate::model::dialect::{Origin, Report, Setting};
use crate::model::{Architecture, Built, INPUT, SizeRule};
use crate::ops::ImportNchw;
use crate::tensor::{Shape, TensorDesc};
use crate::weights::{Normalisation, Weights};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The network of an ONNX file. It is translated again for every input shape, so any size is valid that the file's own
/// shape arithmetic allows.
#[derive(Clone, Debug)]
pub struct OnnxNetwork {
    parts: Arc<Parts>,
    /// The output that segmentation uses, and the value that classes are derived from.
    output: String,
    decision: String,
    ending: Decision,
    /// A valid input size, and the result of translating it.
    at: [usize; 2],
    probe: Probe,
    sizes: Sizes,
    fixed: [Option<usize>; 2],
    out_channels: usize,
}

impl OnnxNetwork {
    /// Translates a file's network for one size, and determines the other valid sizes.
    pub(super) fn new(mut parts: Parts, weights: &Weights, options: &OnnxOptions) -> Result<Self, Reason> {
        let found = layout::find(&mut parts, options.layout, |parts| first_size(parts, options));
        let at = found.map_err(|stuck| match stuck {
            Stuck::Reason(reason) => reason,
            Stuck::Nodes(failures) => Reason(describe(&failures)),
        })?;
        let fixed = fixed_size(&parts, options)?;
        let (graph, translated) = graph_at(&parts, at, "").map_err(|f| Reason(describe(&f)))?;
        let mut network = Self {
            parts: Arc::new(parts),
            output: String::new(),
            decision: String::new(),
            ending: Decision::set(Ending::Sigmoid),
            at,
            probe: Probe::of(at, &graph, translated.decision),
            sizes: Sizes::Tried(0),
            fixed,
            out_channels: 1,
        };
        let is_image = network.choose_output(&graph, &translated, options)?;
        let (graph, translated) = network.translate_at(at)?;
        network.probe = Probe::of(at, &graph, translated.decision);
        network.out_channels = network.probe.out.c;
        network.ending = match options.activation {
            Some(ending) => Decision::set(ending),
            None => network.inferred(weights, at)?,
        };
        network.sizes = match is_image {
            true => {
                let failing = network.parts.nodes.len() as u64 * NODE_COST;
                sizes::find(fixed, &network.probe, failing, |at| network.output_shape(at))
            }
            false => {
                let names: Vec<&str> = translated.outputs.iter().map(|o| &o.0[..]).collect();
                Sizes::Unfit(format!("none of its outputs ({}) is an image", names.join(", ")))
            }
        };
        if let Sizes::Unfit(reason) = &network.sizes {
            log::debug!("not usable for segmentation: {reason}");
        }
        Ok(network)
    }

    /// Removes small constants that are not parameters, such as the scales of a resize, from the weights.
    pub(super) fn without_arithmetic(mut self, weights: &mut Weights) -> Result<Self, Reason> {
        let s = self.example();
        let (graph, _) = self.translate_at([s.h, s.w])?;
        let used: std::collections::HashSet<&str> = graph.parameters().map(|p| p.0).collect();
        let unused: Vec<String> = weights.keys().filter(|k| !used.contains(k)).map(String::from).collect();
        let parts = Arc::make_mut(&mut self.parts);
        unused.iter().filter(|name| parts.forget(name)).for_each(|name| drop(weights.remove(name)));
        Ok(self)
    }

    fn channels(&self) -> usize {
        self.parts.dims[1].unwrap_or(1)
    }

    /// The graph for an input of `at` rows and columns, without outputs.
    fn translate_at(&self, at: [usize; 2]) -> Result<(Graph, Translated), Reason> {
        graph_at(&self.parts, at, &self.decision).map_err(|f| Reason(describe(&f)))
    }

    fn translated(&self, s: Shape) -> Result<(Graph, Translated), Reason> {
        let mut graph = Graph::new();
        let x = graph.input(INPUT, TensorDesc::linear(s));
        let x = graph.node("import", ImportNchw, &[x])?;
        let translated = translate(&self.parts, &mut graph, x, &self.decision).map_err(|f| Reason(describe(&f)))?;
        Ok((graph, translated))
    }

    /// Chooses the output that segmentation uses and the value behind it; returns whether it is an image.
    fn choose_output(&mut self, graph: &Graph, translated: &Translated, options: &OnnxOptions) -> Result<bool, Reason> {
        let found = &translated.outputs;
        let names = || found.iter().map(|o| o.0.as_str()).collect::<Vec<_>>().join(", ");
        let pixels_of = |v: ValueId| graph.shape(v).pixels();
        self.output = match &options.output {
            Some(name) => {
                let known = found.iter().any(|o| o.0 == *name);
                known.then(|| name.clone()).ok_or_else(|| format!("has no output `{name}`, only {}", names()))?
            }
            None => {
                let max = found.iter().map(|o| pixels_of(o.1)).max().unwrap_or_default();
                found.iter().find(|o| pixels_of(o.1) == max).map(|o| o.0.clone()).unwrap_or_default()
            }
        };
        let real = real_form(&self.output);
        let real = self.parts.is_made(&real).then_some(real);
        self.decision = self.before(&self.output, "ArgMax").or(real).unwrap_or_else(|| self.output.clone());
        Ok(found.iter().any(|o| o.0 == self.output && pixels_of(o.1) > 1))
    }

    /// The input of the node `op`, if `name` is its result up to shape and type.
    fn before(&self, name: &str, op: &str) -> Option<String> {
        let node = self.ending_node(name)?;
        if node.op_type == op { node.input.first().cloned() } else { None }
    }

    /// The last node before `name` that does more than change shape or type.
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

    /// The interpretation of the output that follows from the file's arithmetic.
    fn inferred(&self, weights: &Weights, at: [usize; 2]) -> Result<Decision, Reason> {
        let (graph, translated) = self.translate_at(at)?;
        Ok(Decision::of(&range::read(&graph, weights, translated.decision), self.out_channels))
    }

    /// Assumptions about the file. `normalisation` is the rule in use, if the file has none; `set` if the user sets it.
    pub fn report(&self, normalisation: Option<&Normalisation>, set: bool) -> Report {
        let mut settings = vec![self.ending.setting()];
        if let Some(rule) = normalisation {
            let origin = if set { Origin::Set } else { Origin::Assumed(self.parts.pixels()) };
            settings.push(Setting { key: "normalisation".into(), value: json!(rule), origin });
        }
        let mut notes: Vec<Message> = self.parts.notes.iter().map(Message::from).collect();
        if self.parts.outputs.len() > 1 {
            notes.push(
                format!("of its outputs {}, classes are derived from `{}`", self.parts.outputs.join(", "), self.output)
                    .into(),
            );
        }
        Report { settings, notes, ..Report::new("ONNX") }
    }

    /// Whether the output is logits, as in this program's own networks.
    pub fn is_plain(&self) -> bool {
        self.ending.of_logits()
    }

    /// Shape of the output for an input of that size, and the cost of the translation.
    fn output_shape(&self, at: [usize; 2]) -> Result<(Shape, u64), Reason> {
        let (graph, translated) = self.translate_at(at)?;
        Ok((graph.shape(translated.decision), translated.cost))
    }

    /// The smallest valid input of at least that size that loses `margin` pixels on every side.
    fn smallest_input(&self, min: [usize; 2], margin: usize) -> Option<[usize; 2]> {
        let valid =
            |at: [usize; 2]| self.output_shape(at).is_ok_and(|m| self.probe.resized(at, m.0).margin() == Some(margin));
        sizes::smallest(min, self.at, valid)
    }
}

/// Rows and columns fixed by the file or the user.
fn fixed_size(parts: &Parts, options: &OnnxOptions) -> Result<[Option<usize>; 2], Reason> {
    let [_, _, h, w] = parts.dims;
    let Some(Size([rows, columns])) = options.size else {
        return Ok(if options.free_size { [None; 2] } else { [h, w] });
    };
    let differs = |file: Option<usize>, requested: usize| file.is_some_and(|n| n != requested);
    if !options.free_size && (differs(h, rows) || differs(w, columns)) {
        let side = |n: Option<usize>| n.map_or("any".into(), |n| n.to_string());
        let file = format!("{}x{}", side(h), side(w));
        let hint = "`free_size=true` tries whether its layers take others";
        return Err(format!("size is {rows}x{columns}, the file fixes {file}; {hint}").into());
    }
    Ok([Some(rows), Some(columns)])
}

/// The first size that translates, with its graph: the file's own size if fixed, else common ones.
fn first_size(parts: &Parts, options: &OnnxOptions) -> Result<(Graph, [usize; 2]), Vec<Failure>> {
    let failed = |r: Reason| vec![Failure { node: parts.input.clone(), op: "input".into(), reason: r.0 }];
    let [_, _, h, w] = parts.dims;
    let fixed = fixed_size(parts, options).map_err(failed)?;
    let at = |n: usize| [fixed[0].or(h).unwrap_or(n), fixed[1].or(w).unwrap_or(n)];
    let first = match graph_at(parts, at(PROBED), "") {
        Ok((graph, _)) => return Ok((graph, at(PROBED))),
        Err(failures) => failures,
    };
    // Another size does not help with an unknown operator.
    if at(PROBED) == at(1) || first.iter().any(Failure::is_of_operator) {
        return Err(first);
    }
    let others = sizes::OTHERS.iter().map(|&n| at(n));
    others.filter_map(|at| Some((graph_at(parts, at, "").ok()?.0, at))).next().ok_or(first)
}

/// The graph for an input of `at` rows and columns, without outputs.
fn graph_at(parts: &Parts, [h, w]: [usize; 2], decision: &str) -> Result<(Graph, Translated), Vec<Failure>> {
    let mut graph = Graph::new();
    let failed = |e: Error| vec![Failure { node: parts.input.clone(), op: "input".into(), reason: Reason::from(e).0 }];
    let shape = Shape::new(parts.dims[0].unwrap_or(1), parts.dims[1].unwrap_or(1), h, w);
    let x = graph.input(INPUT, TensorDesc::linear(shape));
    let x = graph.node("import", ImportNchw, &[x]).map_err(failed)?;
    let translated = translate(parts, &mut graph, x, decision)?;
    Ok((graph, translated))
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
            "layout": p.layout.to_string(),
            "channels_last": p.layout.channels_last(),
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
        let minimum = self.at[0].max(self.at[1]);
        match self.sizes {
            Sizes::Rule(rule) => rule,
            Sizes::Tried(margin) => SizeRule { minimum, step: 1, margin },
            Sizes::Unfit(_) => SizeRule { minimum, step: 1, margin: 0 },
        }
    }

    fn unfit(&self) -> Option<String> {
        match &self.sizes {
            Sizes::Unfit(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    fn ruled(&self) -> bool {
        matches!(self.sizes, Sizes::Rule(_))
    }

    fn tried_size(&self, image: [usize; 2]) -> Result<[usize; 2]> {
        let margin = self.size_rule().margin;
        let min = image.map(|n| n.saturating_add(2 * margin));
        let [h, w] = image;
        let reason = || {
            Message::from("no valid size was found that is large enough; set one with `")
                .then(Hint::model_option_with("size", "ROWSxCOLUMNS"))
                .then("`")
        };
        self.smallest_input(min, margin).ok_or_else(|| Error::invalid(format!("{w}x{h} image"), reason()))
    }

    fn fixed_size(&self) -> [Option<usize>; 2] {
        self.fixed
    }

    fn output_dims(&self, s: Shape) -> Result<BTreeMap<String, Vec<usize>>> {
        let translated = self.translated(s).map_err(|reason| Error::invalid(format!("input {s}"), reason.0))?.1;
        Ok(translated.dims.into_iter().filter(|d| d.1.len() != 4).collect())
    }

    fn example(&self) -> Shape {
        let rule = match self.sizes {
            Sizes::Rule(rule) => [rule.minimum; 2],
            _ => self.at,
        };
        let [h, w] = [0, 1].map(|i| self.fixed[i].unwrap_or(rule[i]));
        Shape::new(self.parts.dims[0].unwrap_or(1), self.channels(), h, w)
    }

    fn build(&self, graph: &mut Graph, x: ValueId) -> Result<Built> {
        let s = graph.shape(x);
        for (at, (expected, got)) in self.fixed.iter().zip([s.h, s.w]).enumerate() {
            if let Some(expected) = expected.filter(|&n| n != got) {
                let axis = ["rows", "columns"][at];
                let hint = "`free_size=true` tries whether its layers take others";
                let by_file = self.parts.dims[2..].get(at) == Some(&Some(expected));
                let reason = match by_file {
                    true => format!("{s}: the file fixes {axis} at {expected}; {hint}"),
                    false => format!("{s}: `size` fixes {axis} at {expected}"),
                };
                return Err(Error::invalid("input", reason));
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
            return Err(Error::invalid(format!("input {s}"), format!("the output is {out}: another number of images")));
        }
        let (probability, rule) = self.ending.probability(graph, value)?;
        Ok(Built { outputs: translated.outputs, logits: value, probability, decision: probability, rule })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OnnxOptions, parse};
    use crate::graph::{Graph, rewrite};
    use crate::kernel::Target;
    use crate::model::{Architecture, Model, whole_graph};
    use std::path::Path;

    #[test]
    fn imported_and_native_networks_are_rewritten_alike() {
        for name in ["nuclei", "nuclei-unet3+"] {
            let mut model = Model::open(name).unwrap();
            // The network alone, without what its planes mean for instances.
            model.metadata.target = None;
            let bytes = crate::model::onnx_export::export(&model).unwrap();
            let (network, metadata, _) = parse(&bytes, Path::new("m.onnx"), &OnnxOptions::default()).unwrap();
            assert_eq!(network.size_rule(), model.architecture.size_rule(), "{name}");
            assert_eq!(metadata.normalisation, model.metadata.normalisation);
            let optimised = |n: &dyn Architecture| {
                rewrite::optimise(&whole_graph(n, 1, 64, 64).unwrap(), &Target::default()).unwrap()
            };
            let (ours, theirs) = (optimised(&*model.architecture), optimised(&network));
            let ops = |g: &Graph| g.nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>();
            assert_eq!(ops(&ours), ops(&theirs), "{name}");
            assert_eq!(ours.macs(), theirs.macs(), "{name}");
        }
    }
}
