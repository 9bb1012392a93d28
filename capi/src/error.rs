//! Errors: a code, and words for the calling thread.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use unet_wgpu::Error;

/// What became of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "names of C")]
pub enum UnetStatus {
    /// It succeeded.
    UNET_OK = 0,
    /// An argument is wrong.
    UNET_INVALID = 1,
    /// A file cannot be read, or its content is not what it should be.
    UNET_FILE = 2,
    /// There is no such device, or it refused something.
    UNET_DEVICE = 3,
    /// The device is gone and could not be opened again; the next call tries anew.
    UNET_DEVICE_LOST = 4,
    /// More memory is needed than there is, or than the options allow.
    UNET_LIMIT = 5,
    /// The progress function cancelled the work.
    UNET_CANCELLED = 6,
    /// A defect of the library.
    UNET_INTERNAL = 7,
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

fn set_last(text: &str) {
    // A zero inside would end the text for C.
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    LAST.with(|last| *last.borrow_mut() = text);
}

/// The words for the last call of this thread that failed, in UTF-8: one line, empty if none has failed. They are valid until this
/// thread's next call that fails.
#[unsafe(no_mangle)]
pub extern "C" fn unet_last_error() -> *const c_char {
    LAST.with(|last| last.borrow().as_ptr())
}

/// The version of the library, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn unet_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no zero"),
    };
    VERSION.as_ptr()
}

fn status(e: &Error) -> UnetStatus {
    match e {
        Error::Io { .. } | Error::File { .. } | Error::ParameterMissing { .. } | Error::ParameterShape { .. } => {
            UnetStatus::UNET_FILE
        }
        Error::NoAdapter | Error::UnknownAdapter { .. } | Error::Gpu { .. } | Error::Timeout { .. } => {
            UnetStatus::UNET_DEVICE
        }
        Error::DeviceLost(_) => UnetStatus::UNET_DEVICE_LOST,
        Error::Limit { .. } | Error::OutOfMemory { .. } => UnetStatus::UNET_LIMIT,
        Error::Cancelled => UnetStatus::UNET_CANCELLED,
        _ => UnetStatus::UNET_INVALID,
    }
}

/// Runs a call's work: its error or panic becomes a status and the thread's last error.
pub(crate) fn guarded(work: impl FnOnce() -> unet_wgpu::Result<()>) -> UnetStatus {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => UnetStatus::UNET_OK,
        Ok(Err(e)) => {
            set_last(&e.to_string());
            status(&e)
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            set_last(&format!("a defect of unet-wgpu: {}", text.unwrap_or("panicked")));
            UnetStatus::UNET_INTERNAL
        }
    }
}

/// The text of an argument.
///
/// # Safety
/// `text` is null or ends in a zero.
pub(crate) unsafe fn text<'a>(what: &str, text: *const c_char) -> unet_wgpu::Result<&'a str> {
    if text.is_null() {
        return Err(Error::invalid(what, "is null"));
    }
    // SAFETY: not null, and ends in a zero by this function's contract.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| Error::invalid(what, "is not UTF-8"))
}
