//! What a package does to its input before, and to its output after the network.

use super::archive::shown;
use crate::error::{Error, Result};
use crate::tensor::HostTensor;
use crate::weights::Normalisation;
use serde_json::Value;

/// A step of processing: what it is called, and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// `scale_range` and the like.
    pub name: String,
    /// Its `kwargs`.
    pub values: Value,
}

/// A step after the network, done on its output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Post {
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Over the channels.
    Softmax,
    /// 1 above the threshold, else 0.
    Binarize(f64),
    /// `x * gain + offset`.
    Linear(f64, f64),
    /// Between two values.
    Clip(f64, f64),
}

impl Step {
    /// Reads a list of steps; `id` of 0.5 or `name` of 0.4.
    pub fn list(steps: Option<&Value>) -> Result<Vec<Self>> {
        let Some(steps) = steps.filter(|s| !s.is_null()) else { return Ok(vec![]) };
        let steps = steps.as_array().ok_or_else(|| Error::invalid("processing", "is not a list"))?;
        let one = |s: &Value| {
            let name = s.get("id").or(s.get("name")).and_then(Value::as_str);
            let name = name.ok_or_else(|| Error::invalid("processing", "a step without a name"))?;
            Ok(Self { name: name.into(), values: s.get("kwargs").cloned().unwrap_or_default() })
        };
        steps.iter().map(one).collect()
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> Error {
        Error::invalid(format!("processing `{}`", shown(&self.name)), reason.to_string())
    }

    fn number(&self, key: &str, default: f64) -> Result<f64> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(v) => v.as_f64().ok_or_else(|| self.wrong(format!("`{key}` is not a number: {v}"))),
        }
    }

    /// A number, or one a channel.
    fn numbers(&self, key: &str, default: f64) -> Result<Vec<f64>> {
        match self.values.get(key) {
            Some(Value::Array(list)) if !list.is_empty() => {
                let all: Option<Vec<f64>> = list.iter().map(Value::as_f64).collect();
                all.ok_or_else(|| self.wrong(format!("`{key}` holds what is no number")))
            }
            _ => Ok(vec![self.number(key, default)?]),
        }
    }

    /// Statistics must be of single channels: of each picture, not of a batch or of all channels together.
    fn per_channel(&self, channels: usize) -> Result<()> {
        let axes: Vec<String> = match self.values.get("axes") {
            None | Some(Value::Null) => vec!["channel".into()],
            Some(Value::String(letters)) => letters.chars().map(|c| c.to_string()).collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_string).collect(),
            Some(other) => return Err(self.wrong(format!("`axes` are {other}"))),
        };
        let has = |names: [&str; 2]| axes.iter().any(|a| names.contains(&a.as_str()));
        if has(["c", "channel"]) && channels > 1 {
            return Err(self.wrong(format!("statistics of all {channels} channels together are not supported")));
        }
        let given = self.values.get("axes").is_some_and(|a| !a.is_null());
        if given && !(has(["x", "x"]) && has(["y", "y"])) {
            return Err(self.wrong(format!("statistics over {axes:?} rather than over the picture are not supported")));
        }
        match self.values.get("mode").and_then(Value::as_str) {
            None | Some("per_sample" | "fixed") => {}
            Some(mode) => return Err(self.wrong(format!("mode `{}` is not supported", shown(mode)))),
        }
        match self.values.get("reference_tensor") {
            None | Some(Value::Null) => Ok(()),
            Some(other) => Err(self.wrong(format!("statistics of another tensor ({other}) are not supported"))),
        }
    }
}

/// The steps as one rule of normalisation. What has none is refused by its name.
pub fn normalisation(steps: &[Step], channels: usize) -> Result<Normalisation> {
    let mut rule = Normalisation::None;
    for step in steps {
        rule = match (step.name.as_str(), rule) {
            ("ensure_dtype", rule) => match step.values.get("dtype").and_then(Value::as_str) {
                Some("float32" | "float64") | None => rule,
                Some(other) => return Err(step.wrong(format!("`{}` would round pixels", shown(other)))),
            },
            ("scale_linear", rule) => linear(step, rule, step.numbers("gain", 1.0)?, step.numbers("offset", 0.0)?)?,
            ("fixed_zero_mean_unit_variance", rule) => standardise(step, rule)?,
            ("zero_mean_unit_variance", rule) if step.values.get("mode").and_then(Value::as_str) == Some("fixed") => {
                standardise(step, rule)?
            }
            // Statistics undo what scales all pixels alike.
            ("zero_mean_unit_variance", rule) if is_linear(&rule) => {
                step.per_channel(channels)?;
                Normalisation::ZScore
            }
            ("scale_range", rule) if is_linear(&rule) => {
                step.per_channel(channels)?;
                let (low, high) = (step.number("min_percentile", 0.0)?, step.number("max_percentile", 100.0)?);
                Normalisation::Percentile { low, high, clamp: None }
            }
            ("clip", Normalisation::Percentile { low, high, clamp: None }) => {
                let clamp = Some([step.number("min", f64::NAN)?, step.number("max", f64::NAN)?]);
                Normalisation::Percentile { low, high, clamp }
            }
            (known, _) if ["zero_mean_unit_variance", "scale_range", "clip"].contains(&known) => {
                return Err(step.wrong("is not supported after the steps before it"));
            }
            _ => return Err(step.wrong("before the network is not supported")),
        };
    }
    Ok(rule)
}

