//! Whether the device is lost, and how calls on a lost device end: in an error, never in a panic or in a call of the
//! application's uncaptured-error handler.
//!
//! wgpu tells of a loss by the device's one callback, which belongs to the application on a device of its own. Its calls do
//! not fail on a lost device: they return invalid resources, and the first use of one of those is a validation error. So every
//! call that wgpu may answer with an error is made inside error scopes, and once something is wrong the device is asked.

use super::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use super::block_on;
use crate::error::{Error, Result};
use std::sync::PoisonError;

impl Gpu {
    /// Whether the device is lost: destroyed, reset by its driver, or removed. What was made on it is gone, and so are its
    /// pipelines: open another [`Gpu`], then make sessions and frames anew, or give it to `Segmenter::recover`.
    pub fn is_lost(&self) -> bool {
        self.reported_loss().is_some() || !responds(self.device())
    }

    /// Fails with [`Error::DeviceLost`] if the device is lost; `doing` says what cannot be done then.
    pub fn check_device(&self, doing: &str) -> Result<()> {
        if self.is_lost() { Err(self.lost(doing, "")) } else { Ok(()) }
    }

    /// What our own device told when it was lost.
    fn reported_loss(&self) -> Option<String> {
        self.inner.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The error of a lost device: which one, what was being done, and why if that is known.
    pub(crate) fn lost(&self, doing: &str, reason: &str) -> Error {
        let reported = self.reported_loss();
        let reason = reported.as_deref().unwrap_or(reason);
        let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        Error::DeviceLost(format!("{}, while {doing}{why}", self.describe()))
    }

    /// An error of `doing`; a lost device explains any.
    pub(super) fn or_lost(&self, doing: &str, e: Error) -> Error {
        match e {
            e @ (Error::DeviceLost(_) | Error::OutOfMemory { .. } | Error::Cancelled) => e,
            _ if self.is_lost() => self.lost(doing, ""),
            e => e,
        }
    }

    /// Runs `f` and turns an error of the device inside it into an [`Error`] about `doing`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn scoped<T>(&self, doing: &str, f: impl FnOnce() -> Result<T>) -> Result<T> {
        block_on(self.scoped_async(doing, f))
    }

    /// [`Self::scoped`] as a future. `f` runs at once; the future waits for the device's verdict.
    pub fn scoped_async<T>(&self, doing: &str, f: impl FnOnce() -> Result<T>) -> impl Future<Output = Result<T>> {
        let scopes = Scopes::open(self.device());
        let result = f();
        let verdict = scopes.close();
        async move {
            let refused = verdict.await;
            let value = result.map_err(|e| self.or_lost(doing, e))?;
            match refused {
                Some(e) => Err(self.refused(doing, &e)),
                None => Ok(value),
            }
        }
    }

    /// [`Self::scoped`] inside a call that cannot wait. A browser gives its verdict later, so there the error goes to the
    /// uncaptured-error handler; its calls on a lost device are no errors.
    pub(crate) fn guarded<T>(&self, doing: &str, f: impl FnOnce() -> Result<T>) -> Result<T> {
        #[cfg(not(target_arch = "wasm32"))]
        return self.scoped(doing, f);
        #[cfg(target_arch = "wasm32")]
        {
            let _ = doing;
            f()
        }
    }

    pub(super) fn refused(&self, doing: &str, e: &wgpu::Error) -> Error {
        let reason = super::one_line(&e.to_string());
        match e {
            wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { what: doing.into(), bytes: None, remedy: None },
            _ => self.or_lost(doing, Error::Gpu { what: doing.into(), reason }),
        }
    }
}

/// Scopes for every kind of error, innermost first. They belong to a thread.
pub(super) struct Scopes {
    validation: wgpu::ErrorScopeGuard,
    internal: wgpu::ErrorScopeGuard,
    memory: wgpu::ErrorScopeGuard,
}

impl Scopes {
    pub(super) fn open(device: &wgpu::Device) -> Self {
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        Self { validation, internal, memory }
    }

    /// The first error that they caught. A browser has one stack of scopes: all close before anything is awaited.
    pub(super) fn close(self) -> impl Future<Output = Option<wgpu::Error>> + use<> {
        let (validation, internal, memory) = (self.validation.pop(), self.internal.pop(), self.memory.pop());
        async move {
            let errors = [memory.await, internal.await, validation.await];
            errors.into_iter().flatten().next()
        }
    }
}

/// Whether a device still makes buffers that can be written. In a browser a lost device does; it tells by the callback.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn responds(device: &wgpu::Device) -> bool {
    let scopes = Scopes::open(device);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("probe"),
        size: 16,
        usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: true,
    });
    let mapped = buffer.get_mapped_range_mut(..).is_ok();
    drop(buffer);
    let verdict = scopes.close();
    // Memory that ran out is no loss.
    mapped || matches!(block_on(verdict), Some(wgpu::Error::OutOfMemory { .. }))
}

#[cfg(target_arch = "wasm32")]
pub(super) fn responds(_: &wgpu::Device) -> bool {
    true
}
