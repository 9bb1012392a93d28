//! The scale of the images that a model was trained on: the section `scale` of a model's description.

use serde::{Deserialize, Serialize};

/// The scale of the images that a model was trained on, by which others are resized for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainedScale {
    /// Median diameter of the instances in pixels, as discs of the same area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diameter: Option<f64>,
    /// Size of a pixel in micrometres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_size: Option<f64>,
}

impl TrainedScale {
    /// Sets [`Self::diameter`].
    #[must_use]
    pub fn with_diameter(self, pixels: f64) -> Self {
        Self { diameter: Some(pixels), ..self }
    }

    /// Sets [`Self::pixel_size`].
    #[must_use]
    pub fn with_pixel_size(self, micrometres: f64) -> Self {
        Self { pixel_size: Some(micrometres), ..self }
    }

    /// Checks every value; the error begins with the key.
    pub fn validate(&self) -> Result<(), String> {
        for (key, value) in [("diameter", self.diameter), ("pixel_size", self.pixel_size)] {
            // Written so that NaN fails.
            match value {
                Some(v) if !(v.is_finite() && v > 0.0) => return Err(format!("`{key}`: {v} is not a number above 0")),
                _ => {}
            }
        }
        Ok(())
    }
}
