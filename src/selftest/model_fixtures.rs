//! Fixtures of kind `model`: whole networks with weights, inputs and results from PyTorch. Mode `train` starts with a
//! forward pass in evaluation mode too; `train_fixtures` has the rest.

use super::manifest::under;
use super::{CaseFile, Entry, FixtureError, FixtureResult, Selftest, Verdict, compare};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::model;
use crate::ops::ExportNchw;
use crate::session::Backend;
use crate::tensor::{HostTensor, Layout, Precision};
use crate::testing::network_tolerance;
use crate::weights::Weights;
use serde_json::Value;
use std::collections::BTreeMap;

/// Prefix of inner activations' names.
const ACTIVATION: &str = "act/";
/// Prefix of the names of outputs before the last sigmoid or softmax.
const LOGITS: &str = "logits";

/// Runs a network; returns its outputs by name, and expected activations as `act/<module>`.
fn run_model(backend: &Backend, f: &Fixture) -> Result<BTreeMap<String, HostTensor>> {
    let architecture = model::parse(&f.arch, &f.config)?;
    let shape = f.input.shape()?;
    let graph = model::whole_graph(&*architecture, shape.n, shape.h, shape.w)?;
    let inputs = BTreeMap::from([(model::INPUT.to_string(), f.input.clone())]);
    let stored = |key: &str, dims: &[usize]| f.weights.require(key, dims).cloned();
    let mut outputs = backend.run(&graph, &inputs, stored)?;
    // A separate run, because an activation that is an output is not fused by rewrites.
    let modules: Vec<&str> = f.expected.keys().filter_map(|k| k.strip_prefix(ACTIVATION)).collect();
    if !modules.is_empty() {
        outputs.extend(backend.run(&activations(&graph, &modules)?, &inputs, stored)?);
    }
    Ok(outputs)
}

/// The graph with the results of `modules` as its outputs, named `act/<module>`. A module's result is the node labelled
/// with the module's name.
fn activations(graph: &Graph, modules: &[&str]) -> Result<Graph> {
    let mut graph = graph.clone();
    for module in modules {
        let node = graph.nodes().iter().rfind(|n| n.label == *module);
        let value = node.and_then(|n| n.outputs.first().copied()).ok_or_else(|| {
            let labels: Vec<_> = graph.nodes().iter().map(|n| n.label.as_str()).collect();
            Error::op(*module, format!("the graph has no such node; there are: {}", labels.join(", ")))
        })?;
        let name = format!("{ACTIVATION}{module}");
        let value = match graph.value(value).desc.layout {
            Layout::Blocked => graph.node(format!("export {name}"), ExportNchw, &[value])?,
            Layout::Linear => value,
        };
        graph.output(name, value);
    }
    Ok(graph)
}

/// The tolerance of a tensor, relative to its scale. A probability's error is its logit's error times a slope of at
/// most 1/4; logits of 30 in `f16` have errors above 1/200.
fn tolerance(precision: Precision, name: &str, expected: &BTreeMap<String, HostTensor>) -> f32 {
    let factor = network_tolerance(precision);
    if precision == Precision::F32 || name.starts_with(LOGITS) || name.starts_with(ACTIVATION) {
        return factor;
    }
    let logits = expected.iter().filter(|t| t.0.starts_with(LOGITS)).flat_map(|t| t.1.data());
    factor * logits.fold(1.0f32, |scale, v| scale.max(v.abs() / 4.0))
}

impl Selftest<'_> {
    /// Every output and inner activation of the forward pass in evaluation mode.
    pub(super) fn model_fixture(&mut self, entry: &Entry, files: &[CaseFile]) -> FixtureResult {
        let fixture = Fixture::read(entry, files).map_err(FixtureError::invalid)?;
        compare_outputs(self, entry, &fixture)
    }
}

