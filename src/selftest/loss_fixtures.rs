//! Fixtures of kind `losses`: the value of each loss and its gradient, from PyTorch in double precision.

use super::manifest::under;
use super::{CaseFile, Entry, FixtureError, FixtureResult, Selftest, Verdict, compare};
use crate::error::{Error, Result};
use crate::gpu::PrecisionChoice;
use crate::graph::{Graph, differentiate};
use crate::ops::{ExportNchw, Function, ImportNchw, Unary};
use crate::session::Backend;
use crate::tensor::{Comparison, HostTensor, Shape, TensorDesc};
use crate::train::{Heads, LossConfig, TargetKind, Targets};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Relative tolerance of values, and of gradients relative to their largest element. PyTorch's own `f32` has errors of
/// 7e-6 and 5e-6.
const TOLERANCE: f32 = 1e-5;

/// One loss of the fixture's list. Its random inputs are among the tensors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    name: String,
    #[serde(default)]
    args: Value,
    #[serde(rename = "shape")]
    _shape: Value,
    #[serde(default, rename = "of")]
    _of: Value,
    #[serde(default, rename = "ignore")]
    _ignore: Value,
    #[serde(default, rename = "scale")]
    _scale: Value,
    #[serde(default, rename = "empty")]
    _empty: Value,
    #[serde(default, rename = "agree")]
    _agree: Value,
}

type Tensors = BTreeMap<String, HostTensor>;

impl Selftest<'_> {
    /// Every loss of the fixture: its value and the gradient of its logits.
    pub(super) fn loss_fixture(&mut self, entry: &Entry, files: &[CaseFile]) -> FixtureResult {
        let specs = entry.case.get("losses").cloned().unwrap_or_default();
        let specs: Vec<Spec> =
            serde_json::from_value(specs).map_err(|e| FixtureError::Invalid(format!("the list of losses: {e}")))?;
        let tensors = entry.tensors(files).map_err(FixtureError::invalid)?;
        if specs.is_empty() {
            return Err(FixtureError::Invalid("the list of losses is empty".into()));
        }
        let keys: Vec<String> = specs.iter().enumerate().map(|(i, s)| format!("{i:02}.{}", s.name)).collect();
        let known = |name: &str| name.split_once('/').is_some_and(|(k, _)| keys.iter().any(|key| key == k));
        if let Some(stray) = tensors.keys().find(|name| !known(name)) {
            return Err(FixtureError::Invalid(format!("tensor `{stray}` belongs to no loss of the list")));
        }
        for (spec, key) in specs.iter().zip(&keys) {
            let mut given = under(&tensors, &format!("{key}/"));
            let results = check(self.backend, spec, &mut given);
            for (i, name) in ["value", "grad_logits"].into_iter().enumerate() {
                let verdict = match &results {
                    Ok(both) => exact(both[i]),
                    Err(e) => Verdict::Failed(e.to_string()),
                };
                self.report(&entry.name, &format!("{key}/{name}"), verdict)?;
            }
            for rest in given.keys().filter(|_| results.is_ok()) {
                self.report(&entry.name, &format!("{key}/{rest}"), Verdict::Failed("not understood".into()))?;
            }
        }
        Ok(())
    }
}

/// Gradients of means are far below 1e-3, so their scale has no lower bound here.
fn exact(comparison: Comparison) -> Verdict {
    Verdict::Compared { comparison, tolerance: TOLERANCE * comparison.scale }
}

