//! The description inside a native checkpoint: the JSON under the safetensors metadata key `unet`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::instance_target::InstanceTarget;
use super::instances::InstanceSettings;
use super::scale::TrainedScale;
use super::steps::PixelStep;
use crate::error::{Error, Hint, Message, Result};

/// The only version of the description so far.
const FORMAT: u32 = 1;

/// Metadata of a native checkpoint. `config` is required, the rest has defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// Version of this description; 1.
    #[serde(default = "one")]
    pub format: u32,
    /// Architecture id: `unet`, `unetpp` or `unet3p`.
    pub arch: String,
    /// The architecture's constructor arguments (names as in PyTorch reference code); absent ones have defaults.
    pub config: Value,
    /// How pixels become network input.
    #[serde(default)]
    pub normalisation: Normalisation,
    /// Class names, background first.
    #[serde(default)]
    pub classes: Vec<String>,
    /// What the network predicts for instances; absent: classes alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<InstanceTarget>,
    /// How single instances are found in the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<InstanceSettings>,
    /// The scale of the images it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<TrainedScale>,
    /// How it was trained: the configuration of `unet train` without the folders of its data, if that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Value>,
}

fn one() -> u32 {
    FORMAT
}

impl ModelMetadata {
    /// Reads and validates the JSON.
    pub fn parse(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).map_err(|e| wrong(format!("not JSON: {e}")))?;
        if !value.is_object() {
            return Err(wrong("not a JSON object"));
        }
        // Checked first: a later format may differ in everything else.
        let format = value.get("format").unwrap_or(&Value::Null);
        if !format.is_null() && format.as_u64() != Some(FORMAT.into()) {
            return Err(wrong(format!("format {format} is not supported, this version reads format {FORMAT}")));
        }
        let metadata: Self = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
        metadata.validate()?;
        Ok(metadata)
    }

    /// The JSON, validated.
    pub fn to_json(&self) -> Result<String> {
        self.validate()?;
        serde_json::to_string(self).map_err(|e| wrong(e.to_string()))
    }

    /// Checks every value, but not whether the architecture exists and accepts the configuration.
    pub fn validate(&self) -> Result<()> {
        if self.format != FORMAT {
            let reason = format!("format {} is not supported, this version reads format {FORMAT}", self.format);
            return Err(wrong(reason));
        }
        if self.arch.is_empty() {
            return Err(wrong("`arch` is empty"));
        }
        if !self.config.is_object() {
            return Err(wrong(format!("`config` is not an object: {}", self.config)));
        }
        self.normalisation.validate().map_err(|e| wrong(format!("`normalisation`: {e}")))?;
        let instances = self.instances.as_ref().map_or(Ok(()), InstanceSettings::validate);
        instances.map_err(|e| wrong(format!("`instances`: {e}")))?;
        let scale = self.scale.as_ref().map_or(Ok(()), TrainedScale::validate);
        scale.map_err(|e| wrong(format!("`scale`: {e}")))
    }
}

/// An error about the description; the reader of the file adds the path.
fn wrong(reason: impl Into<Message>) -> Error {
    Error::invalid("metadata `unet`", reason)
}

/// How the pixels of an image are normalised, per image and channel, before they enter the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Normalisation {
    /// Pixel values unchanged.
    None,
    /// Integers divided by the largest value of their type (255 or 65535); floats unchanged.
    #[default]
    Unit,
    /// `(x - p_low) / max(p_high - p_low, 1e-6)`, percentiles with linear interpolation, then clamped.
    Percentile {
        /// Lower percentile, 0 to 100.
        low: f64,
        /// Upper percentile, 0 to 100.
        high: f64,
        /// Clamp of the result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clamp: Option<[f64; 2]>,
    },
    /// `(x - min) / max(max - min, 1e-6)`.
    MinMax,
    /// `(x - mean) / max(std, 1e-6)`, population standard deviation.
    ZScore,
    /// `x / divisor`, whatever the type.
    Scale {
        /// The divisor, such as 255.
        divisor: f64,
    },
    /// `(x / unit - mean) / std` with fixed values per channel, `unit` as in [`Normalisation::Unit`].
    Fixed {
        /// Mean of each channel (or one for all).
        mean: Vec<f64>,
        /// Standard deviation of each channel (or one for all).
        std: Vec<f64>,
    },
    /// `x * gain + offset` of unscaled pixel values, with fixed values per channel.
    Linear {
        /// Factor of each channel (or one for all), above 0.
        gain: Vec<f64>,
        /// Summand of each channel (or one for all).
        offset: Vec<f64>,
    },
    /// Several steps in sequence on unscaled pixel values, as packages of bioimage.io describe them.
    Steps {
        /// The steps.
        steps: Vec<PixelStep>,
    },
}

