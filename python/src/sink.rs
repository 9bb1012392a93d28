//! Collects the rows of a segmented image in memory, and its instances.

use std::sync::{Arc, Mutex, PoisonError};

use unet_wgpu::low_level::infer::{
    Band, BandInfo, BandSink, ConnectedComponents, Ids, InstanceOptions, Instances, Needs,
};
use unet_wgpu::{Error, Result};

/// What a [`Collector`] has collected.
pub(crate) struct Collected {
    pub(crate) info: BandInfo,
    /// Class of every pixel.
    pub(crate) ids: Ids,
    /// Probabilities `[K, H, W]`, if requested.
    pub(crate) probabilities: Option<Vec<f32>>,
    /// If requested: instances, and the number of each pixel's.
    pub(crate) instances: Option<(Instances, Vec<i32>)>,
}

/// Where a collector leaves its result.
pub(crate) type Slot = Arc<Mutex<Option<Collected>>>;

/// A sink for class ids, probabilities and instances.
pub(crate) struct Collector {
    probabilities: bool,
    instances: Option<InstanceOptions>,
    state: Option<(Collected, Option<ConnectedComponents>)>,
    slot: Slot,
}

impl Collector {
    /// A collector and where its result will be.
    pub(crate) fn new(probabilities: bool, instances: Option<InstanceOptions>) -> (Self, Slot) {
        let slot = Slot::default();
        (Self { probabilities, instances, state: None, slot: slot.clone() }, slot)
    }
}

/// `count` zeros; an error where memory does not suffice.
fn zeros<T: Copy + Default>(count: usize) -> Result<Vec<T>> {
    let mut out = Vec::new();
    let failed = |_| Error::Limit {
        what: "the result".into(),
        needed: format!("{} bytes", count.saturating_mul(size_of::<T>())),
        limit: "the memory of this machine".into(),
    };
    out.try_reserve_exact(count).map_err(failed)?;
    out.resize(count, T::default());
    Ok(out)
}

fn copy<T: Copy>(to: &mut [T], at: usize, from: &[T]) {
    if let Some(to) = to.get_mut(at..at + from.len()) {
        to.copy_from_slice(from);
    }
}

impl BandSink for Collector {
    fn needs(&self) -> Needs {
        let instances = self.instances.as_ref();
        Needs {
            probabilities: self.probabilities || instances.is_some_and(InstanceOptions::needs_probabilities),
            geometry: instances.is_some_and(InstanceOptions::needs_geometry),
            pixels: instances.is_some(),
            contrast: false,
        }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        let pixels = info.width.saturating_mul(info.height);
        let ids = if info.classes.len() <= 256 { Ids::U8(zeros(pixels)?) } else { Ids::U16(zeros(pixels)?) };
        let probabilities = match self.probabilities {
            true => Some(zeros(pixels.saturating_mul(info.planes))?),
            false => None,
        };
        let components = match &self.instances {
            // Their samples give the table its means.
            Some(options) => Some(ConnectedComponents::for_image(info, options)?.with_samples(info.channels)),
            None => None,
        };
        self.state = Some((Collected { info: info.clone(), ids, probabilities, instances: None }, components));
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        let Some((collected, components)) = &mut self.state else { return Err(not_started()) };
        let (width, height) = (collected.info.width, collected.info.height);
        let at = band.first * width;
        match (&mut collected.ids, band.classes) {
            (Ids::U8(to), Ids::U8(from)) => copy(to, at, from),
            (Ids::U16(to), Ids::U16(from)) => copy(to, at, from),
            _ => return Err(Error::invalid("band", "has ids of another size")),
        }
        if let Some(to) = &mut collected.probabilities {
            let planes = band.probabilities.unwrap_or_default().chunks_exact((band.height * width).max(1));
            for (k, plane) in planes.enumerate() {
                copy(to, k * height * width + at, plane);
            }
        }
        match components {
            Some(components) => components.push(band, &collected.info),
            None => Ok(()),
        }
    }

    fn network_band(&mut self, band: &Band) -> Result<()> {
        match &mut self.state {
            Some((collected, Some(components))) => components.push_network(band, &collected.info),
            Some(_) => Ok(()),
            None => Err(not_started()),
        }
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Some((mut collected, components)) = self.state else { return Err(not_started()) };
        if let Some(components) = components {
            let mut instances = components.finish()?;
            let width = collected.info.width;
            let mut labels = zeros::<i32>(width * collected.info.height)?;
            instances.rows(|y, runs| {
                for run in runs {
                    let columns = y * width + run.start as usize..y * width + run.end as usize;
                    // At most 2^31 - 1 pixels per row and fewer instances than pixels: checked by `ConnectedComponents`.
                    let label = i32::try_from(run.label).map_err(|_| Error::invalid("labels", "exceed int32"))?;
                    labels.get_mut(columns).unwrap_or_default().fill(label);
                }
                Ok(())
            })?;
            collected.instances = Some((instances, labels));
        }
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(collected);
        Ok(())
    }
}

fn not_started() -> Error {
    Error::invalid("result", "bands were written before the start")
}
