//! Fixtures of kind `ops`: single operations with inputs and results from PyTorch.

use super::manifest::under;
use super::{CaseFile, Entry, FixtureError, FixtureResult, Selftest, Verdict, compare};
use crate::error::{Error, Result};
use crate::ops::{
    AvgPool2d, BatchNorm2d, BatchNorm2dTrain, Concat, Conv2d, ConvTranspose2d, Crop2d, Function, GlobalAvgPool,
    GlobalMaxPool, InputKind, InstanceNorm2d, MaxPool2d, Op, OpCase, Pad2d, Resize, ResizeMode, ResizeSize, Softmax,
    Unary,
};
use crate::plan::Plan;
use crate::session::{Backend, Session};
use crate::tensor::{Comparison, HostTensor, Precision, TensorDesc};
use crate::testing::{GradientGraph, case_graph, network_tolerance};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One operation of the fixture's list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    op: String,
    #[serde(rename = "x")]
    _shape: Vec<usize>,
    #[serde(default)]
    args: serde_json::Map<String, Value>,
}

/// The names of the fixture's operations, if it is of kind `ops` and its list is valid.
pub(super) fn names(entry: &Entry) -> Option<Vec<String>> {
    let specs = entry.case.get("ops").filter(|_| entry.kind == "ops")?.as_array().filter(|list| !list.is_empty())?;
    let name = |(i, s): (usize, &Value)| Some(format!("{}/{i:02}.{}", entry.name, s.get("op")?.as_str()?));
    specs.iter().enumerate().map(name).collect()
}

impl Selftest<'_> {
    /// Every operation of the fixture: result and gradients. Other tensors in the file fail.
    pub(super) fn op_fixtures(&mut self, entry: &Entry, files: &[CaseFile]) -> FixtureResult {
        let specs = entry.case.get("ops").cloned().unwrap_or_default();
        let specs: Vec<Spec> =
            serde_json::from_value(specs).map_err(|e| FixtureError::Invalid(format!("the list of ops: {e}")))?;
        let tensors = entry.tensors(files).map_err(FixtureError::invalid)?;
        if specs.is_empty() {
            return Err(FixtureError::Invalid("the list of ops is empty".into()));
        }
        let keys: Vec<String> = specs.iter().enumerate().map(|(i, s)| format!("{i:02}.{}", s.op)).collect();
        let known = |name: &str| name.split_once('/').is_some_and(|(k, _)| keys.iter().any(|key| key == k));
        if let Some(stray) = tensors.keys().find(|name| !known(name)) {
            return Err(FixtureError::Invalid(format!("tensor `{stray}` belongs to no op of the list")));
        }
        for (spec, key) in specs.iter().zip(&keys) {
            let name = format!("{}/{key}", entry.name);
            if !self.selects(&name) {
                continue;
            }
            let mut given = under(&tensors, &format!("{key}/"));
            let case = match Fixture::take(&name, spec, &mut given) {
                Ok(case) => case,
                Err(e) => {
                    self.report(&name, "y", Verdict::Failed(e.to_string()))?;
                    continue;
                }
            };
            let tolerance = network_tolerance(self.backend.precision());
            self.report(&name, "y", Verdict::of(case.forward(self.backend), tolerance))?;
            for (tensor, verdict) in case.backward(self.backend, &mut given) {
                self.report(&name, &tensor, verdict)?;
            }
            for rest in given.into_keys() {
                self.report(&name, &rest, Verdict::Failed("not understood".into()))?;
            }
        }
        Ok(())
    }
}

/// Tolerance of gradients, relative to their scale. PyTorch's own `f32` has errors up to 5e-6.
const GRADIENT_TOLERANCE: f32 = 3e-5;

/// An op with its tensors.
struct Fixture {
    case: OpCase,
    /// In the op's order.
    inputs: Vec<HostTensor>,
    /// Names of the gradients in the file, in the same order.
    names: Vec<String>,
    expected: HostTensor,
}

impl Fixture {
    /// Takes the op's tensors out of `given`.
    fn take(name: &str, spec: &Spec, given: &mut BTreeMap<String, HostTensor>) -> Result<Self> {
        let mut names = Vec::new();
        let mut take = |key: &str| {
            names.push(format!("grad_{key}"));
            given.remove(key).ok_or_else(|| Error::invalid(format!("tensor `{key}`"), "is not in the fixture"))
        };
        let expected = take("y")?;
        let mut args = Args::new(spec);
        let mut inputs = vec![(take("x")?, InputKind::Data)];
        let op = build(&mut args, &mut inputs, take)?;
        args.finish()?;
        let descs = inputs.iter().map(|(t, kind)| {
            let shape = t.shape()?;
            let data = *kind == InputKind::Data;
            Ok((if data { TensorDesc::blocked(shape) } else { TensorDesc::linear(shape) }, kind.clone()))
        });
        let case = OpCase { name: name.into(), op, inputs: descs.collect::<Result<_>>()? };
        let inputs = inputs.into_iter().map(|(t, _)| t).collect();
        // The first name is that of y.
        Ok(Self { case, inputs, names: names.split_off(1), expected })
    }

