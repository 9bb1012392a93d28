//! Configuration of a training run: `run.toml`, or the options of `unet train`.

mod data;
mod instances;
mod optimiser;

pub use data::DataConfig;
pub use instances::InstancesConfig;
pub use optimiser::{OptimiserConfig, OptimiserName};

use super::augment::Augmentation;
use super::dataset::Split;
use super::loss::{Loss, LossConfig};
use super::schedule::Schedule;
use super::weight_map::{ClassWeights, WeightMap};
use crate::error::{Error, Result};
use crate::io::fs;
use crate::model::{Architecture, ArchitectureId};
use crate::names::{Name, Named, named};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// A training run. Unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainConfig {
    /// `unet`, `unetpp` or `unet3p`.
    pub arch: ArchitectureId,
    /// Crops per batch.
    pub batch: usize,
    /// Batches whose gradients are accumulated for a step.
    pub accumulate: usize,
    /// Rows and columns of a crop: the network's input, pixels.
    pub crop: usize,
    /// Steps.
    pub steps: u64,
    /// Steps between evaluations.
    pub eval_every: u64,
    /// Evaluations without a better result after which training stops; 0: never.
    pub patience: u32,
    /// The score that selects the best model: `dice`, `iou`, `f1` or `loss`. Default: `f1` for instances, else `dice`.
    pub monitor: Option<Monitor>,
    /// Random seed.
    pub seed: u64,
    /// Maximum global norm of the gradients; 0: no clipping.
    pub clip: f32,
    /// Steps of linear warm-up of the learning rate.
    pub warmup: u64,
    /// Pixels that predicted instances are dilated by before they are compared with `labels/`.
    pub grow: usize,
    /// Device memory limit, bytes; a batch that does not fit is divided and its gradients are accumulated.
    pub memory: u64,
    /// Gradient checkpointing of the encoder: its activations are recomputed in the backward pass. Saves memory, costs
    /// time.
    pub checkpointing: bool,
    /// The network's options, as in a checkpoint. Default: width 16, and same padding for U-Net.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// The data set.
    pub data: DataConfig,
    /// Instances to tell apart; absent: classes alone. Needs `labels/`.
    pub instances: Option<InstancesConfig>,
    /// The loss; by default that of the network's paper.
    pub loss: Option<LossConfig>,
    /// Pixel weights; enabled by default if the loss takes them.
    pub weight_map: Option<WeightMapConfig>,
    /// The optimiser.
    pub optimiser: OptimiserConfig,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// Random augmentation.
    pub augment: Augmentation,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            arch: ArchitectureId::default(),
            batch: 8,
            accumulate: 1,
            crop: 128,
            steps: 1000,
            eval_every: 200,
            patience: 0,
            monitor: None,
            seed: 0,
            clip: 0.0,
            warmup: 0,
            grow: 0,
            memory: 4 << 30,
            checkpointing: false,
            config: Value::Null,
            data: DataConfig::default(),
            instances: None,
            loss: None,
            weight_map: None,
            optimiser: OptimiserConfig::default(),
            schedule: Schedule::Cosine { min_lr: 1e-5 },
            augment: Augmentation { flips: true, turns: true, ..Augmentation::default() },
        }
    }
}

/// The U-Net paper's pixel weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeightMapConfig {
    /// Whether pixel weights are used.
    pub enabled: bool,
    /// Largest border weight.
    pub w0: f64,
    /// Width of the border term, pixels.
    pub sigma: f64,
    /// `"balanced"`, `"none"`, or one number per class. Default: balanced; for instances, that of the target.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub class_weights: Value,
    /// Border weights on background pixels only.
    pub background_only: bool,
}

impl Default for WeightMapConfig {
    fn default() -> Self {
        let WeightMap { w0, sigma, background_only, .. } = WeightMap::default();
        Self { enabled: true, w0, sigma, class_weights: Value::Null, background_only }
    }
}

/// The validation score that selects the best model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// Mean Dice of the classes.
    Dice,
    /// Mean IoU of the classes.
    Iou,
    /// F1 of the instances found.
    F1,
    /// The loss of the validation images, without augmentation.
    Loss,
}

impl Monitor {
    /// A value of the score, so that larger is better.
    pub(super) fn gain(self, value: f64) -> f64 {
        if self == Self::Loss { -value } else { value }
    }
}

impl Named for Monitor {
    const WHAT: &'static str = "monitor";
    const NAMES: &'static [Name<Self>] = &[
        Name::new(Self::Dice, "dice", "Mean Dice of the classes"),
        Name::new(Self::Iou, "iou", "Mean IoU of the classes"),
        Name::new(Self::F1, "f1", "F1 of the instances found"),
        Name::new(Self::Loss, "loss", "The loss without augmentation"),
    ];
}

named!(Monitor);

