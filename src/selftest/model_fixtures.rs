//! Fixtures of kind `model`: whole networks in evaluation mode with weights, inputs and results from PyTorch.

use super::manifest::under;
use super::{CaseFile, Entry, Selftest, Verdict, compare};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::model::{INPUT, parse, whole_graph};
use crate::ops::ExportNchw;
use crate::session::Backend;
use crate::tensor::{HostTensor, Layout};
use crate::weights::Weights;
use serde_json::Value;
use std::collections::BTreeMap;

/// The tolerance of a network's outputs and inner activations, as a factor of each tensor's scale.
const TOLERANCE: f32 = 1e-5;

/// Runs a network; gives its outputs by name, and the activations of `modules` as `act/<module>`.
pub(super) fn run_model(
    backend: &Backend,
    arch: &str,
    config: &Value,
    weights: &Weights,
    input: HostTensor,
    modules: &[&str],
) -> Result<BTreeMap<String, HostTensor>> {
    let shape = input.shape()?;
    let graph = whole_graph(&*parse(arch, config)?, shape.n, shape.h, shape.w)?;
    let graph = with_activations(graph, modules)?;
    let inputs = BTreeMap::from([(INPUT.to_string(), input)]);
    backend.run(&graph, &inputs, |key, dims| weights.require(key, dims).cloned())
}

/// The graph with the output of each of `modules` as an output `act/<module>`. A module's output is that of the
/// node labelled with its name, else of the last node below it (`enc.0.conv1`).
fn with_activations(mut graph: Graph, modules: &[&str]) -> Result<Graph> {
    for module in modules {
        let inside = |label: &str| label.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'));
        let nodes = graph.nodes();
        let node = nodes.iter().find(|n| n.label == *module).or_else(|| nodes.iter().rfind(|n| inside(&n.label)));
        let value = node.and_then(|n| n.outputs.first().copied()).ok_or_else(|| {
            let labels: Vec<_> = graph.nodes().iter().map(|n| n.label.as_str()).collect();
            Error::op(*module, format!("the graph has no such module; its nodes: {}", labels.join(", ")))
        })?;
        let name = format!("act/{module}");
        let value = match graph.value(value).desc.layout {
            Layout::Blocked => graph.node(&name, ExportNchw, &[value])?,
            Layout::Linear => value,
        };
        graph.output(name, value);
    }
    Ok(graph)
}

impl Selftest<'_> {
    /// Every output and inner activation that the fixture holds.
    pub(super) fn model_fixture(&mut self, entry: &Entry, files: &[CaseFile]) -> Result<Result<(), String>> {
        let fixture = match Fixture::read(entry, files) {
            Ok(fixture) => fixture,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let modules: Vec<&str> = fixture.wanted.keys().filter_map(|k| k.strip_prefix("act/")).collect();
        let f = &fixture;
        let mut got = match run_model(self.backend, &f.arch, &f.config, &f.weights, f.input.clone(), &modules) {
            Ok(got) => got,
            Err(e) => return Ok(Err(e.to_string())),
        };
        for (name, want) in &fixture.wanted {
            let got = got.remove(name).ok_or_else(|| {
                let there = got.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                Error::invalid(format!("output `{name}`"), format!("the network has none; it has: {there}"))
            });
            let verdict = Verdict::of(got.and_then(|got| compare(&got, want)), TOLERANCE);
            self.report(&entry.name, name, verdict)?;
        }
        Ok(Ok(()))
    }
}

/// What a fixture of kind `model` in evaluation mode holds.
struct Fixture {
    arch: String,
    config: Value,
    weights: Weights,
    input: HostTensor,
    /// Outputs under their names, activations under `act/<module>`.
    wanted: BTreeMap<String, HostTensor>,
}

impl Fixture {
    fn read(entry: &Entry, files: &[CaseFile]) -> Result<Self> {
        let wrong = |reason: &str| Error::invalid(&entry.name, reason);
        let mut tensors = entry.tensors(files)?;
        let arch = entry.case.get("arch").and_then(Value::as_str).ok_or_else(|| wrong("no `arch`"))?;
        let input = tensors.remove("input").ok_or_else(|| wrong("no tensor `input`"))?;
        let weights = under(&tensors, "param/").into_iter().chain(under(&tensors, "buffer/")).collect();
        let mut wanted = under(&tensors, "out/");
        wanted.extend(tensors.iter().filter(|(k, _)| k.starts_with("act/")).map(|(k, t)| (k.to_string(), t.clone())));
        if wanted.is_empty() {
            return Err(wrong("no tensor `out/..` to compare with"));
        }
        let known = |k: &str| ["param/", "buffer/", "out/", "act/"].iter().any(|p| k.starts_with(p));
        if let Some(stray) = tensors.keys().find(|k| !known(k)) {
            return Err(wrong(&format!("tensor `{stray}` is not understood")));
        }
        let config = entry.case.get("config").cloned().unwrap_or_default();
        Ok(Self { arch: arch.into(), config, weights, input, wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, ActivationKind, ImportNchw, MaxPool2d};
    use crate::tensor::TensorDesc;

    #[test]
    fn activations_are_the_last_node_of_a_module() {
        let mut graph = Graph::new();
        let shape = Shape::new(1, 1, 2, 2);
        let input = graph.input("input", TensorDesc::linear(shape));
        let x = graph.node("input", ImportNchw, &[input]).unwrap();
        let relu = Activation { kind: ActivationKind::Relu };
        let a = graph.node("enc.1.pool", MaxPool2d::new(2), &[x]).unwrap();
        let a = graph.node("enc.1.relu", relu.clone(), &[a]).unwrap();
        let b = graph.node("enc.10", Activation { kind: ActivationKind::Sigmoid }, &[a]).unwrap();
        let b = graph.node("logits", ExportNchw, &[b]).unwrap();
        graph.output("logits", b);
        let input = HostTensor::new([1, 1, 2, 2], vec![-4.0, -3.0, -2.0, -1.0]).unwrap();
        let inputs = BTreeMap::from([("input".to_string(), input)]);
        let stored = |_: &str, _: &[usize]| unreachable!();
        let tapped = with_activations(graph.clone(), &["enc.1", "enc.10"]).unwrap();
        let got = Backend::Cpu.run(&tapped, &inputs, stored).unwrap();
        assert_eq!(got["act/enc.1"].data(), [0.0]);
        assert_eq!(got["act/enc.10"].data(), [0.5]);
        let e = with_activations(graph, &["enc"]);
        assert!(e.is_ok());
        let e = with_activations(tapped, &["dec.0"]).unwrap_err().to_string();
        assert!(e.starts_with("dec.0: the graph has no such module; its nodes: input, enc.1.pool"), "{e}");
    }
}