impl Normalisation {
    /// From a setting: JSON as in metadata, or the bare name of a kind without parameters.
    pub(crate) fn from_setting(value: &Value) -> Result<Self> {
        let value = if value.is_string() { serde_json::json!({ "kind": value }) } else { value.clone() };
        serde_json::from_value(value).map_err(|e| Error::invalid(Hint::model_option("normalisation"), e.to_string()))
    }

    /// Checks every value.
    pub(crate) fn validate(&self) -> Result<(), String> {
        // Pixels are f32, so values are checked as f32.
        let finite = |v: f64| (v as f32).is_finite();
        match self {
            Self::None | Self::Unit | Self::MinMax | Self::ZScore => Ok(()),
            Self::Scale { divisor } if *divisor > 0.0 && (*divisor as f32).is_normal() => Ok(()),
            Self::Scale { divisor } => Err(format!("divisor {divisor} is not a finite number above 0")),
            Self::Percentile { low, high, clamp } => {
                // Written so that NaN fails.
                if !(0.0 <= *low && low < high && *high <= 100.0) {
                    return Err(format!("percentiles must be 0 <= low < high <= 100, they are {low} and {high}"));
                }
                match *clamp {
                    Some([a, b]) if !(finite(a) && finite(b) && a < b) => {
                        Err(format!("clamp must be two finite numbers in ascending order, it is [{a}, {b}]"))
                    }
                    _ => Ok(()),
                }
            }
            Self::Steps { steps } => super::steps::validate(steps),
            Self::Linear { gain, offset } => {
                let (g, o) = (gain.len(), offset.len());
                if g == 0 || o == 0 || (g != o && g != 1 && o != 1) {
                    return Err(format!("{g} gains and {o} offsets do not go together"));
                }
                if let Some(v) = gain.iter().find(|&&v| !(v > 0.0 && (v as f32).is_normal())) {
                    return Err(format!("gain {v} is not a finite number above 0"));
                }
                match offset.iter().find(|&&v| !finite(v)) {
                    Some(v) => Err(format!("offset {v} is not a finite number")),
                    None => Ok(()),
                }
            }
            Self::Fixed { mean, std } => {
                let (m, s) = (mean.len(), std.len());
                if m == 0 || s == 0 || (m != s && m != 1 && s != 1) {
                    return Err(format!("{m} means and {s} standard deviations do not go together"));
                }
                if let Some(v) = mean.iter().find(|&&v| !finite(v)) {
                    return Err(format!("mean {v} is not a finite number"));
                }
                match std.iter().find(|&&v| !(v > 0.0 && (v as f32).is_normal())) {
                    Some(v) => Err(format!("standard deviation {v} is not a finite number above 0")),
                    None => Ok(()),
                }
            }
        }
    }
}

impl FromStr for Normalisation {
    type Err = String;

