//! What a network said about an image, kept so that instances are found again by other settings without running it.

use std::sync::{Arc, Mutex, PoisonError};
use unet_wgpu::low_level::infer::{
    Band, BandInfo, BandSink, ConnectedComponents, InstanceOptions, Instances, Needs, OwnedBand,
};
use unet_wgpu::{Error, Result};

/// Host memory for what is kept of an image, bytes.
const MOST: usize = 512 << 20;

/// What a network said about an image.
pub struct Replay {
    info: BandInfo,
    /// Bands, and whether they are as the network computes them, of an image that is resized.
    bands: Vec<(OwnedBand, bool)>,
}

impl Replay {
    /// Finds instances by these options: the same as segmenting anew.
    pub fn instances(&self, options: &InstanceOptions) -> Result<Instances> {
        let mut found = ConnectedComponents::for_image(&self.info, options)?.with_samples(self.info.channels);
        for (kept, network) in &self.bands {
            match network {
                true => found.push_network(&kept.band(), &self.info)?,
                false => found.push(&kept.band(), &self.info)?,
            }
        }
        found.finish()
    }
}

/// Where a sink leaves what it kept.
pub(super) type Slot = Arc<Mutex<Option<Replay>>>;

/// Keeps bands as they come, until they are too many; finds instances on the way in any case.
pub(super) struct Keeper {
    geometry: bool,
    replay: Option<Replay>,
    bytes: usize,
    slot: Slot,
}

impl Keeper {
    /// A sink, and where it leaves its replay: nothing, if the image is too large for that.
    pub(super) fn new(geometry: bool) -> (Self, Slot) {
        let slot = Slot::default();
        (Self { geometry, replay: None, bytes: 0, slot: slot.clone() }, slot)
    }

    fn keep(&mut self, band: &Band, network: bool) {
        let Some(replay) = &mut self.replay else { return };
        let kept = OwnedBand::from(band);
        self.bytes += kept.bytes();
        replay.bands.push((kept, network));
        if self.bytes > MOST {
            self.replay = None;
        }
    }
}

impl BandSink for Keeper {
    fn needs(&self) -> Needs {
        Needs { probabilities: true, geometry: self.geometry, pixels: true, contrast: false }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        (self.replay, self.bytes) = (Some(Replay { info: info.clone(), bands: Vec::new() }), 0);
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        self.keep(band, false);
        Ok(())
    }

    fn network_band(&mut self, band: &Band) -> Result<()> {
        self.keep(band, true);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        if self.replay.as_ref().is_some_and(|r| r.bands.is_empty()) {
            return Err(Error::invalid("segmentation", "has no rows"));
        }
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = self.replay;
        Ok(())
    }
}

/// Where a sink leaves the instances.
pub(super) type Found = Arc<Mutex<Option<Instances>>>;

/// Finds instances in the bands, with the samples for their means.
pub(super) struct Finder {
    options: InstanceOptions,
    state: Option<(ConnectedComponents, BandInfo)>,
    found: Found,
}

impl Finder {
    /// A sink, and where it leaves the instances.
    pub(super) fn new(options: InstanceOptions) -> (Self, Found) {
        let found = Found::default();
        (Self { options, state: None, found: found.clone() }, found)
    }
}

impl BandSink for Finder {
    fn needs(&self) -> Needs {
        Needs {
            probabilities: self.options.needs_probabilities(),
            geometry: self.options.needs_geometry(),
            pixels: true,
            contrast: false,
        }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        let components = ConnectedComponents::for_image(info, &self.options)?.with_samples(info.channels);
        self.state = Some((components, info.clone()));
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        self.state.as_mut().map_or(Ok(()), |(components, info)| components.push(band, info))
    }

    fn network_band(&mut self, band: &Band) -> Result<()> {
        self.state.as_mut().map_or(Ok(()), |(components, info)| components.push_network(band, info))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        if let Some((components, _)) = self.state {
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(components.finish()?);
        }
        Ok(())
    }
}
