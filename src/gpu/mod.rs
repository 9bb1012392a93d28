//! The GPU: an adapter opened by us or a device of the host application, with compiled pipelines.

mod adapter;
mod allocate;
mod cache;
mod driver;
mod faults;
mod features;
mod lost;
mod peak;
mod pipeline;
mod precision;
mod wait;

#[cfg(not(target_arch = "wasm32"))]
pub use adapter::adapters;
pub(crate) use adapter::caps;
pub use adapter::{AdapterSummary, DeviceChoice, adapters_async};
#[cfg(feature = "std-fs")]
pub(crate) use cache::write_whole;
pub use driver::Alias;
pub use features::{FEATURES, Feature};
pub(crate) use features::{flags, usable};
pub use peak::{Peak, peak_params};
pub use pipeline::Pipeline;
pub use precision::PrecisionChoice;
pub use wait::Submission;
#[cfg(not(target_arch = "wasm32"))]
pub use wait::block_on;

use crate::error::{Error, Result};
use crate::kernel::{Caps, HIDE_TRIP_COUNTS, KernelKey, PlanOptions, Target, TensorStorage, Tuning};
use std::collections::{BTreeSet, HashMap};
#[cfg(feature = "std-fs")]
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// A device and queue, what they can do, and the pipelines compiled so far. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
    target: Arc<Target>,
    pace: Option<Duration>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    checked: bool,
    pipelines: Mutex<HashMap<KernelKey, Arc<Pipeline>>>,
    cache: OnceLock<Option<cache::Cache>>,
    /// Threads that compile; 0 for all.
    compile_threads: AtomicUsize,
    /// Why our own device was lost.
    lost: Arc<Mutex<Option<String>>>,
    /// Number of our submissions that have finished.
    finished: Arc<AtomicU64>,
    /// How long it may finish none of them while it is waited for, in milliseconds.
    wait_limit: Arc<AtomicU64>,
    faults: Arc<faults::Faults>,
    #[cfg(not(target_arch = "wasm32"))]
    waiter: OnceLock<wait::Waiter>,
}

impl Inner {
    fn new(device: wgpu::Device, queue: wgpu::Queue, info: wgpu::AdapterInfo) -> Self {
        Self {
            device,
            queue,
            info,
            checked: false,
            pipelines: Mutex::default(),
            cache: OnceLock::new(),
            compile_threads: AtomicUsize::new(0),
            lost: Arc::default(),
            finished: Arc::default(),
            wait_limit: Arc::new(AtomicU64::new(wait::LIMIT_MS)),
            faults: Arc::default(),
            #[cfg(not(target_arch = "wasm32"))]
            waiter: OnceLock::new(),
        }
    }

    /// The same device without its pipelines.
    fn again(&self) -> Self {
        let Self { device, queue, info, lost, finished, wait_limit, faults, .. } = self;
        let (lost, finished, wait_limit) = (lost.clone(), finished.clone(), wait_limit.clone());
        Self {
            lost,
            finished,
            wait_limit,
            faults: faults.clone(),
            ..Self::new(device.clone(), queue.clone(), info.clone())
        }
    }
}

