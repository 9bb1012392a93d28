//! Devices: opened once per process and shared by all models.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use serde_json::{Value, json};
use unet_wgpu::low_level::gpu::{Gpu, adapters};
use unet_wgpu::low_level::session::{self, Backend};
use unet_wgpu::low_level::tensor::Precision;
use unet_wgpu::low_level::tune;
use unet_wgpu::testing::lose_at_submission;
use unet_wgpu::{Error, Result};

use crate::work::{self, Observer};

/// Open devices by name and precision, as requested.
#[derive(Default)]
struct Open {
    backends: HashMap<(String, String), Backend>,
    cache: Option<PathBuf>,
}

static OPEN: Mutex<Option<Open>> = Mutex::new(None);

fn opened() -> MutexGuard<'static, Option<Open>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The device of that name in that precision, opened at the first request, and again after it was lost. Compiled pipelines and
/// tuned choices are those of the program's cache.
pub(crate) fn open(device: &str, precision: &str) -> Result<Backend> {
    let key = (device.to_string(), precision.to_string());
    // Held while opening: two threads share one device.
    let mut all = opened();
    let Open { backends, cache } = all.get_or_insert_default();
    if let Some(backend) = backends.get(&key)
        && !backend.gpu().is_some_and(Gpu::is_lost)
    {
        return Ok(backend.clone());
    }
    let mut backend = Backend::open(device)?.with_precision(precision.parse()?)?;
    let precision = backend.precision();
    if let (Backend::Gpu(gpu), Precision::F16) = (&mut backend, precision) {
        *gpu = session::with_matrices(gpu);
    }
    if let (Backend::Gpu(gpu), Some(folder)) = (&mut backend, cache) {
        gpu.cache_pipelines(folder);
        if let Some(tuning) = tune::load(gpu, folder) {
            *gpu = gpu.with_tuning(tuning);
        }
    }
    backends.insert(key, backend.clone());
    Ok(backend)
}

/// Opens the device again after it was lost, for all that use it: the first to notice opens it, the others get the same.
pub(crate) fn reopening(device: String, precision: String) -> impl FnMut() -> Result<Backend> + Send + 'static {
    move || open(&device, &precision)
}

/// For tests: the device is lost with its `submission`th submission from now.
#[pyfunction]
pub(crate) fn lose_device(py: Python<'_>, device: String, precision: String, submission: u64) -> PyResult<()> {
    work::run(py, Observer::None, move |_| match open(&device, &precision)? {
        Backend::Gpu(gpu) => {
            lose_at_submission(&gpu, submission);
            Ok(())
        }
        Backend::Cpu => Err(Error::invalid("device `cpu`", "cannot be lost")),
    })
}

/// Sets the folder of compiled pipelines and tuned choices; `None` for none. Devices opened before keep theirs.
#[pyfunction]
#[pyo3(signature = (folder))]
pub(crate) fn set_cache_folder(py: Python<'_>, folder: Option<PathBuf>) {
    // Another thread may be opening a device.
    py.detach(|| opened().get_or_insert_default().cache = folder);
}

/// All devices as a JSON array; the last is the CPU reference.
#[pyfunction]
pub(crate) fn devices(py: Python<'_>) -> PyResult<String> {
    let all = work::run(py, Observer::None, |_| Ok(adapters()))?;
    let mut list: Vec<Value> = Vec::new();
    for a in all {
        let kind = match a.info.device_type {
            unet_wgpu::wgpu::DeviceType::DiscreteGpu => "discrete GPU",
            unet_wgpu::wgpu::DeviceType::IntegratedGpu => "integrated GPU",
            unet_wgpu::wgpu::DeviceType::VirtualGpu => "virtual GPU",
            unet_wgpu::wgpu::DeviceType::Cpu => "software rendering on the CPU",
            unet_wgpu::wgpu::DeviceType::Other => "unknown",
        };
        let driver = format!("{} {}", a.info.driver, a.info.driver_info);
        list.push(json!({
            "device": a.index.to_string(),
            "name": a.info.name,
            "type": kind,
            "backend": format!("{:?}", a.info.backend),
            "driver": driver.trim(),
            "f16": a.features.contains(unet_wgpu::wgpu::Features::SHADER_F16),
            "buffer_bytes": a.limits.max_buffer_size,
            "auto": a.chosen,
        }));
    }
    list.push(json!({
        "device": Backend::CPU,
        "name": "reference executor",
        "type": "CPU, slow",
        "backend": Value::Null,
        "driver": "",
        "f16": false,
        "buffer_bytes": Value::Null,
        "auto": false,
    }));
    Ok(Value::from(list).to_string())
}
