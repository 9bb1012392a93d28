//! Preprocessing and postprocessing of a package.

use super::archive::escaped;
use super::{Described, Post};
use crate::error::{Error, Result};
use crate::weights::{Normalisation, PixelStep};
use serde_json::Value;

/// Default epsilon added to standard deviations and ranges, from the specification and its Python runtime.
const EPS: f64 = 1e-6;

/// A step of processing.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Name, such as `scale_range`.
    pub name: String,
    /// Its `kwargs`.
    pub values: Value,
}

impl Step {
    /// Reads a list of steps; their name is `id` in format 0.5, `name` in 0.4.
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
        Error::invalid(format!("processing `{}`", escaped(&self.name)), reason.to_string())
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|v| !v.is_null())
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    fn number(&self, key: &str, default: Option<f64>) -> Result<f64> {
        // YAML 1.1 parses `1e-10` as a string.
        let number = |v: &Value| v.as_f64().or_else(|| v.as_str()?.parse().ok()).filter(|n: &f64| n.is_finite());
        match (self.get(key), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.wrong(format!("has no `{key}`"))),
            (Some(v), _) => {
                number(v).ok_or_else(|| self.wrong(format!("`{key}` is not a number: {}", escaped(&v.to_string()))))
            }
        }
    }

    /// Reads one number, or one per channel.
    fn numbers(&self, key: &str, default: Option<f64>, tensor: &Described) -> Result<Vec<f64>> {
        let Some(Value::Array(list)) = self.get(key) else { return Ok(vec![self.number(key, default)?]) };
        if let Some(axis) = self.text("axis").filter(|axis| !is_channel(axis, tensor)) {
            return Err(self.wrong(format!("along axis `{}` is not supported", escaped(axis))));
        }
        let all: Option<Vec<f64>> = list.iter().map(|v| v.as_f64().filter(|v| v.is_finite())).collect();
        let all = all.ok_or_else(|| self.wrong(format!("`{key}` holds a value that is not a number")))?;
        let channels = tensor.channels.unwrap_or(all.len());
        if all.is_empty() || (all.len() != 1 && all.len() != channels) {
            return Err(self.wrong(format!("has {} values of `{key}` for {channels} channels", all.len())));
        }
        Ok(all)
    }

    /// Whether statistics are over all channels rather than per channel. Deviations from the description go to `notes`.
    fn joint(&self, tensor: &Described, channels: usize, notes: &mut Vec<String>) -> Result<bool> {
        let axes: Option<Vec<String>> = match self.get("axes") {
            None => None,
            Some(Value::String(letters)) => Some(letters.chars().map(|c| c.to_string()).collect()),
            Some(Value::Array(list)) => Some(list.iter().filter_map(Value::as_str).map(str::to_string).collect()),
            Some(other) => return Err(self.wrong(format!("`axes` are {}", escaped(&other.to_string())))),
        };
        let has = |name: &str| axes.as_ref().is_none_or(|axes| axes.iter().any(|a| a == name));
        if !(has("x") && has("y")) {
            let axes = escaped(&axes.unwrap_or_default().join(", "));
            return Err(self.wrong(format!("statistics over {axes} rather than over the image are not supported")));
        }
        let dataset = match self.text("mode") {
            None | Some("per_sample") => has("batch") || has("b"),
            Some("per_dataset") => true,
            Some(mode) => return Err(self.wrong(format!("mode `{}` is not supported", escaped(mode)))),
        };
        match self.get("reference_tensor") {
            Some(v) if v.as_str() != Some(&tensor.id) => {
                let other = escaped(&v.to_string());
                return Err(self.wrong(format!("statistics of another tensor ({other}) are not supported")));
            }
            _ => {}
        }
        if dataset {
            notes.push(format!("`{}` is over a whole data set; here it is per image", self.name));
        }
        let channel = axes.as_ref().is_none_or(|axes| axes.iter().any(|a| is_channel(a, tensor)));
        Ok(channel && channels > 1)
    }

    /// Converts `(x - mean) / (std + eps)` with fixed values to gain and offset.
    fn standardised(&self, tensor: &Described) -> Result<(Vec<f64>, Vec<f64>)> {
        let (mean, std) = (self.numbers("mean", None, tensor)?, self.numbers("std", None, tensor)?);
        let eps = self.number("eps", Some(EPS))?;
        let at = |v: &[f64], i: usize| v.get(if v.len() == 1 { 0 } else { i }).copied().unwrap_or(f64::NAN);
        let both = 0..mean.len().max(std.len());
        if let Some(v) = std.iter().find(|&&v| v + eps <= 0.0) {
            return Err(self.wrong(format!("a standard deviation of {v}")));
        }
        let gain = both.clone().map(|i| 1.0 / (at(&std, i) + eps)).collect();
        Ok((gain, both.map(|i| -at(&mean, i) / (at(&std, i) + eps)).collect()))
    }

    /// Whether it is standardisation with fixed values: a step of its own in 0.5, the default mode in 0.4.
    fn is_fixed(&self) -> bool {
        match self.name.as_str() {
            "fixed_zero_mean_unit_variance" => true,
            "zero_mean_unit_variance" => {
                self.text("mode") == Some("fixed") || (self.text("mode").is_none() && self.get("mean").is_some())
            }
            _ => false,
        }
    }

    /// Whether it only converts to floats.
    fn converts_to_float(&self) -> bool {
        self.name == "ensure_dtype" && matches!(self.text("dtype"), None | Some("float32" | "float64"))
    }

    fn clip(&self) -> Result<[Option<f64>; 2]> {
        if self.get("min_percentile").or(self.get("max_percentile")).is_some() {
            return Err(self.wrong("at percentiles is not supported"));
        }
        let bound = |key: &str| self.get(key).map(|_| self.number(key, None)).transpose();
        match [bound("min")?, bound("max")?] {
            [Some(a), Some(b)] if a >= b => Err(self.wrong(format!("from {a} to {b}"))),
            [None, None] => Err(self.wrong("has no `min` and no `max`")),
            bounds => Ok(bounds),
        }
    }
}