/// Runs a fixture's network and reports every expected tensor.
pub(super) fn compare_outputs(t: &mut Selftest<'_>, entry: &Entry, fixture: &Fixture) -> FixtureResult {
    let mut got = run_model(t.backend, fixture).map_err(FixtureError::invalid)?;
    for (name, expected) in &fixture.expected {
        let got = got.remove(name).ok_or_else(|| {
            let there = got.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Error::invalid(format!("output `{name}`"), format!("the network has none; it has: {there}"))
        });
        let verdict = Verdict::of(
            got.and_then(|got| compare(&got, expected)),
            tolerance(t.backend.precision(), name, &fixture.expected),
        );
        t.report(&entry.name, name, verdict)?;
    }
    Ok(())
}

/// A fixture of kind `model`.
pub(super) struct Fixture {
    pub arch: String,
    pub config: Value,
    pub weights: Weights,
    pub input: HostTensor,
    /// Outputs under their names, activations under `act/<module>`.
    pub expected: BTreeMap<String, HostTensor>,
}

impl Fixture {
    fn read(entry: &Entry, files: &[CaseFile]) -> Result<Self> {
        let wrong = |reason: &str| Error::invalid(&entry.name, reason);
        let mut tensors = entry.tensors(files)?;
        let arch = entry.case.get("arch").and_then(Value::as_str).ok_or_else(|| wrong("no `arch`"))?;
        let input = tensors.remove("input").ok_or_else(|| wrong("no tensor `input`"))?;
        let weights = under(&tensors, "param/").into_iter().chain(under(&tensors, "buffer/")).collect();
        let mut expected = under(&tensors, "out/");
        expected
            .extend(tensors.iter().filter(|(k, _)| k.starts_with(ACTIVATION)).map(|(k, t)| (k.to_string(), t.clone())));
        if expected.is_empty() {
            return Err(wrong("no tensor `out/..` to compare with"));
        }
        let known = |k: &str| ["param/", "buffer/", "out/", ACTIVATION].iter().any(|p| k.starts_with(p));
        let rest: Vec<&str> = tensors.keys().filter(|k| !known(k)).collect();
        if let (Some(stray), false) = (rest.first(), entry.is_training()) {
            return Err(wrong(&format!("tensor `{stray}` is not understood")));
        }
        let config = entry.case.get("config").cloned().unwrap_or_default();
        Ok(Self { arch: arch.into(), config, weights, input, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Function, ImportNchw, MaxPool2d, Unary};
    use crate::tensor::{Shape, TensorDesc};

    #[test]
    fn activations_are_the_nodes_of_that_name() {
        let mut graph = Graph::new();
        let input = graph.input("input", TensorDesc::linear(Shape::new(1, 1, 2, 2)));
        let x = graph.node("import", ImportNchw, &[input]).unwrap();
        let a = graph.node("enc.1.pool", MaxPool2d::new(2), &[x]).unwrap();
        let a = graph.node("enc.1", Unary { kind: Function::Relu }, &[a]).unwrap();
        let b = graph.node("enc.10", Unary { kind: Function::Sigmoid }, &[a]).unwrap();
        let b = graph.node("logits", ExportNchw, &[b]).unwrap();
        graph.output("logits", b);
        let input = HostTensor::new([1, 1, 2, 2], vec![-4.0, -3.0, -2.0, -1.0]).unwrap();
        let inputs = BTreeMap::from([("input".to_string(), input)]);
        let stored = |_: &str, _: &[usize]| unreachable!();
        let got = Backend::Cpu.run(&activations(&graph, &["enc.1", "enc.10"]).unwrap(), &inputs, stored).unwrap();
        assert_eq!((got["act/enc.1"].data(), got["act/enc.10"].data()), (&[0.0][..], &[0.5][..]));
        let e = activations(&graph, &["enc.2"]).unwrap_err().to_string();
        assert_eq!(e, "enc.2: the graph has no such node; there are: import, enc.1.pool, enc.1, enc.10, logits");
    }
}
