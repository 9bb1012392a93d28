//! A segmented image in memory.

use super::band::{Band, BandInfo, BandSink, Needs};
use super::mask::Ids;
use super::tiling::assembly::{no_ids, zeros};
use crate::error::{Error, Result};

/// A sink that collects all rows in memory.
pub(super) struct Collected {
    pub probabilities: bool,
    pub geometry: bool,
    pub width: usize,
    pub height: usize,
    pub ids: Ids,
    /// Probabilities.
    pub planes: Vec<f32>,
    /// Geometry.
    pub extra: Vec<f32>,
}

impl Default for Collected {
    fn default() -> Self {
        let ids = Ids::U8(Vec::new());
        Self { probabilities: false, geometry: false, width: 0, height: 0, ids, planes: Vec::new(), extra: Vec::new() }
    }
}

impl BandSink for Collected {
    fn needs(&self) -> Needs {
        Needs { probabilities: self.probabilities, geometry: self.geometry, ..Needs::default() }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        (self.width, self.height) = (info.width, info.height);
        let pixels = info.width * info.height;
        self.ids = no_ids(info.classes.len(), pixels)?;
        self.planes = zeros(if self.probabilities { pixels.saturating_mul(info.planes) } else { 0 })?;
        self.extra = zeros(if self.geometry { pixels.saturating_mul(info.geometry) } else { 0 })?;
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
        for (to, from) in [(&mut self.planes, band.probabilities), (&mut self.extra, band.geometry)] {
            let planes = from.unwrap_or_default().chunks_exact((band.height * band.width).max(1));
            for (c, plane) in planes.enumerate() {
                copy(to, (c * self.height) * self.width + at, plane);
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