    fn named(&self) -> BTreeMap<String, HostTensor> {
        self.inputs.iter().enumerate().map(|(i, t)| (format!("x{i}"), t.clone())).collect()
    }

    fn forward(&self, backend: &Backend) -> Result<Comparison> {
        let mut named = self.named();
        let data = named.clone();
        let stored = |key: &str, dims: &[usize]| {
            let tensor = named.remove(key);
            tensor.ok_or_else(|| Error::ParameterMissing { key: key.into(), nearest: None })?.reshaped(dims)
        };
        let graph = case_graph(&self.case)?;
        let is_input = |name: &String| graph.inputs().any(|i| i.0 == name);
        let data = data.into_iter().filter(|(name, _)| is_input(name)).collect();
        let mut outputs = backend.run(&graph, &data, stored)?;
        let got = outputs.remove("y0").ok_or_else(|| Error::op(&self.case.name, "computes nothing"))?;
        compare(&got, &self.expected)
    }

    /// Every gradient of the file and other results of training mode; removes them from `given`.
    fn backward(&self, backend: &Backend, given: &mut BTreeMap<String, HostTensor>) -> Vec<(String, Verdict)> {
        let seed = given.remove("gy");
        let training = |key: &String| key.starts_with("grad_") || key == "batch_mean" || key == "running_var_update";
        let keys: Vec<String> = given.keys().filter(|k| training(k)).cloned().collect();
        let expected: Vec<(String, HostTensor)> = keys.into_iter().filter_map(|k| given.remove_entry(&k)).collect();
        if backend.precision() != Precision::F32 {
            let skipped = |(key, _)| (key, Verdict::Skipped("training is f32 only".into()));
            return expected.into_iter().map(skipped).collect();
        }
        let got = match self.gradients(backend, seed) {
            Ok(got) => got,
            Err(e) => return expected.into_iter().map(|(key, _)| (key, Verdict::Failed(e.to_string()))).collect(),
        };
        let verdict = |(key, expected): (String, HostTensor)| {
            let comparison = got.get(&key).ok_or_else(|| Error::invalid(&key, "is not computed"));
            let verdict = Verdict::of(comparison.and_then(|g| compare(g, &expected)), GRADIENT_TOLERANCE);
            (key, verdict)
        };
        expected.into_iter().map(verdict).collect()
    }

    /// Gradients by the file's names.
    fn gradients(&self, backend: &Backend, seed: Option<HostTensor>) -> Result<BTreeMap<String, HostTensor>> {
        let built = GradientGraph::new(&self.case)?;
        let mut built = built.ok_or_else(|| Error::op(&self.case.name, "has no gradient"))?;
        let statistics = self.case.op.name() == "batch_norm2d_train";
        if statistics {
            let node = built.graph.nodes().iter().find(|n| n.label == self.case.name).map(|n| n.outputs.clone());
            for (i, v) in node.unwrap_or_default().into_iter().enumerate().skip(1) {
                built.graph.output(format!("y{i}"), v);
            }
        }
        let mut inputs = self.named();
        inputs.insert("g0".into(), seed.ok_or_else(|| Error::invalid("tensor `gy`", "is not in the fixture"))?);
        let stored = inputs.clone();
        let given = |name: &str, dims: &[usize]| match stored.get(name) {
            Some(t) => t.clone().reshaped(dims),
            None => Err(Error::ParameterMissing { key: name.into(), nearest: None }),
        };
        let outputs = match backend {
            Backend::Cpu => built.graph.run_reference(&inputs, given, |_, _| Ok(()))?,
            Backend::Gpu(gpu) => Session::new(gpu, Plan::new(&built.graph, gpu.target())?, given)?.run_all(&inputs)?,
        };
        let mut got = BTreeMap::new();
        for i in built.requested {
            got.extend(outputs.get(&format!("dx{i}")).map(|t| (self.names[i].clone(), t.clone())));
        }
        if let (true, Some(mean), Some(var)) = (statistics, outputs.get("y1"), outputs.get("y2")) {
            let s = self.inputs[0].shape()?;
            let n = (s.n * s.pixels()) as f32;
            let unbiased = var.data().iter().map(|v| v * n / (n - 1.0)).collect::<Vec<_>>();
            got.insert("batch_mean".into(), mean.clone());
            got.insert("running_var_update".into(), HostTensor::new(var.dims(), unbiased)?);
        }
        Ok(got)
    }
}

