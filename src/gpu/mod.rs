//! The GPU: an adapter opened by us or a device of the host application, with compiled pipelines.

mod adapter;
mod pipeline;

pub use adapter::{AdapterSummary, DeviceChoice, adapters};
pub use pipeline::Pipeline;

use crate::error::{Error, Result};
use crate::kernel::{Caps, ConvFamily, KernelKey};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A device and queue, what they can do, and the pipelines compiled so far. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
    caps: Arc<Caps>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    checked: bool,
    pipelines: Mutex<HashMap<KernelKey, Arc<Pipeline>>>,
    lost: Arc<Mutex<Option<String>>>,
}

impl Gpu {
    /// Opens an adapter. Never falls back to another one: what cannot be had is an error.
    pub fn new(choice: &DeviceChoice) -> Result<Self> {
        let (device, queue) = adapter::open(choice)?;
        let gpu = Self::from_wgpu(device, queue)?;
        // Only on a device of our own: a host application may have a callback of its own on its device.
        let lost = gpu.inner.lost.clone();
        gpu.device().set_device_lost_callback(move |reason, message| {
            *lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{reason:?} {message}"));
        });
        Ok(gpu)
    }

    /// Uses a device and queue that the host application made, with whatever limits and features it asked for.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        Self::with_checks(device, queue, std::env::var_os("UNET_CHECKED_SHADERS").is_some())
    }

    /// The same, choosing whether the driver checks every index our kernels compute and bounds every loop. Unchecked
    /// is the default; the tests run the same kernels checked.
    pub fn with_checks(device: wgpu::Device, queue: wgpu::Queue, checked: bool) -> Result<Self> {
        let info = device.adapter_info();
        let mut caps = adapter::caps(&device, &info);
        // For measuring only: `UNET_CONV=tile` and so on forces a family of convolution kernels.
        if let Ok(family) = std::env::var("UNET_CONV") {
            caps.conv = Some(family.parse()?);
        }
        if let Ok(path) = std::env::var("UNET_OPERANDS") {
            caps.operands = Some(path.parse()?);
        }
        if caps.max_storage_buffers < 4 {
            return Err(Error::Limit {
                what: format!("adapter {}", info.name),
                needed: "at least 4 storage buffers per shader stage".into(),
                limit: caps.max_storage_buffers.to_string(),
            });
        }
        let lost = Arc::new(Mutex::new(None));
        let inner = Inner { device, queue, info, checked, pipelines: Mutex::default(), lost };
        Ok(Self { inner: Arc::new(inner), caps: Arc::new(caps) })
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Name, driver and backend of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.inner.info
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The same device, planning only with kernels that add up every pixel's sum in the same order wherever the pixel
    /// lies: Winograd's blocks do not.
    #[must_use]
    pub fn position_independent(&self) -> Self {
        let caps = Caps { conv: Some(ConvFamily::Gemm), ..(*self.caps).clone() };
        Self { inner: self.inner.clone(), caps: Arc::new(caps) }
    }

    /// One line that says which adapter this is: name, backend, driver.
    pub fn describe(&self) -> String {
        adapter::describe(self.info())
    }

    /// The compiled pipeline of a kernel; compiled at first use.
    pub fn pipeline(&self, key: &KernelKey) -> Result<Arc<Pipeline>> {
        let lock = || self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(p) = lock().get(key) {
            return Ok(p.clone());
        }
        let pipeline = Arc::new(Pipeline::new(self.device(), key, self.inner.checked)?);
        lock().insert(key.clone(), pipeline.clone());
        Ok(pipeline)
    }

    /// Number of pipelines compiled so far.
    pub fn pipelines_compiled(&self) -> usize {
        self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Runs `f` and turns a validation or out-of-memory error inside it into an [`Error::Gpu`] about `what`.
    pub fn scoped<T>(&self, what: &str, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let memory = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let result = f();
        let errors = [pollster::block_on(validation.pop()), pollster::block_on(memory.pop())];
        let value = result?;
        match errors.into_iter().flatten().next() {
            Some(e) => Err(Error::Gpu { what: what.into(), reason: first_line(&e.to_string()) }),
            None => Ok(value),
        }
    }

    /// Waits until a submission has finished.
    pub fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        self.device().poll(poll).map_err(|e| self.lost_or(&e.to_string()))?;
        Ok(())
    }

    fn lost_or(&self, reason: &str) -> Error {
        let lost = self.inner.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Error::DeviceLost(lost.unwrap_or_else(|| reason.to_string()))
    }
}

fn first_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