impl Gpu {
    /// Opens an adapter. Never falls back to another one: if it is unavailable, that is an error.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(choice: &DeviceChoice) -> Result<Self> {
        block_on(Self::new_async(choice))
    }

    /// [`Self::new`] as a future.
    pub async fn new_async(choice: &DeviceChoice) -> Result<Self> {
        let (device, queue, matrix) = adapter::open(choice).await?;
        let mut gpu = Self::of_device(device, queue)?;
        Arc::make_mut(&mut gpu.target).caps.matrix = matrix;
        // Only on our own device: a host application may have its own callback on its device.
        let lost = gpu.inner.lost.clone();
        gpu.device().set_device_lost_callback(move |reason, message| {
            let reason = match reason {
                wgpu::DeviceLostReason::Destroyed => "it was destroyed".to_string(),
                _ => one_line(&message),
            };
            *lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        });
        Ok(gpu)
    }

    /// Uses a device and queue of the host application, with whatever limits and features it requested. Warns (through
    /// `log`) if a feature is missing with which networks run several times as fast; [`Self::missing_features`] lists all.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let gpu = Self::of_device(device, queue)?;
        gpu.warn_of_missing();
        Ok(gpu)
    }

    fn of_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let info = device.adapter_info();
        if !lost::responds(&device) {
            return Err(Error::DeviceLost(format!("{}, while opening it", adapter::describe(&info))));
        }
        // What the driver refuses is found out there, not reported.
        let scopes = lost::Scopes::open(&device);
        let target = adapter::target(&device, &info);
        drop(scopes.close());
        if target.caps.max_storage_buffers < 4 {
            return Err(Error::Limit {
                what: format!("adapter {}", info.name),
                needed: "at least 4 storage buffers per shader stage".into(),
                limit: target.caps.max_storage_buffers.to_string(),
            });
        }
        let inner = Inner::new(device, queue, info);
        Ok(Self { inner: Arc::new(inner), target: Arc::new(target), pace: None })
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
        &self.target.caps
    }

    /// What plans are made for: the device, with the options and choices of this handle.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The same device, with separate pipelines whose shaders have every index checked and every loop bounded. The default
    /// is unchecked; the tests run the same kernels checked.
    #[must_use]
    pub fn with_checked_shaders(&self) -> Self {
        let inner = Inner { checked: true, ..self.inner.again() };
        Self { inner: Arc::new(inner), ..self.clone() }
    }

    /// The same device, planning with other options.
    #[must_use]
    pub fn with_options(&self, options: PlanOptions) -> Self {
        self.with_target((*self.target).clone().with_options(options))
    }

    /// The same device, planning for another target: with forced kernels for tests and measurements, for example. Its
    /// [`Caps`] must be the device's.
    #[must_use]
    pub fn with_target(&self, target: Target) -> Self {
        Self { target: Arc::new(target), ..self.clone() }
    }

    /// The same device, planning only with kernels that sum every pixel in the same order wherever it lies in a tile:
    /// [`PlanOptions::deterministic_tiling`].
    #[must_use]
    pub fn with_deterministic_tiling(&self) -> Self {
        self.with_options(PlanOptions { deterministic_tiling: true, ..self.target.options })
    }

    /// The same device, storing activations and weights of its plans in the precision that [`PrecisionChoice::resolve`]
    /// returns. Fails for `f16` on a device without it.
    pub fn with_precision(&self, choice: PrecisionChoice) -> Result<Self> {
        let precision = choice.resolve(self)?;
        Ok(self.with_options(PlanOptions { precision, ..self.target.options }))
    }

    /// The same device, with cooperative matrices in the GEMM kernels of `f16` plans; `None` if the adapter lists none of a
    /// usable size. An experimental feature of wgpu: `session::with_matrices` checks it against the reference first.
    #[must_use]
    pub fn with_matrices(&self) -> Option<Self> {
        self.caps().matrix?;
        Some(self.with_options(PlanOptions { matrices: true, ..self.target.options }))
    }

    /// The kinds of tensor storage that this device supports, default first.
    pub fn storages(&self) -> &'static [TensorStorage] {
        self.target.policy.storage
    }

    /// The same device, with choices of kernels that were measured on it.
    #[must_use]
    pub fn with_tuning(&self, tuning: Tuning) -> Self {
        let possible = self.storages();
        let storage = tuning.storage().filter(|s| possible.contains(s)).unwrap_or(possible[0]);
        let target = (*self.target).clone().with_tuning(Some(Arc::new(tuning))).with_storage(storage);
        self.with_target(target)
    }

    /// Limits waiting for this device: a wait fails with [`Error::Timeout`] once the device has finished none of our submissions for
    /// so long. Ten minutes without this call: a submission of ours is small, and software is slow. A browser has a limit of
    /// its own.
    pub fn set_wait_limit(&self, limit: Duration) {
        let ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.inner.wait_limit.store(ms, Ordering::Relaxed);
    }

    /// The same device, for work beside an application that draws on it, from another thread: runs and training steps are
    /// submitted in parts that take about so long, each waited for before the next. The results are the same bytes.
    /// `None` is the default, in which the device always has work.
    #[must_use]
    pub fn with_pace(&self, pace: Option<Duration>) -> Self {
        Self { pace, ..self.clone() }
    }

    /// The time that a part of a run takes, about; `None` without [`Self::with_pace`].
    pub fn pace(&self) -> Option<Duration> {
        self.pace
    }

    /// What a cache file must match: adapter, driver, backend and version of this crate.
    pub(crate) fn identity(&self) -> String {
        cache::identity(self.info())
    }

    /// Path of a cache file of this device: of its compiled pipelines (`pipelines`, `bin`) or tuned choices (`tuning`, `json`).
    #[cfg(feature = "std-fs")]
    pub fn cache_file(&self, folder: &Path, kind: &str, extension: &str) -> PathBuf {
        folder.join(cache::file_name(kind, &self.identity(), extension))
    }

    /// The adapter in one line: name, backend, driver.
    pub fn describe(&self) -> String {
        adapter::describe(self.info())
    }

    /// Caches compiled pipelines in files of `folder` if the backend can (Vulkan) and the device has
    /// `Features::PIPELINE_CACHE`; otherwise does nothing. Without this call nothing is read from or written to disk. Call it
    /// before anything is compiled; only the first call counts.
    #[cfg(feature = "std-fs")]
    pub fn cache_pipelines(&self, folder: &Path) {
        let open = || Ok(cache::DiskCache::open(self.device(), self.info(), folder).map(cache::Cache::Disk));
        self.inner.cache.get_or_init(|| self.guarded("opening the cache of pipelines", open).unwrap_or_default());
    }

    /// Compiles with a pipeline cache of the application, made on the same device; the application loads and stores its data.
    /// Fails if this device has a cache already, or has compiled without one.
    pub fn use_pipeline_cache(&self, cache: wgpu::PipelineCache) -> Result<()> {
        let taken = |why| Err(Error::invalid("pipeline cache", why));
        if self.pipelines_compiled() > 0 {
            return taken("comes too late: kernels are compiled already");
        }
        match self.inner.cache.set(Some(cache::Cache::Host(cache))) {
            Ok(()) => Ok(()),
            Err(_) => taken("is set already"),
        }
    }

    /// How many threads compile at a time; 0 for as many as rayon's global pool has.
    pub fn set_compile_threads(&self, threads: usize) {
        self.inner.compile_threads.store(threads, Ordering::Relaxed);
    }

    /// The compiled pipeline of a kernel; compiled at first use.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn pipeline(&self, key: &KernelKey) -> Result<Arc<Pipeline>> {
        block_on(self.pipeline_async(key))
    }

    /// [`Self::pipeline`] as a future.
    pub async fn pipeline_async(&self, key: &KernelKey) -> Result<Arc<Pipeline>> {
        let known = self.pipelines().get(key).cloned();
        match known {
            Some(p) => Ok(p),
            None => self.new_pipeline(key)?.await,
        }
    }

    /// Starts to compile a kernel. The future returns its pipeline, or the device's error.
    fn new_pipeline(&self, key: &KernelKey) -> Result<impl Future<Output = Result<Arc<Pipeline>>>> {
        let cache = self.inner.cache.get().and_then(Option::as_ref).map(cache::Cache::cache);
        let compiled = key.clone().flag(HIDE_TRIP_COUNTS, self.target.policy.hides_trip_counts);
        let compiling = Pipeline::compile(self, &compiled, self.inner.checked, cache)?;
        Ok(async move {
            let pipeline = Arc::new(compiling.await?);
            // Another thread may have been faster; both are the same.
            Ok(self.pipelines().entry(key.clone()).or_insert(pipeline).clone())
        })
    }

    fn pipelines(&self) -> MutexGuard<'_, HashMap<KernelKey, Arc<Pipeline>>> {
        self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compiles kernels that are not yet compiled and stores them in the cache of [`Self::cache_pipelines`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn compile<'a>(&self, keys: impl IntoIterator<Item = &'a KernelKey>) -> Result<()> {
        block_on(self.compile_async(keys))
    }

    /// [`Self::compile`] as a future. A native driver compiles in the calling thread, so the work is shared among all threads
    /// and the future is ready when it is first polled. A browser compiles all kernels concurrently in the background.
    pub async fn compile_async<'a>(&self, keys: impl IntoIterator<Item = &'a KernelKey>) -> Result<()> {
        let missing: Vec<&KernelKey> = {
            let known = self.pipelines();
            let missing = keys.into_iter().filter(|k| !known.contains_key(k)).collect::<BTreeSet<_>>();
            missing.into_iter().collect()
        };
        #[cfg(not(target_arch = "wasm32"))]
        {
            use crate::parallel::*;
            let (next, limit) = (AtomicUsize::new(0), self.inner.compile_threads.load(Ordering::Relaxed));
            let workers = if limit == 0 { missing.len() } else { missing.len().min(limit) };
            (0..workers).into_par_iter().try_for_each(|_| -> Result<()> {
                while let Some(key) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                    self.pipeline(key)?;
                }
                Ok(())
            })?;
        }
        #[cfg(target_arch = "wasm32")]
        {
            let compiling = missing.into_iter().map(|key| self.new_pipeline(key)).collect::<Result<Vec<_>>>()?;
            for pipeline in compiling {
                pipeline.await?;
            }
        }
        if let Some(Some(cache)) = self.inner.cache.get() {
            cache.save(self.pipelines_compiled());
        }
        Ok(())
    }

    /// Number of pipelines compiled so far.
    pub fn pipelines_compiled(&self) -> usize {
        self.pipelines().len()
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
