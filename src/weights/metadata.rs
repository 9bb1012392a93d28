//! What a native checkpoint says about itself: the JSON under the safetensors metadata key `unet`.

use serde::{Deserialize, Serialize};

/// Metadata of a native checkpoint. `config` is required, the rest has defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// Version of this description; 1.
    #[serde(default = "one")]
    pub format: u32,
    /// Architecture id: `unet`, `unetpp` or `unet3p`.
    pub arch: String,
    /// The architecture's constructor arguments (names as in PyTorch reference code); what is absent has its default.
    pub config: serde_json::Value,
    /// How pixels become network input.
    #[serde(default)]
    pub normalisation: Normalisation,
    /// Class names, background first.
    #[serde(default)]
    pub classes: Vec<String>,
}

fn one() -> u32 {
    1
}

/// How the pixels of a picture are normalised, per picture and channel, before they enter the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Normalisation {
    /// Pixel values as they are.
    None,
    /// Integers divided by the largest value of their type (255 or 65535); floats as they are.
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
    /// `(x / unit - mean) / std` with fixed values per channel, `unit` as in [`Normalisation::Unit`].
    Fixed {
        /// Mean of each channel (or one for all).
        mean: Vec<f64>,
        /// Standard deviation of each channel (or one for all).
        std: Vec<f64>,
    },
}
