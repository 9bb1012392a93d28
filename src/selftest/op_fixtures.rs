//! Fixtures of kind `ops`: single operations with inputs and results from PyTorch.

use super::manifest::under;
use super::{CaseFile, Entry, NEEDS_TRAINING, Selftest, Verdict, compare, count};
use crate::error::{Error, Result};
use crate::ops::{
    Activation, ActivationKind, AvgPool2d, BatchNorm2d, BatchNorm2dTrain, Concat, Conv2d, ConvTranspose2d, Crop2d,
    GlobalAvgPool, GlobalMaxPool, InputKind, InstanceNorm2d, MaxPool2d, Op, OpCase, Pad2d, Resize, ResizeMode,
    ResizeSize, Softmax,
};
use crate::session::Backend;
use crate::tensor::{Comparison, HostTensor, TensorDesc};
use crate::testing::{case_graph, network_tolerance};
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

/// The names of the fixture's operations, if it is one of kind `ops` and its list can be read.
pub(super) fn names(entry: &Entry) -> Option<Vec<String>> {
    let specs = entry.case.get("ops").filter(|_| entry.kind == "ops")?.as_array().filter(|list| !list.is_empty())?;
    let name = |(i, s): (usize, &Value)| Some(format!("{}/{i:02}.{}", entry.name, s.get("op")?.as_str()?));
    specs.iter().enumerate().map(name).collect()
}

impl Selftest<'_> {
    /// Every operation of the fixture: `y` is compared, gradients wait for training, anything else in the file fails.
    pub(super) fn op_fixtures(&mut self, entry: &Entry, files: &[CaseFile]) -> Result<Result<(), String>> {
        let specs = entry.case.get("ops").cloned().unwrap_or_default();
        let specs: Vec<Spec> = match serde_json::from_value(specs) {
            Ok(specs) => specs,
            Err(e) => return Ok(Err(format!("the list of ops: {e}"))),
        };
        let tensors = match entry.tensors(files) {
            Ok(tensors) => tensors,
            Err(e) => return Ok(Err(e.to_string())),
        };
        if specs.is_empty() {
            return Ok(Err("the list of ops is empty".into()));
        }
        let keys: Vec<String> = specs.iter().enumerate().map(|(i, s)| format!("{i:02}.{}", s.op)).collect();
        let known = |name: &str| name.split_once('/').is_some_and(|(k, _)| keys.iter().any(|key| key == k));
        if let Some(stray) = tensors.keys().find(|name| !known(name)) {
            return Ok(Err(format!("tensor `{stray}` belongs to no op of the list")));
        }
        let mut waiting = Vec::new();
        for (spec, key) in specs.iter().zip(&keys) {
            let name = format!("{}/{key}", entry.name);
            if !self.wants(&name) {
                continue;
            }
            let mut given = under(&tensors, &format!("{key}/"));
            let verdict =
                Verdict::of(check(self.backend, &name, spec, &mut given), network_tolerance(self.backend.precision()));
            let came_to_nothing = matches!(verdict, Verdict::Failed(_));
            self.report(&name, "y", verdict)?;
            for rest in given.into_keys() {
                match rest.as_str() {
                    "gy" => {}
                    "batch_mean" | "running_var_update" => waiting.push(rest),
                    grad if grad.starts_with("grad_") => waiting.push(rest),
                    // Its inputs, if the op was not even built.
                    _ if came_to_nothing => {}
                    _ => self.report(&name, &rest, Verdict::Failed("not understood".into()))?,
                }
            }
        }
        if !waiting.is_empty() {
            let check = count(waiting.len(), "training tensor");
            self.skip(&entry.name, &check, NEEDS_TRAINING)?;
        }
        Ok(Ok(()))
    }
}

/// Runs the op on its tensors and compares `y`. Takes the tensors it understands out of `given`.
fn check(backend: &Backend, name: &str, spec: &Spec, given: &mut BTreeMap<String, HostTensor>) -> Result<Comparison> {
    let mut take =
        |key: &str| given.remove(key).ok_or_else(|| Error::invalid(format!("tensor `{key}`"), "is not in the fixture"));
    let want = take("y")?;
    let mut args = Args::new(spec);
    let mut inputs = vec![(take("x")?, InputKind::Data)];
    let op = build(&mut args, &mut inputs, take)?;
    args.finish()?;
    let descs = inputs.iter().map(|(t, kind)| {
        let shape = t.shape()?;
        Ok((
            if *kind == InputKind::Data { TensorDesc::blocked(shape) } else { TensorDesc::linear(shape) },
            kind.clone(),
        ))
    });
    let case = OpCase { name: name.into(), op, inputs: descs.collect::<Result<_>>()? };
    let named = inputs.into_iter().enumerate().map(|(i, (t, kind))| ((kind == InputKind::Data), format!("x{i}"), t));
    let (mut data, mut parameters) = (BTreeMap::new(), BTreeMap::new());
    for (is_data, name, t) in named {
        if is_data { &mut data } else { &mut parameters }.insert(name, t);
    }
    let stored = |key: &str, dims: &[usize]| {
        let tensor = parameters.remove(key);
        tensor.ok_or_else(|| Error::ParameterMissing { key: key.into(), nearest: None })?.reshaped(dims)
    };
    let mut outputs = backend.run(&case_graph(&case)?, &data, stored)?;
    let got = outputs.remove("y0").ok_or_else(|| Error::op(name, "computes nothing"))?;
    compare(&got, &want)
}

/// The op, and its other inputs behind `x`.
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
            Arc::new(ConvTranspose2d {
                out_channels: a.required(Args::size, "out")?,
                kernel: a.required(Args::pair, "kernel")?,
                stride: a.pair("stride")?.unwrap_or([2, 2]),
                padding: a.pair("padding")?.unwrap_or([0, 0]),
                output_padding: a.pair("output_padding")?.unwrap_or([0, 0]),
                bias,
                activation: ActivationKind::None,
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
            Arc::new(BatchNorm2dTrain { eps: 1e-5, activation: ActivationKind::None })
        }
        "batch_norm_eval" => {
            parameters(&["gamma", "beta", "mean", "var"])?;
            Arc::new(BatchNorm2d { eps: 1e-5 })
        }
        "instance_norm" => {
            parameters(&["gamma", "beta"])?;
            Arc::new(InstanceNorm2d { eps: 1e-5, affine: true })
        }
        "relu" => Arc::new(Activation { kind: ActivationKind::Relu }),
        "leaky_relu" => {
            Arc::new(Activation { kind: ActivationKind::LeakyRelu(a.required(Args::number, "slope")? as f32) })
        }
        "sigmoid" => Arc::new(Activation { kind: ActivationKind::Sigmoid }),
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

/// The arguments of an op. Each is read once; what nobody reads is an error.
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

/// A whole number, also when written as `2.0`.
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
        check(&Backend::Cpu, "case", &spec, &mut given)
    }

    #[test]
    fn results_are_compared() {
        let pool = r#"{"op": "max_pool", "x": [], "args": {"k": 2, "ceil": true}}"#;
        assert!(check_spec(pool, &[1, 1, 2, 3], &[4.0, 5.0]).unwrap().within(0.0));
        assert!(!check_spec(pool, &[1, 1, 2, 3], &[4.0, 5.5]).unwrap().within(1e-3));
        assert!(check_spec(pool, &[1, 1, 2, 3], &[4.0]).unwrap_err().to_string().contains("got dimensions"));
    }

    #[test]
    fn what_is_not_understood_fails() {
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
