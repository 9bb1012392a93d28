//! The section `[instances]`: what a network is trained to predict so that touching instances can be told apart.

use super::WeightMapConfig;
use super::data::DataConfig;
use crate::error::{Error, Result};
use crate::model::ArchitectureId;
use crate::train::dataset::GroundTruthKind;
use crate::train::loss::{CrossEntropyArgs, InstancesArgs, Loss};
use crate::train::weight_map::ClassWeights;
use crate::weights::{InstanceMethod, InstanceSettings, InstanceTarget};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Instances to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct InstancesConfig {
    /// `multi`, `distance`, `gap` or `border`.
    pub target: InstanceTarget,
}

impl InstancesConfig {
    /// Instances by a target.
    pub const fn new(target: InstanceTarget) -> Self {
        Self { target }
    }

    /// Output channels of the network for `classes` classes of instances, without the background.
    pub const fn out_channels(self, classes: usize) -> usize {
        self.target.planes() + if classes > 1 { classes } else { 0 }
    }

    /// The default loss for `classes` classes of instances.
    pub(super) fn loss(self, classes: usize) -> Loss {
        match self.target.is_geometry() {
            true => Loss::Instances(InstancesArgs { target: self.target, classes }),
            false => Loss::WeightedCe(CrossEntropyArgs::default()),
        }
    }

    /// How the model's file says that instances are found.
    pub fn settings(self) -> InstanceSettings {
        InstanceSettings::default().with_method(match self.target {
            InstanceTarget::Gap => InstanceMethod::Watershed,
            _ => InstanceMethod::Elevation,
        })
    }

    /// The network's options with the output channels that the target needs. Errors if they say otherwise.
    pub(super) fn network(self, arch: ArchitectureId, config: &Value, classes: usize) -> Result<Value> {
        let mut config = if config.is_null() { arch.small() } else { config.clone() };
        let needed = self.out_channels(classes);
        if let Some(options) = config.as_object_mut() {
            let given = options.entry("out_channels").or_insert(needed.into());
            if given.as_u64() != Some(needed as u64) {
                let of = if classes > 1 { format!(" with {classes} classes of instances") } else { String::new() };
                let reason = format!("{given}, but target `{}`{of} needs {needed}: leave it out", self.target);
                return Err(Error::invalid("out_channels", reason));
            }
        }
        Ok(config)
    }

    /// Errors if the data cannot be trained on this way.
    pub(super) fn validate(self, data: &DataConfig) -> Result<()> {
        let target = self.target;
        if data.ground_truth == Some(GroundTruthKind::Classes) {
            let reason = "\"classes\", but [instances] needs labels/ that number instances";
            return Err(Error::invalid("ground_truth", reason));
        }
        if !target.is_geometry() && data.instance_classes() > 1 {
            let reason = format!(
                "{} names of classes, but target `{target}` has one class of instances; `multi` and `distance` may have several",
                data.classes.len()
            );
            return Err(Error::invalid("classes", reason));
        }
        if target == InstanceTarget::Gap && !data.separate_touching {
            return Err(Error::invalid("separate_touching", "false, but target `gap` needs the gaps"));
        }
        Ok(())
    }
}

impl WeightMapConfig {
    /// The default for a target: the touching border of `border` has no gaps to emphasise.
    pub(super) fn of(target: Option<InstanceTarget>) -> Self {
        let default = Self::default();
        Self { w0: if target == Some(InstanceTarget::Border) { 0.0 } else { default.w0 }, ..default }
    }
}

