//! Naming a network on the command line: a model, or an architecture with its options.

use super::models::option;
use clap::Args;
use serde_json::{Map, Value};
use std::sync::Arc;
use unet_wgpu::error::Result;
use unet_wgpu::model::{Architecture, parse};

/// An architecture and its constructor arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Architecture, in place of a model")]
pub struct ArchArgs {
    /// unet, unet++ or unet3+
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// Channels of the first level
    #[arg(long, requires = "arch")]
    width: Option<usize>,
    /// Number of poolings
    #[arg(long, requires = "arch")]
    depth: Option<usize>,
    /// U-Net: valid or same
    #[arg(long, requires = "arch")]
    padding: Option<String>,
    /// Channels of the picture
    #[arg(long, requires = "arch", value_name = "N")]
    in_channels: Option<usize>,
    /// Classes
    #[arg(long, requires = "arch", value_name = "N")]
    out_channels: Option<usize>,
    /// Any other option as in a checkpoint's config, such as `norm=false`, `up=bilinear`, `level=2`
    #[arg(long = "set", requires = "arch", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ArchArgs {
    /// The architecture, if one was named.
    pub fn build(&self) -> Result<Option<Arc<dyn Architecture>>> {
        let Some(arch) = &self.arch else { return Ok(None) };
        let mut config = Map::new();
        let numbers = [
            ("width", self.width),
            ("depth", self.depth),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
        ];
        config.extend(numbers.into_iter().filter_map(|(k, v)| Some((k.to_string(), v?.into()))));
        config.extend(self.padding.iter().map(|p| ("padding".to_string(), p.clone().into())));
        for pair in &self.set {
            let (key, value) = option(pair)?;
            config.insert(key, value);
        }
        Ok(Some(parse(arch, &Value::Object(config))?.into()))
    }
}
