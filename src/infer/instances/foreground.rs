//! From a network's output to rows of class ids and foreground probabilities.

use super::{ConnectedComponents, InstanceOptions};
use crate::error::{Error, Result};
use crate::infer::mask::{Ids, Mask};
use crate::infer::{Band, BandInfo, Image};

/// The largest stored probability: 1.
const ONE: u16 = u16::MAX;

/// A probability as it is stored: integers have the same sum in any order.
fn quantised(p: f32) -> u16 {
    let steps = p.clamp(0.0, 1.0) * f32::from(ONE);
    let whole = steps as u16;
    // `round` is a call on processors without the instruction.
    whole + u16::from(steps - f32::from(whole) >= 0.5)
}

/// The mean of stored probabilities with this sum.
pub(crate) fn mean(sum: u64, pixels: u64) -> f64 {
    sum as f64 / (pixels.max(1) as f64 * f64::from(ONE))
}

/// What a pixel is, by the planes of a network with `classes` classes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Foreground {
    pub classes: usize,
    pub planes: usize,
}

impl Foreground {
    /// The first plane that is not the background's.
    fn first(self) -> usize {
        usize::from(self.planes == self.classes && self.planes > 1)
    }

    /// The foreground's probability: that of the only class, of any class, or the largest of classes that exclude nothing.
    fn probability(self, plane: impl Fn(usize) -> f32) -> f32 {
        match (self.first(), self.planes) {
            (first, planes) if planes == first + 1 => plane(first),
            (1, _) => 1.0 - plane(0),
            (_, planes) => (0..planes).map(plane).fold(0.0, f32::max),
        }
    }

    /// The most probable class of the foreground; of equal ones the first.
    fn class(self, plane: impl Fn(usize) -> f32) -> u32 {
        let first = self.first();
        let best = (first..self.planes).fold(first, |best, k| if plane(k) > plane(best) { k } else { best });
        (best + 1 - first) as u32
    }
}

impl ConnectedComponents {
    /// For the bands of the image that `info` describes.
    pub fn for_image(info: &BandInfo, options: &InstanceOptions) -> Result<Self> {
        Ok(Self::of_bands(info, options)?.0)
    }

    /// Appends the rows of a band of the image that `info` describes, as [`BandSink::band`](crate::infer::BandSink::band) gets
    /// it. Fails if the band lacks what the options need, or its pixels if [`Self::with_samples`] was called.
    pub fn push(&mut self, band: &Band, info: &BandInfo) -> Result<()> {
        let samples = match (&self.samples, band.pixels) {
            (Some(_), None) => return Err(Error::invalid("instances", "pixels are missing")),
            (Some(_), pixels) => pixels,
            (None, _) => None,
        };
        match info.network {
            None => self.push_band(band, Foreground { classes: info.classes.len(), planes: info.planes }, samples),
            Some(_) => samples.map_or(Ok(()), |image| self.push_image(image)),
        }
    }

    /// Appends the rows of a band of the network's input, of an image that is resized for it, as
    /// [`BandSink::network_band`](crate::infer::BandSink::network_band) gets it.
    pub fn push_network(&mut self, band: &Band, info: &BandInfo) -> Result<()> {
        self.push_band(band, Foreground { classes: info.classes.len(), planes: info.planes }, None)
    }

    /// For the rows of an image, or of the network's input if the image is resized for it.
    pub(crate) fn of_bands(info: &BandInfo, options: &InstanceOptions) -> Result<(Self, Foreground)> {
        let foreground = Foreground { classes: info.classes.len(), planes: info.planes };
        let components = match info.network {
            None => Self::new(info.width, info.height, options)?,
            Some([height, width]) => Self::new(width, height, options)?.resized(info.width, info.height),
        };
        Ok((components, foreground))
    }

    /// Appends the samples of the next rows of resized instances.
    pub(crate) fn push_image(&mut self, rows: &Image) -> Result<()> {
        let mut samples = Vec::new();
        (0..rows.height()).try_for_each(|y| {
            rows.window_into(0, y, rows.width(), 1, &mut samples)?;
            self.push_samples(&samples)
        })
    }

