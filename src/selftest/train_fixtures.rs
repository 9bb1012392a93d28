//! Fixtures of kind `model`, mode `train`: outputs in training mode, loss, gradients, running statistics, and
//! parameters after optimiser steps.

use super::manifest::under;
use super::{CaseFile, Entry, FixtureError, FixtureResult, Selftest, Verdict, compare};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::kernel::ConvFamily;
use crate::model::{self, Architecture};
use crate::ops::{ExportNchw, Hyper, ImportNchw, OptimiserKind};
use crate::plan::Plan;
use crate::session::{Backend, Session};
use crate::tensor::{Comparison, HostTensor, TensorDesc};
use crate::testing::WINOGRAD_TOLERANCE;
use crate::train::{GRADIENT, HYPER, Heads, LOSS, LossConfig, StepOptions, TargetKind, Targets, step_graph};
use crate::weights::Weights;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Tolerance of outputs, running statistics and losses, relative to their scale. PyTorch's own f32 has errors of 7e-6
/// in training mode.
const FORWARD: f32 = 2e-5;
/// Tolerances of gradients, relative to their scale and to the model's largest gradient: golden/README.md.
const GRADIENTS: [f32; 2] = [2e-4, 2e-5];
/// Tolerance of parameters after SGD, relative to their scale.
const SGD: f32 = 2e-5;
/// Tolerance of parameters after Adam, relative to learning rate times steps, where a gradient's sign is certain.
const ADAM: f32 = 0.1;
/// Elements whose first gradient is below this fraction of the model's largest are not compared after Adam.
const ADAM_FLOOR: f32 = 1e-5;

type Tensors = BTreeMap<String, HostTensor>;

/// An optimiser in the fixtures' form.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Optimiser {
    kind: String,
    lr: f64,
    #[serde(default)]
    momentum: f32,
    #[serde(default)]
    nesterov: bool,
    #[serde(default)]
    weight_decay: Option<f32>,
    #[serde(default = "betas")]
    betas: [f32; 2],
    #[serde(default = "eps")]
    eps: f32,
}

const fn betas() -> [f32; 2] {
    [0.9, 0.999]
}

const fn eps() -> f32 {
    1e-8
}

impl Optimiser {
    fn options(&self) -> Result<OptimiserKind> {
        let Self { momentum, nesterov, weight_decay, betas, eps, .. } = self.clone();
        Ok(match self.kind.as_str() {
            "sgd" => OptimiserKind::Sgd { momentum, nesterov, weight_decay: weight_decay.unwrap_or(0.0) },
            "adam" => OptimiserKind::Adam { betas, eps, weight_decay: weight_decay.unwrap_or(0.0) },
            "adamw" => OptimiserKind::AdamW { betas, eps, weight_decay: weight_decay.unwrap_or(0.01) },
            kind => return Err(Error::invalid("optimiser", format!("`{kind}` is not known"))),
        })
    }
}

/// A network in training on either backend.
enum Steps {
    Gpu(Box<Session>),
    Cpu(Box<Graph>, Tensors),
}

impl Steps {
    fn new(backend: &Backend, graph: Graph, initial: &Weights) -> Result<Self> {
        let mut states = Tensors::new();
        for &(state, _) in graph.updates() {
            let name = graph.value(state).name.clone();
            let shape = graph.shape(state);
            let value = initial.get(&name).cloned();
            states.insert(name, value.map_or_else(|| HostTensor::new(shape.dims(), vec![0.0; shape.len()]), Ok)?);
        }
        match backend {
            Backend::Cpu => Ok(Self::Cpu(Box::new(graph), states)),
            Backend::Gpu(gpu) => {
                let plan = Plan::new(&graph, gpu.target())?;
                let stored = |name: &str, dims: &[usize]| match states.get(name) {
                    Some(t) => HostTensor::new(dims, t.data().to_vec()),
                    None => initial.require(name, dims).cloned(),
                };
                Ok(Self::Gpu(Box::new(Session::new(gpu, plan, stored)?)))
            }
        }
    }

