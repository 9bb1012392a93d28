//! Naming a network on the command line: a model, or an architecture with its options.

use super::Common;
use super::models::{option, say_assumptions};
use clap::Args;
use serde_json::{Map, Value};
use std::sync::Arc;
use unet_wgpu::low_level::model::{Architecture, ArchitectureId, Model, parse};
use unet_wgpu::{Error, Result};

/// The architecture that options without `--arch` describe.
const DEFAULT: &str = "unet";

/// Options that describe a network where no model is named.
pub(super) const DESCRIBED: [&str; 7] = ["arch", "width", "depth", "padding", "in_channels", "out_channels", "set"];

/// An architecture and its constructor arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Architecture, in place of a model")]
pub(super) struct ArchArgs {
    #[arg(long, value_name = "ARCH", group = "network", help = architectures())]
    pub arch: Option<String>,
    /// Channels of the first level
    #[arg(long)]
    width: Option<usize>,
    /// Number of poolings
    #[arg(long)]
    depth: Option<usize>,
    /// U-Net: valid or same
    #[arg(long)]
    padding: Option<String>,
    /// Channels of the image
    #[arg(long, value_name = "N")]
    in_channels: Option<usize>,
    /// Classes
    #[arg(long, value_name = "N")]
    out_channels: Option<usize>,
    /// Any other option of a checkpoint's config, such as `norm=false`, `up=bilinear`, `level=2`; for another program's
    /// checkpoint, a setting that would otherwise be assumed, such as `align_corners=false`, `normalisation=z_score`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Every architecture by the shortest of its names.
fn architectures() -> String {
    let names: Vec<String> = ArchitectureId::all().map(|id| id.short().to_string()).collect();
    let (last, others) = names.split_last().map_or(("", &[][..]), |(l, o)| (l.as_str(), o));
    format!("{} or {last} [default: {DEFAULT}, if another option of the architecture is given]", others.join(", "))
}

impl ArchArgs {
    /// Opens a model; `--set` supplies what its file does not specify.
    pub(super) fn open(&self, name: &str, common: &Common) -> Result<Model> {
        let set = self.set.iter().map(|pair| option(pair)).collect::<Result<_>>()?;
        let model = Model::open_with(name, &set)?;
        say_assumptions(&model, common);
        Ok(model)
    }

    /// The architecture, if one is named or described; a U-Net without `--arch`. `model` is the model given alongside: its
    /// file defines the network, so only `--set` may accompany it.
    pub(super) fn build(&self, model: Option<&str>) -> Result<Option<Arc<dyn Architecture>>> {
        let numbers = self.numbers();
        if let Some(model) = model {
            return match numbers.keys().next() {
                None => Ok(None),
                Some(key) => {
                    let option = format!("--{}", key.replace('_', "-"));
                    Err(Error::invalid(option, format!("describes a new network, but {model} already defines one")))
                }
            };
        }
        if self.arch.is_none() && numbers.is_empty() && self.set.is_empty() {
            return Ok(None);
        }
        self.build_over(DEFAULT, &Value::Null).map(Some)
    }

    /// Whether any architecture option is given.
    pub(super) fn is_given(&self) -> bool {
        self.arch.is_some() || !self.numbers().is_empty() || !self.set.is_empty()
    }

    /// Whether an option of the architecture's config is given, by its name there.
    pub(super) fn gives(&self, key: &str) -> bool {
        let set = |pair: &String| pair.split_once('=').is_some_and(|(name, _)| name.trim() == key);
        self.numbers().contains_key(key) || self.set.iter().any(set)
    }

    /// Whether `--arch` names the architecture.
    pub(super) fn names_one(&self) -> bool {
        self.arch.is_some()
    }

    /// The architecture `arch` with `config`, overridden by the options. With `--arch`, `config` belongs to another network
    /// and is ignored.
    pub(super) fn build_over(&self, arch: &str, config: &Value) -> Result<Arc<dyn Architecture>> {
        let mut options = config.as_object().filter(|_| self.arch.is_none()).cloned().unwrap_or_default();
        options.extend(self.numbers());
        for pair in &self.set {
            let (key, value) = option(pair)?;
            options.insert(key, value);
        }
        Ok(parse(self.arch.as_deref().unwrap_or(arch), &Value::Object(options))?.into())
    }

    /// Options of the architecture, by their names in a checkpoint's config.
    fn numbers(&self) -> Map<String, Value> {
        let numbers = [
            ("width", self.width),
            ("depth", self.depth),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
        ];
        let padding = self.padding.iter().map(|p| ("padding".to_string(), p.clone().into()));
        numbers.into_iter().filter_map(|(k, v)| Some((k.to_string(), v?.into()))).chain(padding).collect()
    }
}