/// The default weights of the classes: balanced for masks; for instances none, but touching borders, which are rare, count as
/// often as for `multi`, 1 + 3.
pub(super) fn class_weights(target: Option<InstanceTarget>) -> ClassWeights {
    match target {
        None => ClassWeights::Balanced,
        Some(InstanceTarget::Border) => ClassWeights::Explicit(vec![1.0, 1.0, 4.0]),
        Some(_) => ClassWeights::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{TrainConfig, WeightMap};
    use serde_json::json;

    fn config(text: &str) -> TrainConfig {
        toml::from_str(text).unwrap_or_else(|e| panic!("{text}\n{e}"))
    }

    fn error(text: &str) -> String {
        config(text).validate().unwrap_err().to_string()
    }

    #[test]
    fn output_channels_follow_from_the_target() {
        let channels = |text: &str| config(text).architecture().unwrap().out_channels();
        for arch in ["unet", "unetpp", "unet3p"] {
            for (target, planes) in [("multi", 5), ("distance", 2), ("gap", 2), ("border", 3)] {
                let text = format!("arch = \"{arch}\"\n[instances]\ntarget = \"{target}\"");
                assert_eq!(channels(&text), planes, "{text}");
                config(&text).validate().unwrap();
            }
        }
        let three = "[data]\nclasses = [\"background\", \"a\", \"b\", \"c\"]\n[instances]\ntarget = \"multi\"";
        assert_eq!(channels(three), 8);
        let width = config("[config]\nwidth = 8\npadding = \"same\"\n[instances]\ntarget = \"distance\"");
        let network = width.architecture().unwrap().config();
        assert_eq!((&network["width"], &network["out_channels"]), (&json!(8), &json!(2)));
    }

    #[test]
    fn contradictions_name_the_key() {
        assert_eq!(
            error("[config]\nout_channels = 3\n[instances]\ntarget = \"multi\""),
            "out_channels: 3, but target `multi` needs 5: leave it out"
        );
        let classes = "[data]\nclasses = [\"background\", \"a\", \"b\"]\n[instances]\ntarget = \"border\"";
        assert!(error(classes).starts_with("classes: 3 names of classes, but target `border` has one"));
        let kind = "[data]\nground_truth = \"classes\"\n[instances]\ntarget = \"gap\"";
        assert!(error(kind).starts_with("ground_truth: \"classes\""));
        let apart = "[data]\nseparate_touching = false\n[instances]\ntarget = \"gap\"";
        assert!(error(apart).starts_with("separate_touching: false"));
        let weights = "[weight_map]\nw0 = 5.0\n[instances]\ntarget = \"distance\"";
        assert_eq!(error(weights), "weight_map: target `distance` takes no weights");
        let unknown = toml::from_str::<TrainConfig>("[instances]\ntarget = \"rays\"").unwrap_err().to_string();
        assert!(unknown.contains("target: `rays` is not one of multi, distance, gap, border"), "{unknown}");
        assert!(toml::from_str::<TrainConfig>("[instances]").unwrap_err().to_string().contains("target"));
    }

    #[test]
    fn the_section_round_trips_and_is_absent_without() {
        let config = config("[instances]\ntarget = \"gap\"\n[augment]\npreset = \"microscopy\"");
        let text = config.to_toml().unwrap();
        assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), config, "{text}");
        assert!(config.on_host());
        let default = TrainConfig::default();
        assert!(!default.to_toml().unwrap().contains("instances") && !default.on_host());
    }

    #[test]
    fn pixel_weights_follow_from_the_target() {
        let weights = |text: &str| -> Option<WeightMap> {
            let config = config(text);
            let loss = config.loss(&*config.architecture().unwrap()).unwrap();
            config.weight_map(&loss).unwrap()
        };
        let gap = weights("arch = \"unetpp\"\n[instances]\ntarget = \"gap\"").unwrap();
        assert_eq!((gap.w0, gap.sigma, gap.background_only), (10.0, 5.0, true));
        assert_eq!(gap.class_weights, ClassWeights::None);
        let border = weights("[instances]\ntarget = \"border\"").unwrap();
        assert_eq!(border.class_weights, ClassWeights::Explicit(vec![1.0, 1.0, 4.0]));
        assert_eq!(weights("[instances]\ntarget = \"multi\""), None);
        let own = weights("[weight_map]\nw0 = 3.0\n[instances]\ntarget = \"gap\"").unwrap();
        assert_eq!((own.w0, own.class_weights), (3.0, ClassWeights::None));
        let balanced = "[weight_map]\nclass_weights = \"balanced\"\n[instances]\ntarget = \"gap\"";
        assert!(error(balanced).starts_with("class_weights: \"balanced\", but for [instances]"));
    }
}
