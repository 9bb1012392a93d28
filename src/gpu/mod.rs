//! The GPU: an adapter opened by us or a device of the host application, with compiled pipelines.

mod adapter;
mod alias;
mod cache;
mod peak;
mod pipeline;
mod precision;

pub use adapter::{AdapterSummary, DeviceChoice, adapters};
pub use alias::Alias;
pub use cache::user_cache_dir;
pub(crate) use cache::write_whole;
pub use peak::{Peak, peak_params};
pub use pipeline::Pipeline;
pub use precision::PrecisionChoice;

use crate::error::{Error, Result};
use crate::kernel::{Caps, ConvFamily, Images, KernelKey, Tuning};
use crate::parallel::*;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A device and queue, what they can do, and the pipelines compiled so far. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
    caps: Arc<Caps>,
    /// Side of the cooperative matrices that the adapter lists.
    matrix: Option<u32>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    checked: bool,
    pipelines: Mutex<HashMap<KernelKey, Arc<Pipeline>>>,
    disk: OnceLock<Option<cache::DiskCache>>,
    lost: Arc<Mutex<Option<String>>>,
}

impl Gpu {
    /// Opens an adapter. Never falls back to another one: what cannot be had is an error.
    pub fn new(choice: &DeviceChoice) -> Result<Self> {
        let (device, queue, matrix) = adapter::open(choice)?;
        let mut gpu = Self::from_wgpu(device, queue)?;
        gpu.matrix = matrix;
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
        let inner = Inner { device, queue, info, checked, pipelines: Mutex::default(), disk: OnceLock::new(), lost };
        Ok(Self { inner: Arc::new(inner), caps: Arc::new(caps), matrix: None })
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
        self.with_caps(caps)
    }

    /// The same device, storing activations and weights of its plans in the precision asked for. Fails where that is `f16`
    /// and the device lacks it; [`PrecisionChoice::Auto`] takes what [`PrecisionChoice::resolve`] says.
    pub fn with_precision(&self, choice: PrecisionChoice) -> Result<Self> {
        let precision = choice.resolve(self)?;
        let caps = Caps { precision, ..(*self.caps).clone() };
        Ok(self.with_caps(caps))
    }

    /// The same device, with cooperative matrices in products of `f16` plans; `None` where the adapter lists none of a size
    /// that we can use. An experimental feature of wgpu: `session::with_matrices` checks it against the reference first.
    #[must_use]
    pub fn with_matrices(&self) -> Option<Self> {
        let matrix = Some(self.matrix?);
        Some(self.with_caps(Caps { matrix, ..(*self.caps).clone() }))
    }

    fn with_caps(&self, caps: Caps) -> Self {
        Self { inner: self.inner.clone(), caps: Arc::new(caps), matrix: self.matrix }
    }

    /// What tensors can lie in on this device: the usual first.
    pub fn images(&self) -> Vec<Images> {
        adapter::images(self.device(), self.info(), self.caps.subgroup)
    }

    /// The same device, with choices of kernels that were measured on it.
    #[must_use]
    pub fn with_tuning(&self, tuning: Tuning) -> Self {
        let possible = self.images();
        let images = tuning.images().filter(|i| possible.contains(i)).unwrap_or(possible[0]);
        let caps = Caps { tuned: Some(Arc::new(tuning)), images, ..(*self.caps).clone() };
        self.with_caps(caps)
    }

    /// What a file in a cache must have been made for: adapter, driver, backend and version of this crate.
    pub(crate) fn identity(&self) -> String {
        cache::identity(self.info())
    }

    /// Where a cache file of this device lies.
    pub(crate) fn cache_file(&self, folder: &Path, kind: &str, extension: &str) -> PathBuf {
        folder.join(cache::file_name(kind, &self.identity(), extension))
    }

    /// One line that says which adapter this is: name, backend, driver.
    pub fn describe(&self) -> String {
        adapter::describe(self.info())
    }

    /// Keeps compiled pipelines in files of `folder` (see [`user_cache_dir`]), where the backend can (Vulkan) and the device
    /// has `Features::PIPELINE_CACHE`; elsewhere it does nothing. Without this call nothing is read from or written to
    /// disk. To be called before anything is compiled; the first call counts.
    pub fn keep_pipelines(&self, folder: &Path) {
        self.inner.disk.get_or_init(|| cache::DiskCache::open(self.device(), self.info(), folder));
    }

    /// The compiled pipeline of a kernel; compiled at first use.
    pub fn pipeline(&self, key: &KernelKey) -> Result<Arc<Pipeline>> {
        let lock = || self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(p) = lock().get(key) {
            return Ok(p.clone());
        }
        let cache = self.inner.disk.get().and_then(Option::as_ref).map(|d| &d.cache);
        let pipeline = Arc::new(Pipeline::new(self.device(), key, self.inner.checked, cache)?);
        // Another thread may have been faster; both are the same.
        Ok(lock().entry(key.clone()).or_insert(pipeline).clone())
    }

    /// Compiles kernels that are not yet compiled, in all threads, and stores them where [`Self::keep_pipelines`] says.
    pub fn compile<'a>(&self, keys: impl IntoIterator<Item = &'a KernelKey>) -> Result<()> {
        let missing: Vec<&KernelKey> = {
            let known = self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
            let missing = keys.into_iter().filter(|k| !known.contains_key(k)).collect::<BTreeSet<_>>();
            missing.into_iter().collect()
        };
        missing.par_iter().try_for_each(|key| self.pipeline(key).map(|_| ()))?;
        if let Some(Some(disk)) = self.inner.disk.get() {
            disk.save(self.pipelines_compiled());
        }
        Ok(())
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