impl TrainConfig {
    /// Reads a TOML file. Relative paths in it are relative to the working directory. Errors name the file and line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        toml::from_str(&text).map_err(|e| {
            let line =
                e.span().map(|at| format!("line {}: ", text[..at.start.min(text.len())].matches('\n').count() + 1));
            Error::file(path, format!("{}{}", line.unwrap_or_default(), e.message().replace('\n', " ")))
        })
    }

    /// The configuration as TOML for [`TrainConfig::read`].
    pub fn to_toml(&self) -> Result<String> {
        let mut config = self.clone();
        strip_nulls(&mut config.config);
        toml::to_string_pretty(&config).map_err(|e| Error::invalid("training configuration", e.to_string()))
    }

    /// The network. Errors if its options are invalid, if it has several sigmoid outputs, or other output channels than the
    /// target of `instances` needs.
    pub fn architecture(&self) -> Result<Box<dyn Architecture>> {
        let Some(instances) = &self.instances else {
            let model = self.arch.build_for_training(&self.config)?;
            return exclusive(model);
        };
        let config = instances.network(self.arch, &self.config, self.data.instance_classes())?;
        let model = self.arch.build_for_training(&config)?;
        if instances.target.is_geometry() { Ok(model) } else { exclusive(model) }
    }

    /// The score that selects the best model.
    pub fn monitor(&self) -> Monitor {
        self.monitor.unwrap_or(if self.instances.is_some() { Monitor::F1 } else { Monitor::Dice })
    }

    /// The loss: the configured one, or the default of the target or the network. Errors if it does not suit the target.
    pub fn loss(&self, model: &dyn Architecture) -> Result<LossConfig> {
        let own = self.instances.map(|i| i.loss(self.data.instance_classes()));
        let loss = match (&self.loss, &own) {
            (Some(loss), _) => loss.clone(),
            (None, Some(own)) => LossConfig::from(own.clone()),
            (None, None) => LossConfig::from(model.default_loss()),
        };
        match (&loss.loss, own) {
            (given, Some(own @ Loss::Instances(_))) if *given != own => {
                let target = self.instances.map(|i| i.target.to_string()).unwrap_or_default();
                Err(Error::invalid("loss", format!("target `{target}` is trained with {own:?}, not {given:?}")))
            }
            (Loss::Instances(_), None | Some(Loss::WeightedCe(_))) => {
                Err(Error::invalid("loss", "`instances` needs [instances] with target `multi` or `distance`"))
            }
            _ => Ok(loss),
        }
    }

    /// The pixel weights, unless disabled or the loss takes none. Errors if they are configured for a loss that takes
    /// none.
    pub fn weight_map(&self, loss: &LossConfig) -> Result<Option<WeightMap>> {
        let requested = self.weight_map.clone();
        if self.instances.is_some_and(|i| i.target.is_geometry()) || !loss.takes_weights() {
            return match (requested, self.instances) {
                (Some(w), Some(i)) if w.enabled && i.target.is_geometry() => {
                    Err(Error::invalid("weight_map", format!("target `{}` takes no weights", i.target)))
                }
                (Some(w), _) if w.enabled => {
                    Err(Error::invalid("weight_map", format!("{:?} takes no weights", loss.loss)))
                }
                _ => Ok(None),
            };
        }
        let target = self.instances.map(|i| i.target);
        let default = || WeightMapConfig::of(target);
        let WeightMapConfig { enabled, w0, sigma, class_weights, background_only } = requested.unwrap_or_else(default);
        let class_weights = match &class_weights {
            Value::Null => instances::class_weights(target),
            Value::String(s) if s == "balanced" && target.is_some() => {
                let reason = "\"balanced\", but for [instances] none or one number per class";
                return Err(Error::invalid("class_weights", reason));
            }
            Value::String(s) if s == "balanced" => ClassWeights::Balanced,
            Value::String(s) if s == "none" => ClassWeights::None,
            Value::Array(a) => ClassWeights::Explicit(a.iter().filter_map(Value::as_f64).collect()),
            other => return Err(Error::invalid("class_weights", format!("{other} is not balanced, none or numbers"))),
        };
        Ok(enabled.then_some(WeightMap { w0, sigma, class_weights, background_only }))
    }

    /// Whether crops are augmented on the host: for instances, whose target is computed on the augmented crop, and for
    /// options that the device does not have.
    pub fn on_host(&self) -> bool {
        self.instances.is_some() || self.augment.host_only().is_some()
    }

    /// How to hold out validation images when there is no validation folder.
    pub fn split(&self) -> Result<Split> {
        match (self.data.validation, self.data.validation_every) {
            (Some(_), Some(_)) => Err(Error::invalid("data", "give `validation` or `validation_every`, not both")),
            (None, Some(n)) => Ok(Split::Every(n)),
            (share, None) => Ok(Split::Fraction(share.unwrap_or(0.2))),
        }
    }

    /// Errors on the first value that is out of range.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [("batch", self.batch), ("accumulate", self.accumulate), ("crop", self.crop)] {
            if value == 0 || value > 1 << 16 {
                return Err(Error::invalid(name, format!("{value} is not from 1 to {}", 1 << 16)));
            }
        }
        if self.steps == 0 || self.eval_every == 0 {
            return Err(Error::invalid("steps", "steps and eval_every are at least 1"));
        }
        if !(self.clip >= 0.0 && self.clip.is_finite()) {
            return Err(Error::invalid("clip", format!("{} is not a norm", self.clip)));
        }
        if let Some(value) = self.data.fill_nan.filter(|v| !v.is_finite()) {
            return Err(Error::invalid("fill_nan", format!("{value} is not finite")));
        }
        self.schedule.validate()?;
        self.optimiser.kind()?;
        self.augment.validate()?;
        if let Some(instances) = &self.instances {
            instances.validate(&self.data)?;
        }
        let model = self.architecture()?;
        let rule = model.size_rule();
        let (min, step) = (rule.minimum, rule.step);
        if self.crop < min || !(self.crop - min).is_multiple_of(step) {
            let below = min + self.crop.saturating_sub(min) / step * step;
            let reason = format!("{} does not fit {}: take {below} or {}", self.crop, model.name(), below + step);
            return Err(Error::invalid("crop", reason));
        }
        let loss = self.loss(&*model)?;
        self.weight_map(&loss)?;
        Ok(())
    }
}

