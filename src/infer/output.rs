//! Result files: masks, overlays and probabilities. Each is written completely or not at all.

mod overlay;
mod sinks;
mod strips;
mod tags;

#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub(crate) use overlay::Display;
pub(crate) use overlay::TINT;
pub(crate) use overlay::{Levels, SHOWN, STRETCH, joint, tinted};
pub use overlay::{OverlaySink, OverlayWriter, write_overlay};
pub(crate) use sinks::PngFile;
pub use sinks::{MaskSink, MaskWriter, ProbabilitySink, ProbabilityWriter};
pub use strips::{SampleKind, StripLayout, StripTiff};
pub use tags::TiffTag;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub(in crate::low_level::infer) use tags::stack_tags;
pub(in crate::low_level::infer) use tags::tags as calibration_tags;

use super::band::{Band, BandInfo, BandSink, feed};
use super::mask::{Ids, Mask};
use crate::error::{Error, Result};
use crate::io::Output;

/// The colour of a class: black for the background; neighbouring classes have distant colours, and all colours differ.
pub fn palette(class: usize) -> [u8; 3] {
    const FIRST: [[u8; 3]; 10] = [
        [0, 0, 0],
        [0, 230, 80],
        [255, 80, 40],
        [40, 140, 255],
        [255, 215, 0],
        [225, 60, 225],
        [0, 220, 230],
        [255, 150, 180],
        [150, 100, 40],
        [150, 255, 160],
    ];
    if let Some(&c) = FIRST.get(class) {
        return c;
    }
    // Golden-ratio steps never come close to an earlier hue; brightness varies too.
    let hue = (class as f64 * 0.618_033_988_749_895).fract() * 6.0;
    let value = [255.0, 200.0, 150.0][class % 3];
    let saturation = [1.0, 0.7, 0.45][class / 3 % 3];
    [5.0, 3.0, 1.0].map(|n| {
        let k: f64 = (n + hue) % 6.0;
        (value * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0))).round() as u8
    })
}

/// Writes a mask as PNG, or TIFF by its extension: 0 and 255 for up to two classes, a palette whose indices are the class
/// ids for up to 256 (TIFF: grey class ids), and 16-bit grey class ids for more.
pub fn write_mask(output: impl Into<Output>, mask: &Mask) -> Result<()> {
    feed(Box::new(MaskSink::new(output)), &info_of(mask), mask, None, None, 256)
}

/// Band information from a mask alone.
fn info_of(mask: &Mask) -> BandInfo {
    let classes = (0..mask.classes()).map(|i| format!("class {i}")).collect();
    BandInfo {
        width: mask.width(),
        height: mask.height(),
        channels: 0,
        classes,
        planes: 0,
        geometry: 0,
        contrast: None,
        network: None,
    }
}

/// File formats of [`write_probabilities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbabilityFormat {
    /// 32-bit float TIFF with one page per class.
    Tiff,
    /// numpy array `[classes, rows, columns]`, or `[rows, columns]` for one class.
    Npy,
}

impl ProbabilityFormat {
    /// The format by file name extension: `.tif`, `.tiff` or `.npy`.
    pub fn of(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("tif" | "tiff") => Ok(Self::Tiff),
            Some("npy") => Ok(Self::Npy),
            _ => Err(Error::file(path, "probabilities are written as .tif or .npy")),
        }
    }
}

/// Writes probabilities, planar (class, row, column) of `width` x `height`.
pub fn write_probabilities(
    output: impl Into<Output>,
    format: ProbabilityFormat,
    width: usize,
    height: usize,
    planes: &[f32],
) -> Result<()> {
    let output = output.into();
    sinks::sides(output.name(), width, height)?;
    let plane = width.checked_mul(height).filter(|p| !planes.is_empty() && planes.len().is_multiple_of(*p));
    let Some(plane) = plane else {
        let reason = format!("{} values are not planes of {width}x{height}", planes.len());
        return Err(Error::invalid("probabilities", reason));
    };
    let count = planes.len() / plane;
    let sink = ProbabilitySink::with_format(output, format);
    let info = BandInfo {
        width,
        height,
        channels: 0,
        classes: Vec::new(),
        planes: count,
        geometry: 0,
        contrast: None,
        network: None,
    };
    // The number of classes suffices: their names are not written.
    let mut sink: Box<dyn BandSink> = Box::new(sink);
    sink.start(&info)?;
    let classes = &Ids::U8(Vec::new());
    sink.band(&Band { first: 0, height, width, classes, probabilities: Some(planes), geometry: None, pixels: None })?;
    sink.finish()
}

#[cfg(test)]
mod tests;