    fn step(&mut self, inputs: &Tensors) -> Result<Tensors> {
        match self {
            Self::Gpu(session) => session.run_all(inputs),
            Self::Cpu(graph, states) => {
                let stored = |name: &str, dims: &[usize]| HostTensor::new(dims, states[name].data().to_vec());
                let mut outputs = graph.run_reference(inputs, stored, |_, _| Ok(()))?;
                for (name, state) in states.iter_mut() {
                    if let Some(next) = outputs.remove(name) {
                        *state = next;
                    }
                }
                Ok(outputs)
            }
        }
    }

    fn variable(&self, name: &str) -> Result<HostTensor> {
        match self {
            Self::Gpu(session) => session.read_state(name),
            Self::Cpu(_, states) => states.get(name).cloned().ok_or_else(|| Error::invalid(name, "is not a variable")),
        }
    }
}

/// A fixture being run.
struct Case<'a> {
    name: &'a str,
    model: Box<dyn Architecture>,
    loss: LossConfig,
    inputs: Tensors,
    initial: Weights,
    expected: Tensors,
    optimisers: BTreeMap<String, Optimiser>,
    steps: u64,
    /// Parameters whose exact gradient is zero.
    zero: Vec<String>,
    /// Absolute tolerance of losses, four times the error of PyTorch's own `f32`: a loss may be a small difference of
    /// large terms.
    loss_floor: f32,
}

impl<'a> Case<'a> {
    fn read(entry: &'a Entry, files: &[CaseFile]) -> Result<Self> {
        let wrong = |reason: String| Error::invalid(&entry.name, reason);
        let tensors = entry.tensors(files)?;
        let part = |name: &str| entry.case.get(name).cloned().unwrap_or_default();
        let arch = part("arch").as_str().unwrap_or_default().to_string();
        let mut config = part("config");
        if config.get("cgm").is_some() {
            // The fixtures are generated without dropout, whose random numbers are PyTorch's own.
            config["cgm_dropout"] = json!(0.0);
        }
        let loss = serde_json::from_value(part("loss")).map_err(|e| wrong(e.to_string()))?;
        let optimisers = serde_json::from_value(part("optim")).map_err(|e| wrong(e.to_string()))?;
        let mut inputs = Tensors::new();
        for (key, tensor) in tensors.iter() {
            let s = tensor.shape()?;
            let class_map = |t: &HostTensor| {
                // `[N, H, W]` is a map per image.
                let d = t.dims();
                HostTensor::new([d[0], 1, d[1], d[2]], t.data().to_vec())
            };
            match key {
                "input" => drop(inputs.insert(model::INPUT.into(), tensor.clone())),
                "target" if tensor.dims().len() == 4 => {
                    inputs.insert(key.into(), HostTensor::new(s.dims(), tensor.data().to_vec())?);
                }
                "target" | "weight" => drop(inputs.insert(key.into(), class_map(tensor)?)),
                _ => {}
            }
        }
        let initial = under(&tensors, "param/").into_iter().chain(under(&tensors, "buffer/")).collect();
        let given = ["param/", "buffer/", "out/", "act/"];
        let known =
            |k: &str| given.iter().any(|p| k.starts_with(p)) || ["input", "target", "weight", "present"].contains(&k);
        let expected = tensors.iter().filter(|(k, _)| !known(k)).map(|(k, t)| (k.to_string(), t.clone())).collect();
        let zero = entry.zero_grad_params.clone();
        let loss_floor = entry.groups.get(LOSS).map_or(0.0, |g| 4.0 * g.f32_err);
        let steps = part("steps").as_u64().unwrap_or(1);
        let model = model::parse(&arch, &config)?;
        Ok(Self { name: &entry.name, model, loss, inputs, initial, expected, optimisers, steps, zero, loss_floor })
    }

