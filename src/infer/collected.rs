//! A segmented image in memory.

use super::band::{Band, BandInfo, BandSink, Needs};
use super::instances::foreground::Foreground;
use super::instances::{ConnectedComponents, InstanceOptions, Instances};
use super::mask::Ids;
use super::tiling::buffers::{no_ids, zeros};
use crate::error::{Error, Result};

/// A sink that collects all rows in memory.
pub(super) struct Collected {
    pub probabilities: bool,
    pub width: usize,
    pub height: usize,
    pub ids: Ids,
    /// Probabilities.
    pub planes: Vec<f32>,
}

impl Default for Collected {
    fn default() -> Self {
        Self { probabilities: false, width: 0, height: 0, ids: Ids::U8(Vec::new()), planes: Vec::new() }
    }
}

impl BandSink for Collected {
    fn needs(&self) -> Needs {
        Needs { probabilities: self.probabilities, ..Needs::default() }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        (self.width, self.height) = (info.width, info.height);
        let pixels = info.width * info.height;
        self.ids = no_ids(info.classes.len(), pixels)?;
        self.planes = zeros(if self.probabilities { pixels.saturating_mul(info.planes) } else { 0 })?;
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        fn copy<T: Copy>(to: &mut [T], at: usize, from: &[T]) {
            if let Some(to) = to.get_mut(at..at + from.len()) {
                to.copy_from_slice(from);
            }
        }
        let at = band.first * self.width;
        match (&mut self.ids, band.classes) {
            (Ids::U8(to), Ids::U8(from)) => copy(to, at, from),
            (Ids::U16(to), Ids::U16(from)) => copy(to, at, from),
            _ => return Err(Error::invalid("band", "has ids of another size")),
        }
        let planes = band.probabilities.unwrap_or_default().chunks_exact((band.height * band.width).max(1));
        for (c, plane) in planes.enumerate() {
            copy(&mut self.planes, (c * self.height) * self.width + at, plane);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// A sink that finds instances.
pub(super) struct Found {
    options: InstanceOptions,
    /// What finds them, and whether rows come from a network that takes the image resized.
    state: Option<(ConnectedComponents, Foreground, bool)>,
}

impl Found {
    pub(super) fn new(options: InstanceOptions) -> Self {
        Self { options, state: None }
    }

    /// The instances, after the last row.
    pub(super) fn instances(self) -> Result<Instances> {
        match self.state {
            Some((components, ..)) => components.finish(),
            None => Err(Error::invalid("instances", "no rows were segmented")),
        }
    }

    fn push(&mut self, band: &Band, resized: bool) -> Result<()> {
        match &mut self.state {
            Some((components, foreground, of_network)) if *of_network == resized => {
                components.push_band(band, *foreground, None)
            }
            _ => Ok(()),
        }
    }
}

impl BandSink for Found {
    fn needs(&self) -> Needs {
        let (probabilities, geometry) = (self.options.needs_probabilities(), self.options.needs_geometry());
        Needs { probabilities, geometry, ..Needs::default() }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        let (components, foreground) = ConnectedComponents::of_bands(info, &self.options)?;
        self.state = Some((components, foreground, info.network.is_some()));
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        self.push(band, false)
    }

    fn network_band(&mut self, band: &Band) -> Result<()> {
        self.push(band, true)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