fn is_channel(axis: &str, tensor: &Described) -> bool {
    axis == "c" || axis == "channel" || axis == tensor.channel_axis
}

/// Converts preprocessing for a network of `channels` input channels to a normalisation, with notes on deviations.
/// Unsupported steps are errors that name them.
pub(super) fn before(steps: &[Step], tensor: &Described, channels: usize) -> Result<(Normalisation, Vec<String>)> {
    let (mut all, mut notes) = (Vec::new(), Vec::new());
    for (i, step) in steps.iter().enumerate() {
        all.push(match step.name.as_str() {
            _ if step.converts_to_float() => continue,
            // A leading conversion declares the pixel type of the package's images.
            "ensure_dtype" if i == 0 && step.text("dtype") != Some("bool") => continue,
            "ensure_dtype" => {
                let kind = escaped(step.text("dtype").unwrap_or("?"));
                return Err(step.wrong(format!("`{kind}` would round the result of earlier steps")));
            }
            _ if step.is_fixed() => {
                let (gain, offset) = step.standardised(tensor)?;
                PixelStep::Linear { gain, offset }
            }
            "scale_linear" => PixelStep::Linear {
                gain: step.numbers("gain", Some(1.0), tensor)?,
                offset: step.numbers("offset", Some(0.0), tensor)?,
            },
            "zero_mean_unit_variance" => PixelStep::Standardise {
                eps: step.number("eps", Some(EPS))?,
                joint: step.joint(tensor, channels, &mut notes)?,
            },
            "scale_range" => PixelStep::Range {
                low: step.number("min_percentile", Some(0.0))?,
                high: step.number("max_percentile", Some(100.0))?,
                eps: step.number("eps", Some(EPS))?,
                joint: step.joint(tensor, channels, &mut notes)?,
            },
            "clip" => {
                let [low, high] = step.clip()?;
                PixelStep::Clip { low, high }
            }
            _ => return Err(step.wrong("before the network is not supported")),
        });
    }
    notes.dedup();
    Ok((if all.is_empty() { Normalisation::None } else { Normalisation::Steps { steps: all } }, notes))
}