    /// Appends the rows of a band. `samples`: the image, if [`Self::with_samples`] was called and nothing is resized.
    pub(crate) fn push_band(&mut self, band: &Band, of: Foreground, samples: Option<&Image>) -> Result<()> {
        let pixels = band.width * band.height;
        let planes = band.probabilities.filter(|p| p.len() == pixels * of.planes && of.planes > 0);
        if self.options.needs_probabilities() && planes.is_none() {
            return Err(Error::invalid("instances", "probabilities are missing"));
        }
        let geometry = band.geometry.filter(|g| !g.is_empty() && g.len().is_multiple_of(pixels));
        if self.options.needs_geometry() && geometry.is_none() {
            return Err(Error::invalid("instances", "the geometry that a network predicts is missing"));
        }
        let (mut probabilities, mut classes) = (Vec::new(), Vec::new());
        let mut raw = Vec::new();
        for y in 0..band.height {
            let row = y * band.width..(y + 1) * band.width;
            if let Some(planes) = planes.filter(|_| self.options.needs_probabilities()) {
                let at = |i: usize| move |k: usize| planes.get(k * pixels + i).copied().unwrap_or(0.0);
                probabilities.clear();
                probabilities.extend(row.clone().map(|i| of.probability(at(i))));
                if let Some(threshold) = self.options.threshold {
                    let class = |(i, &p): (usize, &f32)| if p > threshold as f32 { of.class(at(i)) } else { 0 };
                    classes.clear();
                    classes.extend(row.clone().zip(&probabilities).map(class));
                }
            }
            let own = row.clone();
            match band.classes {
                _ if self.options.threshold.is_some() => self.push_row(&classes)?,
                Ids::U8(v) => self.push_row(v.get(row).unwrap_or_default())?,
                Ids::U16(v) => self.push_row(v.get(row).unwrap_or_default())?,
            }
            if self.confidence.is_some() {
                self.push_probabilities(&probabilities)?;
            }
            if let Some(planes) = geometry.filter(|_| self.options.needs_geometry()) {
                raw.clear();
                planes.chunks_exact(pixels).for_each(|p| raw.extend_from_slice(p.get(own.clone()).unwrap_or_default()));
                self.push_geometry(&raw)?;
            }
            if let Some(image) = samples {
                image.window_into(0, y, band.width, 1, &mut raw)?;
                self.push_samples(&raw)?;
            }
        }
        Ok(())
    }

    /// Appends the foreground probabilities of the last row; needed if [`InstanceOptions::min_confidence`] is set.
    pub fn push_probabilities(&mut self, row: &[f32]) -> Result<()> {
        let Some(confidence) = &mut self.confidence else { return Ok(()) };
        let quantised: Vec<u16> = row.iter().map(|&p| quantised(p)).collect();
        confidence.push(&self.row, &quantised)
    }
}

/// Finds the instances of a mask in memory. Probabilities `[K, H, W]` are needed if
/// [`InstanceOptions::needs_probabilities`].
pub fn find_instances(
    mask: &Mask,
    probabilities: Option<&[f32]>,
    options: &InstanceOptions,
) -> Result<super::Instances> {
    find_instances_in(mask, probabilities, None, options)
}

/// [`find_instances`] with planes of geometry `[G, H, W]`, which are needed if [`InstanceOptions::needs_geometry`].
pub fn find_instances_in(
    mask: &Mask,
    probabilities: Option<&[f32]>,
    geometry: Option<&[f32]>,
    options: &InstanceOptions,
) -> Result<super::Instances> {
    let (width, height) = (mask.width(), mask.height());
    let planes = probabilities.map_or(0, |p| p.len() / (width * height).max(1));
    let mut components = ConnectedComponents::new(width, height, options)?;
    let band = Band { first: 0, height, width, classes: mask.ids(), probabilities, geometry, pixels: None };
    components.push_band(&band, Foreground { classes: mask.classes(), planes }, None)?;
    components.finish()
}