/// The network, unless it has several sigmoid outputs: a pixel has one class.
fn exclusive(model: Box<dyn Architecture>) -> Result<Box<dyn Architecture>> {
    if model.classes() != model.out_channels().max(2) {
        let reason = "a pixel has one target class, but the network has several sigmoid outputs: use softmax";
        return Err(Error::invalid("activation", reason));
    }
    Ok(model)
}

/// TOML has no null.
fn strip_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, v| !v.is_null());
        map.values_mut().for_each(strip_nulls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::dataset::GroundTruthKind;
    use serde_json::json;

    #[test]
    fn configuration_round_trips_through_toml() {
        let mut config = TrainConfig { arch: "unet3p".parse().unwrap(), ..TrainConfig::default() };
        config.config = json!({"width": 8, "cat": null});
        config.loss = serde_json::from_value(json!({"name": "unet3p", "args": {"weights": [0.5, 0.5]}})).unwrap();
        config.data.colours = "#ff0000=1,#000000=0".parse().unwrap();
        (config.data.ignore, config.data.ground_truth) = (Some(-1), Some(GroundTruthKind::Classes));
        config.weight_map = Some(WeightMapConfig { enabled: false, ..WeightMapConfig::default() });
        let text = config.to_toml().unwrap();
        let again: TrainConfig = toml::from_str(&text).unwrap_or_else(|e| panic!("{text}\n{e}"));
        config.config = json!({"width": 8});
        assert_eq!(again, config, "{text}");
    }

    #[test]
    fn several_classes_need_softmax() {
        let of = |config: Value| {
            TrainConfig { arch: "unet3p".parse().unwrap(), config, ..TrainConfig::default() }.architecture()
        };
        let three = of(json!({"out_channels": 3})).unwrap();
        assert_eq!((three.config()["activation"].as_str(), three.classes()), (Some("softmax"), 3));
        let one = of(json!({"out_channels": 1})).unwrap();
        assert_eq!((one.config()["activation"].as_str(), one.classes()), (Some("sigmoid"), 2));
        let e = of(json!({"out_channels": 3, "activation": "sigmoid"})).unwrap_err().to_string();
        assert!(e.starts_with("activation: ") && e.contains("use softmax"), "{e}");
    }

    #[test]
    fn default_and_documented_configurations_are_valid() {
        for arch in ArchitectureId::all() {
            TrainConfig { arch, ..TrainConfig::default() }.validate().unwrap();
        }
        let page = include_str!("../../docs/training.md");
        let blocks: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|b| b.split("```").next()).collect();
        assert!(!blocks.is_empty());
        for block in blocks {
            let config: TrainConfig = toml::from_str(block).unwrap_or_else(|e| panic!("{block}\n{e}"));
            config.validate().unwrap_or_else(|e| panic!("{block}\n{e}"));
        }
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_named() {
        let error = |text: &str| toml::from_str::<TrainConfig>(text).unwrap_err().to_string();
        assert!(error("stepz = 3").contains("stepz"));
        assert!(error("[data]\ncolours = {\"red\" = 1}").contains("`red` is not a colour such as #ff0000"));
        assert!(error("[data]\nground_truth = \"semantic\"").contains("semantic"));
        assert!(error("[optimiser]\nlearning_rate = 3").contains("learning_rate"));
        let config = TrainConfig { crop: 100, ..TrainConfig::default() };
        assert!(config.validate().unwrap_err().to_string().contains("take"), "{:?}", config.validate());
        assert!(error("monitor = \"ap\"").contains("monitor: `ap` is not one of dice, iou, f1, loss"));
        assert!(error("arch = \"segnet\"").contains("`segnet` is not one of unet, unetpp, unet3p"));
        assert!(error("[optimiser]\nkind = \"lion\"").contains("optimiser: `lion` is not one of sgd, adam, adamw"));
    }
}