/// The op; appends its inputs after `x`.
fn build(
    a: &mut Args,
    inputs: &mut Vec<(HostTensor, InputKind)>,
    mut take: impl FnMut(&str) -> Result<HostTensor>,
) -> Result<Arc<dyn Op>> {
    let x = inputs[0].0.shape()?;
    let mut parameters = |keys: &[&str]| -> Result<()> {
        for key in keys {
            inputs.push((take(key)?, InputKind::Parameter));
        }
        Ok(())
    };
    let op: Arc<dyn Op> = match a.op {
        "conv" => {
            let [py, px] = a.pair("padding")?.unwrap_or([0, 0]);
            let bias = a.flag("bias")?.unwrap_or(true);
            parameters(if bias { &["w", "b"] } else { &["w"] })?;
            Arc::new(Conv2d {
                kernel: a.required(Args::pair, "kernel")?,
                stride: a.pair("stride")?.unwrap_or([1, 1]),
                padding: [py, px, py, px],
                dilation: a.pair("dilation")?.unwrap_or([1, 1]),
                groups: a.size("groups")?.unwrap_or(1),
                ..Conv2d::new(a.required(Args::size, "out")?, 1, 0).with_bias(bias)
            })
        }
        "conv_transpose" => {
            let bias = a.flag("bias")?.unwrap_or(true);
            parameters(if bias { &["w", "b"] } else { &["w"] })?;
            let [py, px] = a.pair("padding")?.unwrap_or([0, 0]);
            Arc::new(ConvTranspose2d {
                out_channels: a.required(Args::size, "out")?,
                kernel: a.required(Args::pair, "kernel")?,
                stride: a.pair("stride")?.unwrap_or([2, 2]),
                padding: [py, px, py, px],
                dilation: [1; 2],
                groups: 1,
                output_padding: a.pair("output_padding")?.unwrap_or([0, 0]),
                bias,
            })
        }
        "max_pool" => {
            let kernel = a.required(Args::size, "k")?;
            Arc::new(MaxPool2d {
                kernel,
                stride: a.size("stride")?.unwrap_or(kernel),
                padding: a.size("padding")?.unwrap_or(0),
                ceil_mode: a.flag("ceil")?.unwrap_or(false),
            })
        }
        "avg_pool" => Arc::new(AvgPool2d { kernel: a.required(Args::size, "k")? }),
        "global_max" => Arc::new(GlobalMaxPool),
        "global_avg" => Arc::new(GlobalAvgPool),
        "bilinear" | "nearest" => Arc::new(Resize {
            mode: match a.op {
                "nearest" => ResizeMode::Nearest,
                _ => ResizeMode::Bilinear { align_corners: a.required(Args::flag, "align_corners")? },
            },
            size: match a.pair("size")? {
                Some([h, w]) => ResizeSize::Exact { h, w },
                None => ResizeSize::Scale(a.required(Args::size, "scale")?),
            },
        }),
        "batch_norm_train" => {
            parameters(&["gamma", "beta"])?;
            Arc::new(BatchNorm2dTrain { eps: 1e-5, activation: Function::Identity })
        }
        "batch_norm_eval" => {
            parameters(&["gamma", "beta", "mean", "var"])?;
            Arc::new(BatchNorm2d { eps: 1e-5 })
        }
        "instance_norm" => {
            parameters(&["gamma", "beta"])?;
            Arc::new(InstanceNorm2d { eps: 1e-5, affine: true })
        }
        "relu" => Arc::new(Unary { kind: Function::Relu }),
        "leaky_relu" => {
            Arc::new(Unary { kind: Function::LeakyRelu { slope: a.required(Args::number, "slope")? as f32 } })
        }
        "sigmoid" => Arc::new(Unary { kind: Function::Sigmoid }),
        "softmax" => Arc::new(Softmax),
        "pad" => {
            let [left, right, top, bottom] = a.required(Args::integers, "pad")?;
            Arc::new(Pad2d { left, right, top, bottom })
        }
        "center_crop" => {
            let [h, w] = a.required(Args::pair, "hw")?;
            Arc::new(Crop2d::center(x, h, w).ok_or_else(|| a.wrong("hw", "is larger than the input"))?)
        }
        "concat" => {
            let second = take("x2")?;
            let channels = a.required(Args::size, "channels")?;
            if second.shape()? != x.with_c(channels) {
                return Err(a.wrong("channels", "is not what the second tensor has"));
            }
            inputs.push((second, InputKind::Data));
            Arc::new(Concat)
        }
        op => return Err(Error::invalid("fixture", format!("unknown op `{op}`"))),
    };
    Ok(op)
}