/// Converts postprocessing. Unsupported steps are errors that name them.
pub(super) fn after(steps: &[Step], tensor: &Described) -> Result<Vec<Post>> {
    let mut out = Vec::new();
    for step in steps {
        let binary = matches!(out.last(), Some(Post::Binarize(_)));
        out.push(match step.name.as_str() {
            _ if step.converts_to_float() => continue,
            "ensure_dtype" if binary => continue,
            "ensure_dtype" => {
                let kind = escaped(step.text("dtype").unwrap_or("?"));
                return Err(step.wrong(format!("`{kind}` would round the output")));
            }
            _ if binary => return Err(step.wrong("after `binarize` is not supported")),
            _ if step.is_fixed() => {
                let (gain, offset) = step.standardised(tensor)?;
                Post::Linear(gain, offset)
            }
            "sigmoid" => Post::Sigmoid,
            "softmax" => match step.text("axis") {
                Some(axis) if !is_channel(axis, tensor) => {
                    return Err(step.wrong(format!("over axis `{}` is not supported", escaped(axis))));
                }
                _ => Post::Softmax,
            },
            "binarize" => match step.numbers("threshold", None, tensor)?[..] {
                [first, ref others @ ..] if others.iter().all(|&t| t == first) => Post::Binarize(first),
                _ => return Err(step.wrong("with a threshold per channel is not supported")),
            },
            "scale_linear" => {
                Post::Linear(step.numbers("gain", Some(1.0), tensor)?, step.numbers("offset", Some(0.0), tensor)?)
            }
            "clip" => {
                let [low, high] = step.clip()?;
                Post::Clip(low.unwrap_or(f64::from(f32::MIN)), high.unwrap_or(f64::from(f32::MAX)))
            }
            _ => return Err(step.wrong("after the network is not supported")),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tensor(channels: usize) -> Described {
        let names: Vec<String> = (0..channels).map(|i| format!("c{i}")).collect();
        let axes = json!([
            { "type": "batch" }, { "type": "channel", "id": "stain", "channel_names": names },
            { "type": "space", "id": "y" }, { "type": "space", "id": "x" },
        ]);
        Described::read("inputs", &json!({ "id": "raw", "axes": axes })).unwrap()
    }

    fn steps(list: Value) -> Vec<Step> {
        Step::list(Some(&list)).unwrap()
    }

    #[test]
    fn every_step_before_the_network() {
        let range = |joint| PixelStep::Range { low: 1.0, high: 99.8, eps: 1e-6, joint };
        let std = |eps, joint| PixelStep::Standardise { eps, joint };
        let linear = |gain: &[f64], offset: &[f64]| PixelStep::Linear { gain: gain.into(), offset: offset.into() };
        let q = |axes: Value| {
            json!([{ "name": "scale_range",
            "kwargs": { "mode": "per_sample", "axes": axes, "min_percentile": 1, "max_percentile": 99.8 } }])
        };
        for (list, channels, expected, notes) in [
            (q(json!("xy")), 3, vec![range(false)], 0),
            (q(json!("cyx")), 3, vec![range(true)], 0),
            (q(json!("xyc")), 1, vec![range(false)], 0),
            (q(json!(["y", "x", "stain"])), 3, vec![range(true)], 0),
            (q(json!(["batch", "y", "x"])), 3, vec![range(false)], 1),
            (q(Value::Null), 3, vec![range(true)], 1),
            (
                json!([{ "id": "ensure_dtype", "kwargs": { "dtype": "uint8" } },
                       { "id": "zero_mean_unit_variance", "kwargs": { "axes": ["x", "y"], "eps": 0.01 } },
                       { "id": "clip", "kwargs": { "max": 3.0 } },
                       { "id": "ensure_dtype", "kwargs": { "dtype": "float32" } }]),
                2,
                vec![std(0.01, false), PixelStep::Clip { low: None, high: Some(3.0) }],
                0,
            ),
            (
                json!([{ "name": "zero_mean_unit_variance",
                         "kwargs": { "mode": "per_dataset", "axes": "zyx", "eps": "1e-10" } }]),
                1,
                vec![std(1e-10, false)],
                1,
            ),
            (
                json!([{ "name": "scale_linear", "kwargs": { "axes": "xy", "gain": [0.5, 2.0], "offset": [0, 1] } }]),
                2,
                vec![linear(&[0.5, 2.0], &[0.0, 1.0])],
                0,
            ),
            (
                json!([{ "id": "fixed_zero_mean_unit_variance",
                         "kwargs": { "axis": "stain", "mean": [1.0, 4.0], "std": [0.999999, 1.999999] } }]),
                2,
                vec![linear(&[1.0, 0.5], &[-1.0, -2.0])],
                0,
            ),
            (
                json!([{ "name": "zero_mean_unit_variance",
                         "kwargs": { "axes": "xy", "mean": 3.0, "std": 1.9, "eps": 0.1 } }]),
                2,
                vec![linear(&[0.5], &[-1.5])],
                0,
            ),
        ] {
            let (rule, deviations) = before(&steps(list.clone()), &tensor(channels), channels).unwrap();
            assert_eq!((rule, deviations.len()), (Normalisation::Steps { steps: expected }, notes), "{list}");
        }
        assert_eq!(before(&[], &tensor(1), 1).unwrap(), (Normalisation::None, vec![]));
    }

    #[test]
    fn unsupported_steps_are_errors() {
        let one = |name: &str, kwargs: Value| steps(json!([{ "id": name, "kwargs": kwargs }]));
        let two = |kwargs: Value| steps(json!([{ "id": "sigmoid" }, { "id": "ensure_dtype", "kwargs": kwargs }]));
        for (list, part) in [
            (one("binarize", json!({ "threshold": 3 })), "processing `binarize`: before the network"),
            (one("sigmoid", Value::Null), "processing `sigmoid`: before the network"),
            (one("stardist", Value::Null), "processing `stardist`: before the network is not supported"),
            (one("clip", json!({ "min_percentile": 1.0 })), "`clip`: at percentiles"),
            (one("clip", json!({ "min": 1.0, "max": 0.0 })), "from 1 to 0"),
            (one("clip", json!({})), "no `min` and no `max`"),
            (one("scale_linear", json!({ "gain": [1.0, 2.0] })), "2 values of `gain` for 3 channels"),
            (one("scale_linear", json!({ "gain": [1, 2, 3], "axis": "y" })), "along axis `y`"),
            (one("scale_linear", json!({ "gain": "much" })), "`gain` is not a number: \\\"much\\\""),
            (one("scale_range", json!({ "axes": ["x", "channel"] })), "statistics over x, channel rather than"),
            (one("scale_range", json!({ "mode": "percentiles", "axes": "xy" })), "mode `percentiles`"),
            (one("scale_range", json!({ "axes": "xy", "reference_tensor": "mask" })), "of another tensor"),
            (one("fixed_zero_mean_unit_variance", json!({ "mean": 1.0 })), "has no `std`"),
            (one("zero_mean_unit_variance", json!({ "mode": "fixed", "axes": "xy" })), "has no `mean`"),
        ] {
            let e = before(&list, &tensor(3), 3).unwrap_err().to_string();
            assert!(e.contains(part), "{part}: {e}");
        }
        let rounded = steps(json!([{ "id": "scale_linear", "kwargs": { "gain": 2.0 } },
            { "id": "ensure_dtype", "kwargs": { "dtype": "uint8" } }]));
        assert!(before(&rounded, &tensor(1), 1).unwrap_err().to_string().contains("`uint8` would round"));
        for (list, part) in [
            (
                one("cellpose_flow_dynamics", Value::Null),
                "`cellpose_flow_dynamics`: after the network is not supported",
            ),
            (one("scale_mean_variance", json!({ "reference_tensor": "raw" })), "`scale_mean_variance`: after"),
            (one("zero_mean_unit_variance", json!({ "axes": ["x", "y"] })), "`zero_mean_unit_variance`: after"),
            (one("scale_range", json!({ "axes": ["x", "y"] })), "`scale_range`: after the network"),
            (one("softmax", json!({ "axis": "y" })), "over axis `y`"),
            (
                one("binarize", json!({ "threshold": [0.1, 0.2, 0.3], "axis": "channel" })),
                "with a threshold per channel",
            ),
            (one("binarize", json!({})), "has no `threshold`"),
            (two(json!({ "dtype": "uint8" })), "would round the output"),
            (
                steps(json!([{ "id": "binarize", "kwargs": { "threshold": 0.5 } }, { "id": "sigmoid" }])),
                "after `binarize`",
            ),
        ] {
            let e = after(&list, &tensor(3)).unwrap_err().to_string();
            assert!(e.contains(part), "{part}: {e}");
        }
    }

    #[test]
    fn every_step_after_the_network() {
        let list = json!([{ "id": "sigmoid" }, { "id": "softmax", "kwargs": { "axis": "stain" } }, { "id": "softmax" },
            { "id": "ensure_dtype", "kwargs": { "dtype": "float32" } },
            { "id": "scale_linear", "kwargs": { "gain": 255 } }, { "id": "clip", "kwargs": { "min": 0, "max": 1 } },
            { "id": "binarize", "kwargs": { "threshold": [0.3, 0.3], "axis": "channel" } },
            { "id": "ensure_dtype", "kwargs": { "dtype": "uint8" } }]);
        let expected = [
            Post::Sigmoid,
            Post::Softmax,
            Post::Softmax,
            Post::Linear(vec![255.0], vec![0.0]),
            Post::Clip(0.0, 1.0),
            Post::Binarize(0.3),
        ];
        assert_eq!(after(&steps(list), &tensor(2)).unwrap(), expected);
    }
}
