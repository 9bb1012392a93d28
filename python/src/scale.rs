//! How large the model sees what an image shows.

use pyo3::prelude::*;
use unet_wgpu::low_level::infer::Scale;
use unet_wgpu::low_level::weights::TrainedScale;
use unet_wgpu::{Error, Result};

/// A diameter of instances.
#[derive(FromPyObject)]
pub(crate) enum Diameter {
    Pixels(f64),
    Named(String),
}

/// `(scale, diameter, pixel_size)`.
#[derive(FromPyObject)]
pub(crate) struct ScaleArgs(Option<f64>, Option<Diameter>, Option<[f64; 2]>);

impl ScaleArgs {
    /// Micrometres across and down, instead of the file's.
    pub(crate) fn pixel_size(&self) -> Option<[f64; 2]> {
        self.2
    }

    /// How an image is resized for a model, where its pixels are known to have this size in micrometres. The order of
    /// precedence is the program's.
    pub(crate) fn of(&self, pixel: Option<[f64; 2]>, trained: Option<TrainedScale>) -> Result<Scale> {
        let states = trained.is_some_and(|t| t.pixel_size.is_some());
        let scale = match (self.0, &self.1, pixel) {
            (Some(factor), ..) => Scale::Factor(factor),
            (_, Some(Diameter::Named(name)), _) if name == "auto" => Scale::AutoDiameter,
            (_, Some(Diameter::Named(name)), _) => {
                return Err(Error::invalid("diameter", format!("`{name}` is neither a number nor `auto`")));
            }
            (_, Some(Diameter::Pixels(pixels)), _) => Scale::Diameter(*pixels),
            (_, _, Some(size)) if states => Scale::PixelSize(size),
            _ => Scale::default(),
        };
        scale.check(trained).map(|()| scale)
    }
}

/// A number to 9 significant digits, without the noise of binary fractions, as the program compares sizes.
pub(crate) fn short(v: f64) -> f64 {
    format!("{v:.8e}").parse().unwrap_or(v)
}