    /// The training step, with everything that is compared as outputs.
    fn graph(&self, optimiser: OptimiserKind) -> Result<Graph> {
        let mut graph = Graph::new();
        let input = |graph: &mut Graph, name: &str| -> Result<_> {
            let t = self.inputs.get(name).ok_or_else(|| Error::invalid(self.name, format!("no tensor `{name}`")))?;
            Ok(graph.input(name, TensorDesc::linear(t.shape()?)))
        };
        let x = input(&mut graph, model::INPUT)?;
        let x = graph.node("import", ImportNchw, &[x])?;
        let built = self.model.build(&mut graph, x)?;
        let target = input(&mut graph, "target")?;
        let weight = if self.inputs.contains_key("weight") { Some(input(&mut graph, "weight")?) } else { None };
        let kind = match self.loss.target_kind() {
            TargetKind::Instances => TargetKind::Instances,
            _ if self.loss.needs_classes() => TargetKind::Classes,
            _ => TargetKind::Masks,
        };
        let loss = self.loss.build(&mut graph, &Heads::of(&built), &Targets { target, kind, weight })?;
        graph.output(LOSS, loss);
        for (name, value) in built.outputs {
            let exported = graph.node(format!("export {name}"), ExportNchw, &[value])?;
            graph.output(format!("out_train/{name}"), exported);
        }
        let options = StepOptions { optimiser, clip: None, accumulate: false, checkpointing: false, gradients: true };
        step_graph(&graph, &self.model.dropouts(), &options)
    }

    /// The largest gradient of the model.
    fn largest_gradient(&self) -> f32 {
        let gradients = self.expected.iter().filter(|(k, _)| k.starts_with(GRADIENT));
        gradients.flat_map(|(_, t)| t.data()).fold(0.0, |a, v| a.max(v.abs()))
    }
}

/// The largest difference, over the elements that `counts` selects.
fn masked(got: &HostTensor, expected: &HostTensor, counts: impl Fn(usize) -> bool) -> Result<Comparison> {
    let mut c = Comparison { max_error: 0.0, scale: 0.0, index: 0 };
    if got.data().len() != expected.data().len() {
        return Err(Error::invalid("shape", format!("got {:?}, the fixture has {:?}", got.dims(), expected.dims())));
    }
    for (i, (g, w)) in got.data().iter().zip(expected.data()).enumerate().filter(|(i, _)| counts(*i)) {
        let error = (g - w).abs();
        // NaN counts as an infinite error.
        let error = if error.is_nan() { f32::INFINITY } else { error };
        c.scale = c.scale.max(w.abs());
        if error > c.max_error {
            (c.max_error, c.index) = (error, i);
        }
    }
    Ok(c)
}