/// The arguments of an op. Each is read once; unread arguments are an error.
struct Args<'a> {
    op: &'a str,
    rest: serde_json::Map<String, Value>,
}

impl<'a> Args<'a> {
    fn new(spec: &'a Spec) -> Self {
        Self { op: &spec.op, rest: spec.args.clone() }
    }

    fn wrong(&self, key: &str, reason: &str) -> Error {
        Error::invalid(format!("argument `{key}` of {}", self.op), reason)
    }

    fn parsed<T>(&mut self, key: &str, what: &str, parse: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.rest.remove(key) {
            None => Ok(None),
            Some(v) => parse(&v).map(Some).ok_or_else(|| self.wrong(key, &format!("is {v}, not {what}"))),
        }
    }

    fn required<T>(&mut self, get: impl Fn(&mut Self, &str) -> Result<Option<T>>, key: &str) -> Result<T> {
        get(self, key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        self.parsed(key, "true or false", Value::as_bool)
    }

    fn number(&mut self, key: &str) -> Result<Option<f64>> {
        self.parsed(key, "a number", Value::as_f64)
    }

    fn size(&mut self, key: &str) -> Result<Option<usize>> {
        self.parsed(key, "a whole number", size)
    }

    /// `[rows, columns]`, or one number for both.
    fn pair(&mut self, key: &str) -> Result<Option<[usize; 2]>> {
        self.parsed(key, "a whole number or two", |v| match v.as_array() {
            Some(list) => list.iter().map(size).collect::<Option<Vec<_>>>()?.try_into().ok(),
            None => size(v).map(|n| [n, n]),
        })
    }

    fn integers(&mut self, key: &str) -> Result<Option<[i64; 4]>> {
        self.parsed(key, "four whole numbers", |v| {
            v.as_array()?.iter().map(Value::as_i64).collect::<Option<Vec<_>>>()?.try_into().ok()
        })
    }

    fn finish(&self) -> Result<()> {
        match self.rest.keys().next() {
            Some(key) => Err(self.wrong(key, "is not understood")),
            None => Ok(()),
        }
    }
}

/// An integer, possibly written as `2.0`.
fn size(v: &Value) -> Option<usize> {
    v.as_u64()
        .or_else(|| v.as_f64().filter(|f| f.fract() == 0.0 && (0.0..1e9).contains(f)).map(|f| f as u64))
        .map(|n| n as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_spec(spec: &str, x: &[usize], y: &[f32]) -> Result<Comparison> {
        let spec: Spec = serde_json::from_str(spec).unwrap();
        let count = x.iter().product::<usize>();
        let x = HostTensor::new(x, (0..count).map(|i| i as f32).collect()).unwrap();
        let y = HostTensor::new([1, 1, 1, y.len()], y.to_vec()).unwrap();
        let mut given = BTreeMap::from([("x".to_string(), x), ("y".to_string(), y)]);
        Fixture::take("case", &spec, &mut given)?.forward(&Backend::Cpu)
    }

    #[test]
    fn results_are_compared() {
        let pool = r#"{"op": "max_pool", "x": [], "args": {"k": 2, "ceil": true}}"#;
        assert!(check_spec(pool, &[1, 1, 2, 3], &[4.0, 5.0]).unwrap().within(0.0));
        assert!(!check_spec(pool, &[1, 1, 2, 3], &[4.0, 5.5]).unwrap().within(1e-3));
        assert!(check_spec(pool, &[1, 1, 2, 3], &[4.0]).unwrap_err().to_string().contains("got dimensions"));
    }

    #[test]
    fn unknown_ops_and_arguments_fail() {
        let error = |spec: &str| check_spec(spec, &[1, 1, 2, 2], &[3.0]).unwrap_err().to_string();
        assert_eq!(error(r#"{"op": "fft", "x": []}"#), "fixture: unknown op `fft`");
        let extra = r#"{"op": "max_pool", "x": [], "args": {"k": 2, "dilation": 2}}"#;
        assert_eq!(error(extra), "argument `dilation` of max_pool: is not understood");
        let wrong = r#"{"op": "max_pool", "x": [], "args": {"k": "two"}}"#;
        assert_eq!(error(wrong), "argument `k` of max_pool: is \"two\", not a whole number");
        assert_eq!(error(r#"{"op": "avg_pool", "x": []}"#), "argument `k` of avg_pool: is missing");
        let fraction = r#"{"op": "nearest", "x": [], "args": {"scale": 1.5}}"#;
        assert!(error(fraction).contains("not a whole number"));
        assert!(error(r#"{"op": "conv", "x": [], "args": {"out": 1, "kernel": 1}}"#).contains("tensor `w`"));
    }
}