fn is_linear(rule: &Normalisation) -> bool {
    matches!(rule, Normalisation::None | Normalisation::Linear { .. })
}

fn standardise(step: &Step, rule: Normalisation) -> Result<Normalisation> {
    let (mean, std) = (step.numbers("mean", f64::NAN)?, step.numbers("std", f64::NAN)?);
    let both = mean.len().max(std.len());
    let at = |v: &[f64], i: usize| v.get(if v.len() == 1 { 0 } else { i }).copied().unwrap_or(f64::NAN);
    let gain: Vec<f64> = (0..both).map(|i| 1.0 / at(&std, i)).collect();
    let offset = (0..both).map(|i| -at(&mean, i) / at(&std, i)).collect();
    linear(step, rule, gain, offset)
}

/// `rule`, and then `x * gain + offset`.
fn linear(step: &Step, rule: Normalisation, gain: Vec<f64>, offset: Vec<f64>) -> Result<Normalisation> {
    let finite = |v: &[f64]| v.iter().all(|x| x.is_finite());
    if !finite(&gain) || !finite(&offset) || gain.iter().any(|&g| g <= 0.0) {
        return Err(step.wrong("needs finite values, and factors above 0"));
    }
    let (before, shift) = match rule {
        Normalisation::None => (vec![1.0], vec![0.0]),
        Normalisation::Linear { gain, offset } => (gain, offset),
        _ => return Err(step.wrong("is not supported after the steps before it")),
    };
    let all = [gain.len(), offset.len(), before.len(), shift.len()];
    let count = all.into_iter().max().unwrap_or(1);
    if all.iter().any(|&n| n != 1 && n != count) {
        return Err(step.wrong("has values for different numbers of channels"));
    }
    let at = |v: &[f64], i: usize| v.get(if v.len() == 1 { 0 } else { i }).copied().unwrap_or_default();
    let offset = (0..count).map(|i| at(&shift, i) * at(&gain, i) + at(&offset, i)).collect();
    let gain = (0..count).map(|i| at(&before, i) * at(&gain, i)).collect();
    Ok(Normalisation::Linear { gain, offset })
}

/// The steps after the network. What this program has no counterpart of is refused by its name.
pub fn after(steps: &[Step]) -> Result<Vec<Post>> {
    let mut out = Vec::new();
    for step in steps {
        out.push(match step.name.as_str() {
            "ensure_dtype" => continue,
            "sigmoid" => Post::Sigmoid,
            "softmax" => match step.values.get("axis").and_then(Value::as_str) {
                None | Some("c" | "channel") => Post::Softmax,
                Some(axis) => return Err(step.wrong(format!("over axis `{}` is not supported", shown(axis)))),
            },
            "binarize" => Post::Binarize(step.number("threshold", f64::NAN)?),
            "scale_linear" => Post::Linear(step.number("gain", 1.0)?, step.number("offset", 0.0)?),
            "clip" => Post::Clip(step.number("min", f64::NEG_INFINITY)?, step.number("max", f64::INFINITY)?),
            _ => return Err(step.wrong("after the network is not supported")),
        });
    }
    Ok(out)
}

impl Post {
    /// The step on `[N, C, H, W]`.
    pub fn apply(&self, x: &HostTensor) -> Result<HostTensor> {
        let map = |f: &dyn Fn(f64) -> f64| {
            HostTensor::new(x.dims(), x.data().iter().map(|&v| f(f64::from(v)) as f32).collect())
        };
        match *self {
            Self::Sigmoid => map(&|v| 1.0 / (1.0 + (-v).exp())),
            Self::Binarize(threshold) => map(&|v| f64::from(u8::from(v > threshold))),
            Self::Linear(gain, offset) => map(&|v| v * gain + offset),
            Self::Clip(low, high) => map(&|v| v.max(low).min(high)),
            Self::Softmax => {
                let s = x.shape()?;
                let at = |n, c, y, w| x.data().get(((n * s.c + c) * s.h + y) * s.w + w).map_or(0.0, |&v| f64::from(v));
                Ok(HostTensor::from_fn(s, |n, c, y, w| {
                    let largest = (0..s.c).map(|k| at(n, k, y, w)).fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = (0..s.c).map(|k| (at(n, k, y, w) - largest).exp()).sum();
                    ((at(n, c, y, w) - largest).exp() / sum) as f32
                }))
            }
        }
    }
}