impl Selftest<'_> {
    /// The checks after the forward pass in evaluation mode.
    pub(super) fn train_fixture(&mut self, entry: &Entry, files: &[CaseFile]) -> FixtureResult {
        let case = Case::read(entry, files).map_err(FixtureError::invalid)?;
        let mut left: Vec<&String> = case.expected.keys().collect();
        for (number, (tag, optimiser)) in case.optimisers.iter().enumerate() {
            let checks = self
                .train(&case, tag, optimiser, number == 0)
                .map_err(|e| FixtureError::Invalid(format!("{tag}: {e}")))?;
            for (key, verdict) in checks {
                left.retain(|k| **k != key);
                self.report(&entry.name, &key, verdict)?;
            }
        }
        match left.first() {
            Some(key) => Err(FixtureError::Invalid(format!("tensor `{key}` was not compared with anything"))),
            None => Ok(()),
        }
    }

    /// Tolerance of losses, relative to their scale. Larger if Winograd is forced on every convolution: its rounding
    /// weighs more in a small difference of large terms.
    fn loss_factor(&self) -> f32 {
        match self.backend.gpu().and_then(|gpu| gpu.target().overrides.conv) {
            Some(ConvFamily::Winograd | ConvFamily::Winograd2) => WINOGRAD_TOLERANCE,
            _ => FORWARD,
        }
    }

    /// Runs all steps with one optimiser; returns verdicts by the fixture's names.
    fn train(&self, case: &Case, tag: &str, optimiser: &Optimiser, first: bool) -> Result<Vec<(String, Verdict)>> {
        let kind = optimiser.options()?;
        let mut run = Steps::new(self.backend, case.graph(kind)?, &case.initial)?;
        let top = case.largest_gradient();
        let mut verdicts = Vec::new();
        let mut losses = Vec::new();
        for step in 1..=case.steps {
            let hyper = Hyper { lr: optimiser.lr, step, scale: 1.0, apply: true, keep: false };
            let mut inputs = case.inputs.clone();
            inputs.insert(HYPER.into(), HostTensor::new(Hyper::SHAPE.dims(), hyper.words(&kind).to_vec())?);
            let outputs = run.step(&inputs)?;
            losses.extend(outputs[LOSS].data());
            if step > 1 || !first {
                continue;
            }
            for (key, expected) in &case.expected {
                let (got, factor, floor) = if let Some(name) = key.strip_prefix("buffer_after/") {
                    (run.variable(name)?, FORWARD, 0.0)
                } else if let Some(name) = key.strip_prefix(GRADIENT) {
                    let zeros = || HostTensor::new(expected.dims(), vec![0.0; expected.data().len()]);
                    let got = outputs.get(key).cloned().map_or_else(zeros, Ok)?;
                    let floor = if case.zero.iter().any(|z| z == name) { 10.0 } else { 1.0 } * GRADIENTS[1] * top;
                    (got, GRADIENTS[0], floor)
                } else if key == LOSS || key.starts_with("out_train/") {
                    let (factor, floor) =
                        if key == LOSS { (self.loss_factor(), case.loss_floor) } else { (FORWARD, 0.0) };
                    (outputs.get(key).cloned().ok_or_else(|| Error::invalid(key, "is no output"))?, factor, floor)
                } else {
                    continue;
                };
                let comparison = compare(&got, expected);
                verdicts.push((key.clone(), Verdict::within(comparison, factor, floor)));
            }
        }
        let adam = optimiser.kind != "sgd";
        let step_size = ADAM * optimiser.lr as f32 * case.steps as f32;
        for (key, expected) in &case.expected {
            let Some(rest) = key.strip_prefix(&format!("{tag}/")) else { continue };
            let verdict = if rest == "loss_step" {
                let got = HostTensor::new([losses.len()], losses.clone())?;
                Verdict::within(compare(&got, expected), self.loss_factor(), if adam { 1e-4 } else { case.loss_floor })
            } else if let Some(name) = rest.strip_prefix("param/") {
                let got = run.variable(name)?;
                if adam && case.zero.iter().any(|z| z == name) {
                    // Adam turns noise into steps: not comparable, but bounded.
                    let max = optimiser.lr as f32 * case.steps as f32 * 4.0;
                    Verdict::within(compare(&got, expected), 0.0, max)
                } else if adam {
                    let gradient = &case.expected[&format!("{GRADIENT}{name}")];
                    let counts = |i: usize| gradient.data()[i].abs() >= ADAM_FLOOR * top;
                    Verdict::within(masked(&got, expected, counts), 0.0, step_size)
                } else {
                    Verdict::within(compare(&got, expected), SGD, 0.0)
                }
            } else if let Some(name) = rest.strip_prefix("buffer/") {
                let noisy = adam && !case.zero.is_empty() && name.ends_with("running_mean");
                let floor = if noisy {
                    optimiser.lr as f32 * case.steps as f32 * 4.0
                } else if adam {
                    step_size
                } else {
                    0.0
                };
                Verdict::within(compare(&run.variable(name)?, expected), FORWARD, floor)
            } else {
                continue;
            };
            verdicts.push((key.clone(), verdict));
        }
        Ok(verdicts)
    }
}
