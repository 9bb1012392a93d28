//! Where to compute.

use std::ffi::{CString, c_char};
use std::sync::{Arc, Mutex, PoisonError};

use unet_wgpu::{Backend, Error, Gpu, Result};

use crate::error::{UnetStatus, guarded, text};

/// A device to compute on. Several segmenters and threads may share one.
pub struct UnetDevice {
    pub(crate) opened: Opened,
    name: CString,
}

/// A device that is opened again by the same choice after it was lost, for all that use it.
#[derive(Clone)]
pub(crate) struct Opened {
    choice: String,
    backend: Arc<Mutex<Backend>>,
}

impl Opened {
    fn new(choice: &str) -> Result<Self> {
        Ok(Self { choice: choice.into(), backend: Arc::new(Mutex::new(Backend::open(choice)?)) })
    }

    /// The device; a new one if the last one was lost.
    pub(crate) fn backend(&self) -> Result<Backend> {
        // Held while opening: two threads share one device.
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        if backend.gpu().is_some_and(Gpu::is_lost) {
            *backend = Backend::open(&self.choice)?;
        }
        Ok(backend.clone())
    }

    /// Opens it again after it was lost.
    pub(crate) fn reopening(&self) -> impl FnMut() -> Result<Backend> + Send + 'static {
        let opened = self.clone();
        move || opened.backend()
    }
}

/// Opens a device: "auto" (or null) for the fastest GPU, a number or part of a name as `unet devices` lists them, or "cpu" for the
/// slow reference. `*device` is null where it fails. If the device is lost (its driver resets it, it is unplugged), it is opened again
/// by the same choice, and what uses it goes on.
///
/// # Safety
/// `choice` is null or ends in a zero; `device` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_device_open(choice: *const c_char, device: *mut *mut UnetDevice) -> UnetStatus {
    guarded(|| {
        // SAFETY: by this function's contract.
        let choice = if choice.is_null() { "auto" } else { unsafe { text("choice", choice)? } };
        // SAFETY: by this function's contract.
        unsafe {
            give("device", device, || {
                let opened = Opened::new(choice)?;
                let name = CString::new(opened.backend()?.describe()).unwrap_or_default();
                Ok(UnetDevice { opened, name })
            })
        }
    })
}

/// The device's name for users, valid until it is closed; null for null.
///
/// # Safety
/// `device` is null or an open device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_device_name(device: *const UnetDevice) -> *const c_char {
    // SAFETY: null or open.
    unsafe { device.as_ref() }.map_or(std::ptr::null(), |d| d.name.as_ptr())
}

/// Closes a device; null is ignored. What was opened with it stays usable.
///
/// # Safety
/// `device` is null or an open device, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_device_close(device: *mut UnetDevice) {
    // SAFETY: by this function's contract.
    unsafe { take_back(device) }
}

/// Gives the caller an object, or null where making it fails.
///
/// # Safety
/// `to` is null or points to a pointer.
pub(crate) unsafe fn give<T>(what: &str, to: *mut *mut T, make: impl FnOnce() -> Result<T>) -> Result<()> {
    if to.is_null() {
        return Err(Error::invalid(what, "is null"));
    }
    // SAFETY: not null, so it points to a pointer.
    unsafe { to.write(std::ptr::null_mut()) };
    let made = Box::into_raw(Box::new(make()?));
    // SAFETY: as above.
    unsafe { to.write(made) };
    Ok(())
}

/// Frees what [`give`] gave; null is ignored.
///
/// # Safety
/// `object` is null or comes from [`give`] and is not used afterwards.
pub(crate) unsafe fn take_back<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: from `Box::into_raw`, once.
        let object = unsafe { Box::from_raw(object) };
        guarded(|| {
            drop(object);
            Ok(())
        });
    }
}

/// The object of an argument.
///
/// # Safety
/// `object` is null or valid.
pub(crate) unsafe fn given<'a, T>(what: &str, object: *const T) -> Result<&'a T> {
    // SAFETY: null or valid.
    unsafe { object.as_ref() }.ok_or_else(|| Error::invalid(what, "is null"))
}
