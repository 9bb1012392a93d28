//! Structs of callers that were compiled against this version, an older or a newer one.

use std::ffi::c_void;

use unet_wgpu::{Error, Result};

/// A struct that begins with its size and a pointer to an extension.
///
/// # Safety
/// It is `repr(C)`, begins with `size: usize` and `next: *const c_void`, and any bytes are a valid value of the other fields.
pub(crate) unsafe trait Versioned: Copy {
    /// Its name in C.
    const NAME: &'static str;
    /// Size of its first version: bytes up to the end of the last field that every caller knows.
    const FIRST: usize;
    /// What a field is that the caller does not know.
    fn absent() -> Self;
    /// Its `next`.
    fn next(&self) -> *const c_void;
}

/// The caller's struct: fields that the caller does not know have their default.
///
/// # Safety
/// `from` is null, or points to a struct of this kind whose `size` says how many bytes of it may be read.
pub(crate) unsafe fn read<T: Versioned>(from: *const T) -> Result<T> {
    if from.is_null() {
        return Err(Error::invalid(T::NAME, "is null"));
    }
    // SAFETY: it begins with its size.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    if size < T::FIRST {
        let reason = format!("its `size` is {size}, at least {} are needed: set it to sizeof({})", T::FIRST, T::NAME);
        return Err(Error::invalid(T::NAME, reason));
    }
    let mut value = T::absent();
    let known = size.min(size_of::<T>());
    // SAFETY: `size` bytes may be read, and any bytes are valid fields.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut value).cast::<u8>(), known) };
    if !value.next().is_null() {
        return Err(Error::invalid(T::NAME, "its `next` is not null, and this version knows no extension"));
    }
    Ok(value)
}

/// Fills the caller's struct as far as the caller knows its fields; its `size` stays.
///
/// # Safety
/// `to` points to a struct of this kind that [`read`] accepted, and may be written.
pub(crate) unsafe fn write<T: Versioned>(to: *mut T, value: T) {
    // SAFETY: it begins with its size.
    let size = unsafe { to.cast::<usize>().read_unaligned() };
    let (skip, known) = (size_of::<usize>(), size.min(size_of::<T>()));
    // SAFETY: `size` bytes may be written.
    unsafe {
        let from = (&raw const value).cast::<u8>().add(skip);
        std::ptr::copy_nonoverlapping(from, to.cast::<u8>().add(skip), known.saturating_sub(skip));
    }
}