    /// `none`, `unit`, `scale:255`, `minmax`, `zscore`, `percentile:1,99.8` (`percentile:1,99.8:0,1.5` clamps),
    /// `fixed:0.5/0.25` (`fixed:0.485,0.456,0.406/0.229,0.224,0.225` by channel; of values divided by the largest of
    /// the type).
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let numbers = |text: &str| -> Result<Vec<f64>, String> {
            text.split(',').map(|n| n.trim().parse().map_err(|_| format!("`{n}` is not a number"))).collect()
        };
        let pair = |text: &str| match numbers(text)?[..] {
            [a, b] => Ok([a, b]),
            _ => Err(format!("`{text}` is not two numbers")),
        };
        let rule = match (kind, rest) {
            ("none", None) => Self::None,
            ("unit", None) => Self::Unit,
            ("minmax", None) => Self::MinMax,
            ("zscore", None) => Self::ZScore,
            ("scale", Some(divisor)) => match numbers(divisor)?[..] {
                [divisor] => Self::Scale { divisor },
                _ => return Err(format!("`{divisor}` is not one number")),
            },
            ("percentile", Some(rest)) => {
                let (range, clamp) = rest.split_once(':').map_or((rest, None), |(range, clamp)| (range, Some(clamp)));
                let [low, high] = pair(range)?;
                Self::Percentile { low, high, clamp: clamp.map(pair).transpose()? }
            }
            ("fixed", Some(rest)) => match rest.split_once('/') {
                Some((mean, std)) => Self::Fixed { mean: numbers(mean)?, std: numbers(std)? },
                None => return Err("write for example fixed:0.5/0.25".into()),
            },
            _ => {
                return Err(
                    "there are: none, unit, scale:255, minmax, zscore, percentile:1,99.8, fixed:MEAN/STD".into()
                );
            }
        };
        rule.validate().map(|()| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_on_the_command_line() {
        let read = |text: &str| text.parse::<Normalisation>();
        assert_eq!(read("none"), Ok(Normalisation::None));
        assert_eq!(read("scale:255"), Ok(Normalisation::Scale { divisor: 255.0 }));
        assert_eq!(read("percentile:1,99.8"), Ok(Normalisation::Percentile { low: 1.0, high: 99.8, clamp: None }));
        let clamped = Normalisation::Percentile { low: 2.0, high: 98.0, clamp: Some([-0.5, 1.5]) };
        assert_eq!(read("percentile:2,98:-0.5,1.5"), Ok(clamped));
        assert_eq!(read("fixed:0.5,0.4/0.2"), Ok(Normalisation::Fixed { mean: vec![0.5, 0.4], std: vec![0.2] }));
        for (text, part) in [
            ("zscore:1", "there are: none"),
            ("scale:0", "divisor 0"),
            ("scale:x", "not a number"),
            ("percentile:99,1", "low < high"),
            ("percentile:1", "not two numbers"),
            ("fixed:0.5", "fixed:0.5/0.25"),
            ("fixed:0.5/0", "above 0"),
            ("", "there are"),
        ] {
            let e = read(text).unwrap_err();
            assert!(e.contains(part), "{text}: {e}");
        }
        let json = serde_json::to_value(Normalisation::Scale { divisor: 255.0 }).unwrap();
        assert_eq!(json, serde_json::json!({"kind": "scale", "divisor": 255.0}));
    }

    fn error(json: &str) -> String {
        ModelMetadata::parse(json).unwrap_err().to_string()
    }

    fn normalised(json: &str) -> Result<ModelMetadata> {
        ModelMetadata::parse(&format!(r#"{{"arch": "unet", "config": {{}}, "normalisation": {json}}}"#))
    }

    #[test]
    fn defaults_and_round_trip() {
        let m = ModelMetadata::parse(r#"{"arch": "unet", "config": {"width": 16}}"#).unwrap();
        assert_eq!((m.format, m.normalisation.clone(), m.classes.len()), (1, Normalisation::Unit, 0));
        assert_eq!(ModelMetadata::parse(&m.to_json().unwrap()).unwrap(), m);
        let m = normalised(r#"{"kind": "percentile", "low": 1.0, "high": 99.8, "clamp": [0, 1.5]}"#).unwrap();
        assert_eq!(ModelMetadata::parse(&m.to_json().unwrap()).unwrap(), m);
        assert_eq!(normalised(r#"{"kind": "z_score"}"#).unwrap().normalisation, Normalisation::ZScore);
    }

    #[test]
    fn bad_descriptions() {
        assert!(error("{").starts_with("metadata `unet`: not JSON: "));
        assert_eq!(error("[1]"), "metadata `unet`: not a JSON object");
        let unsupported = "metadata `unet`: format 2 is not supported, this version reads format 1";
        assert_eq!(error(r#"{"format": 2, "layers": []}"#), unsupported);
        assert!(error(r#"{"format": "1"}"#).contains("format \"1\" is not supported"));
        assert!(error(r#"{"config": {}}"#).contains("missing field `arch`"));
        assert!(error(r#"{"arch": "unet"}"#).contains("missing field `config`"));
        assert!(error(r#"{"arch": "unet", "config": 3}"#).contains("`config` is not an object: 3"));
        assert!(error(r#"{"arch": "", "config": {}}"#).contains("`arch` is empty"));
    }

    #[test]
    fn how_instances_are_found() {
        let read = |section: &str| ModelMetadata::parse(&format!(r#"{{"arch": "unet", "config": {{}}, {section}}}"#));
        // A file from before the section.
        let without = ModelMetadata::parse(r#"{"arch": "unet", "config": {}}"#).unwrap();
        assert_eq!(without.instances, None);
        assert!(!without.to_json().unwrap().contains("instances"));
        let with = read(r#""instances": {"method": "watershed", "min_area": 20}"#).unwrap();
        assert_eq!(ModelMetadata::parse(&with.to_json().unwrap()).unwrap(), with);
        let e = read(r#""instances": {"min_area": "few"}"#).unwrap_err().to_string();
        assert_eq!(e, "metadata `unet`: `instances`: `min_area`: `few` is not a whole number of pixels");
        let bad = ModelMetadata { instances: Some(InstanceSettings::default().with_threshold(2.0)), ..without };
        assert!(bad.to_json().unwrap_err().to_string().contains("`instances`: `threshold`: 2 is not"));
    }

    #[test]
    fn the_scale_of_training() {
        let read = |section: &str| ModelMetadata::parse(&format!(r#"{{"arch": "unet", "config": {{}}, {section}}}"#));
        let with = read(r#""scale": {"diameter": 20.5, "pixel_size": 0.65}"#).unwrap();
        assert_eq!(with.scale, Some(TrainedScale::default().with_diameter(20.5).with_pixel_size(0.65)));
        assert_eq!(ModelMetadata::parse(&with.to_json().unwrap()).unwrap(), with);
        let without = ModelMetadata { scale: None, ..with };
        assert!(!without.to_json().unwrap().contains("scale"));
        for (section, expected) in [
            (r#""scale": {"diameter": 0}"#, "`scale`: `diameter`: 0 is not a number above 0"),
            (r#""scale": {"pixel_size": -0.5}"#, "`scale`: `pixel_size`: -0.5 is not a number above 0"),
            (r#""scale": {"diametre": 3}"#, "unknown field `diametre`, expected `diameter` or `pixel_size`"),
        ] {
            let e = read(section).unwrap_err().to_string();
            assert!(e.starts_with("metadata `unet`: ") && e.contains(expected), "{section}: {e}");
        }
    }

    #[test]
    fn bad_normalisations() {
        for (json, part) in [
            (r#"{"kind": "percentile", "low": 99, "high": 1}"#, "they are 99 and 1"),
            (r#"{"kind": "percentile", "low": 5, "high": 5}"#, "low < high"),
            (r#"{"kind": "percentile", "low": -1, "high": 5}"#, "0 <= low"),
            (r#"{"kind": "percentile", "low": 1, "high": 101}"#, "<= 100"),
            (r#"{"kind": "percentile", "low": 1, "high": 99, "clamp": [1, 0]}"#, "it is [1, 0]"),
            (r#"{"kind": "percentile", "low": 1, "high": 99, "clamp": [0, 1e300]}"#, "finite"),
            (r#"{"kind": "fixed", "mean": [0.5], "std": [0]}"#, "standard deviation 0 "),
            (r#"{"kind": "fixed", "mean": [0.5], "std": [1e-300]}"#, "above 0"),
            (r#"{"kind": "fixed", "mean": [1e300], "std": [1]}"#, "not a finite number"),
            (r#"{"kind": "fixed", "mean": [], "std": [1]}"#, "0 means and 1 "),
            (r#"{"kind": "fixed", "mean": [1, 2], "std": [1, 2, 3]}"#, "do not go together"),
            (r#"{"kind": "linear", "gain": [0], "offset": [1]}"#, "gain 0 is not"),
            (r#"{"kind": "linear", "gain": [1, 2], "offset": [1, 2, 3]}"#, "2 gains and 3 offsets"),
            (r#"{"kind": "guess"}"#, "unknown variant `guess`"),
        ] {
            let e = normalised(json).unwrap_err().to_string();
            assert!(e.starts_with("metadata `unet`: ") && e.contains(part), "{json}: {e}");
        }
        let fixed = |mean, std| Normalisation::Fixed { mean, std };
        assert!(fixed(vec![0.5; 3], vec![0.2]).validate().is_ok());
        assert!(fixed(vec![f64::NAN], vec![0.2]).validate().is_err());
        assert!(Normalisation::Percentile { low: f64::NAN, high: 9.0, clamp: None }.validate().is_err());
    }
}