/// Compares value and gradient, and removes the tensors it knows from `given`.
fn check(backend: &Backend, spec: &Spec, given: &mut Tensors) -> Result<[Comparison; 2]> {
    let mut take =
        |key: &str| given.remove(key).ok_or_else(|| Error::invalid(format!("tensor `{key}`"), "is not in the fixture"));
    let (logits, value, gradient) = (take("logits")?, take("value")?, take("grad_logits")?);
    let args = if spec.args.is_null() { json!({}) } else { spec.args.clone() };
    let config = LossConfig::deserialize(json!({ "name": spec.name, "args": args }));
    let config = config.map_err(|e| Error::invalid("fixture", e.to_string()))?;
    let mut graph = Graph::new();
    let shape = logits.shape()?;
    let z = graph.input("logits", TensorDesc::linear(shape));
    let x = graph.node("logits", ImportNchw, &[z])?;
    let mut inputs = BTreeMap::from([("logits".to_string(), logits)]);
    let mut input = |graph: &mut Graph, name: &str, tensor: HostTensor, shape: Shape| -> Result<_> {
        inputs.insert(name.to_string(), tensor.reshaped(shape.dims())?);
        Ok(graph.input(name, TensorDesc::linear(shape)))
    };
    let (mut heads, map) = (Heads::default(), shape.with_c(1));
    let targets = if spec.name == "cgm_bce" {
        heads.scores = Some(graph.node("cls", Unary { kind: Function::Sigmoid }, &[x])?);
        let target = input(&mut graph, "present", take("present")?, map)?;
        Targets { target, kind: TargetKind::Masks, weight: None }
    } else {
        heads.logits.push(x);
        let (kind, shape) = match config.target_kind() {
            TargetKind::Instances => (TargetKind::Instances, shape.with_c(config.target_planes())),
            _ if config.needs_classes() => (TargetKind::Classes, map),
            _ => (TargetKind::Masks, shape),
        };
        let target = input(&mut graph, "target", take("target")?, shape)?;
        let weight = take("weight").ok().map(|w| input(&mut graph, "weight", w, map)).transpose()?;
        Targets { target, kind, weight }
    };
    let loss = config.build(&mut graph, &heads, &targets)?;
    let grad = differentiate(&mut graph, loss, &[x])?[0];
    let grad = grad.ok_or_else(|| Error::invalid("fixture", "the loss does not depend on the logits"))?;
    let grad = graph.node("gradient", ExportNchw, &[grad])?;
    graph.output("value", loss);
    graph.output("gradient", grad);
    // Training is in f32 on every device.
    let backend = backend.with_precision(PrecisionChoice::F32)?;
    let stored = |key: &str, _: &[usize]| Err(Error::ParameterMissing { key: key.into(), nearest: None });
    let mut outputs = backend.run(&graph, &inputs, stored)?;
    let mut compared = |name: &str, expected: &HostTensor| {
        let got = outputs.remove(name).ok_or_else(|| Error::invalid(name, "is not computed"))?;
        compare(&got, expected)
    };
    Ok([compared("value", &value)?, compared("gradient", &gradient)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_spec(spec: Value, value: f32) -> Result<[Comparison; 2]> {
        let spec: Spec = serde_json::from_value(spec).map_err(|e| Error::invalid("spec", e.to_string()))?;
        let tensor = |dims: &[usize], data: &[f32]| HostTensor::new(dims, data.to_vec()).unwrap();
        let mut given = BTreeMap::from([
            ("logits".to_string(), tensor(&[1, 2, 1, 2], &[0.0; 4])),
            ("target".to_string(), tensor(&[1, 1, 2], &[0.0, 1.0])),
            ("value".to_string(), tensor(&[1], &[value])),
            ("grad_logits".to_string(), tensor(&[1, 2, 1, 2], &[-0.5, 0.5, 0.5, -0.5])),
        ]);
        check(&Backend::Cpu, &spec, &mut given)
    }

    #[test]
    fn values_and_gradients_are_compared() {
        let ce = json!({"name": "weighted_softmax_ce", "shape": [], "args": {"reduction": "sum"}});
        let [value, gradient] = check_spec(ce.clone(), 2.0 * std::f32::consts::LN_2).unwrap();
        assert_eq!((value.max_error, gradient.max_error), (0.0, 0.0));
        assert_eq!(exact(check_spec(ce, 1.4).unwrap()[0]).outcome(), super::super::Outcome::Failed);
    }

    #[test]
    fn unknown_losses_and_arguments_fail() {
        let error = |spec| check_spec(spec, 0.0).unwrap_err().to_string();
        assert!(error(json!({"name": "lovasz", "shape": []})).contains("unknown variant `lovasz`"));
        assert!(error(json!({"name": "iou_loss", "shape": [], "power": 2})).contains("unknown field `power`"));
        assert!(error(json!({"name": "iou_loss", "shape": [], "args": {"k": 2}})).contains("unknown field `k`"));
        assert!(error(json!({"name": "cgm_bce", "shape": []})).contains("tensor `present`"));
    }
}
