//! Segmentation of one image.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use serde_json::Value;
use unet_wgpu::low_level::infer::{
    Calibration, Ensemble, InstanceSettings, OpenOptions, SegmentOptions, calibration_of, check_channels,
};
use unet_wgpu::low_level::weights::Normalisation;
use unet_wgpu::{Error, Result};

use crate::device;
use crate::input::Input;
use crate::model::Model;
use crate::results::{Origin, Results, Segmented};
use crate::scale::{ScaleArgs, short};
use crate::sink::Collector;
use crate::work::{self, Observer};

/// Models on a device. Calls from several threads run one after another.
#[pyclass(frozen, module = "unet_wgpu._native")]
pub(crate) struct Segmenter {
    inner: Arc<Mutex<unet_wgpu::Segmenter>>,
    /// The device in one line.
    #[pyo3(get)]
    device: String,
}

/// What a call asks for, besides the image.
struct Request {
    options: SegmentOptions,
    instances: Option<InstanceSettings>,
    probability: bool,
}

#[pymethods]
impl Segmenter {
    #[new]
    #[pyo3(signature = (models, *, device, precision, tta))]
    fn new(
        py: Python<'_>,
        models: Vec<PyRef<'_, Model>>,
        device: String,
        precision: String,
        tta: String,
    ) -> PyResult<Self> {
        let models: Vec<unet_wgpu::Model> = models.iter().map(|m| m.inner.clone()).collect();
        let (segmenter, device) = work::run(py, Observer::None, move |_| {
            let ensemble = Ensemble::new(models)?.with_tta(tta.parse()?);
            let backend = device::open(&device, &precision)?;
            let name = backend.describe();
            let segmenter = unet_wgpu::Segmenter::new(backend, ensemble);
            Ok((segmenter.with_recovery(device::reopening(device, precision)), name))
        })?;
        Ok(Self { inner: Arc::new(Mutex::new(segmenter)), device })
    }

    /// Segments an image: a path, or an array of `uint8`, `uint16` or `float32`.
    #[pyo3(signature = (
        image, *, channels, fill_nan, page, level, instances, probability, tile, scale, memory, exact, blend, batch,
        normalise, progress
    ))]
    #[expect(clippy::too_many_arguments, reason = "one for each option of the Python function")]
    fn segment(
        &self,
        image: &Bound<'_, PyAny>,
        channels: Option<Vec<usize>>,
        fill_nan: Option<f32>,
        page: usize,
        level: usize,
        instances: Option<String>,
        probability: bool,
        tile: Option<usize>,
        scale: ScaleArgs,
        memory: u64,
        exact: bool,
        blend: String,
        batch: usize,
        normalise: Option<String>,
        progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Results> {
        let read = OpenOptions { page, level, channels, fill_nan, memory: Some(memory), ..OpenOptions::default() };
        let input = Input::new(image, read.clone())?;
        let (path, raised) = (input.path(), input.raised());
        let segmenter = self.inner.clone();
        let segmented = work::run(image.py(), Observer::of(progress), move |progress| {
            let settings = instances.as_deref().map(settings).transpose()?;
            let options = SegmentOptions::default()
                .with_tile(tile)
                .with_memory(memory)
                .with_exact(exact)
                .with_blend(blend.parse()?)
                .with_batch(batch)
                .with_normalisation(normalise.as_deref().map(normalisation).transpose()?)
                // For a first pass that estimates the diameter.
                .with_instances(Some(settings.clone().unwrap_or_default()));
            let mut segmenter = lock(&segmenter);
            // It may have taken a while until another thread was done.
            progress.report(0.0)?;
            let calibration = match &path {
                Some(path) => calibration_of(path.as_str(), &read, scale.pixel_size())?,
                None => match scale.pixel_size() {
                    Some([x, y]) => Calibration::default().with_pixel_size(x, y),
                    None => Calibration::default(),
                },
            };
            let pixel_size = calibration.pixel.as_ref().map(|p| [p.x, p.y]);
            let name = path.as_ref().and_then(|path| Path::new(path).file_name());
            let name = name.unwrap_or_default().to_string_lossy().into_owned();
            let origin = Origin { name, page: read.page, calibration };
            let trained = segmenter.model().metadata.scale;
            let options = options.with_scale(scale.of(pixel_size.map(|size| size.map(short)), trained)?);
            let request = Request { options, instances: settings, probability };
            let result = request.run(&mut segmenter, input, |fraction| progress.report(fraction));
            let segmented = result.map_err(|e| Input::about(path.as_deref(), e))?;
            Ok(Segmented { pixel_size, origin, ..segmented })
        });
        // What reading raised is the reason, if anything was.
        let cause = raised.and_then(|r| r.lock().unwrap_or_else(PoisonError::into_inner).take());
        match (segmented, cause) {
            (Ok(segmented), _) => Results::new(image.py(), segmented),
            (Err(_), Some(cause)) => Err(cause),
            (Err(e), None) => Err(e),
        }
    }

    /// Bytes of device memory in use; 0 while another thread segments.
    fn device_bytes(&self) -> u64 {
        self.inner.try_lock().map_or(0, |s| s.device_bytes())
    }
}

impl Request {
    fn run(
        self,
        segmenter: &mut unet_wgpu::Segmenter,
        input: Input,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Segmented> {
        let path = input.path();
        let mut source = input.open()?;
        if let Some(path) = path {
            check_channels(path.as_str(), &*source, segmenter.model().architecture.in_channels())?;
        }
        let instances = self.instances.map(|s| segmenter.instance_options(&s)).transpose()?;
        // As the program: instances keep a share of the memory for themselves.
        let instances = instances.map(|o| o.with_memory(self.options.memory / 4));
        let (collector, slot) = Collector::new(self.probability, instances);
        let run = segmenter.segment_to(&mut *source, &self.options, vec![Box::new(collector)], progress)?;
        let collected = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let collected = collected.ok_or_else(|| Error::invalid("segmenter", "returned no result"))?;
        Ok(Segmented { collected, run, pixel_size: None, origin: Origin::default() })
    }
}

/// A segmenter stays usable after a panic: it holds buffers, which the next run writes again.
fn lock(segmenter: &Mutex<unet_wgpu::Segmenter>) -> MutexGuard<'_, unet_wgpu::Segmenter> {
    segmenter.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads how instances are found from a JSON object.
pub(crate) fn settings(json: &str) -> Result<InstanceSettings> {
    let value: Value = serde_json::from_str(json).map_err(|e| Error::invalid("instances", e.to_string()))?;
    let prefix = "`instances`: ";
    InstanceSettings::try_from(value)
        .map_err(|e| Error::invalid("instances", e.strip_prefix(prefix).unwrap_or(&e).to_string()))
}

fn normalisation(text: &str) -> Result<Normalisation> {
    text.parse().map_err(|e: String| Error::invalid(format!("normalise `{text}`"), e))
}
