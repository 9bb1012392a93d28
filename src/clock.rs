//! The clock. The standard library's panics in a browser, which has its own.

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) use std::time::Instant;
#[cfg(all(
    feature = "std-fs",
    feature = "image-formats",
    not(all(target_family = "wasm", target_os = "unknown"))
))]
pub(crate) use std::time::SystemTime;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) use web_time::Instant;
#[cfg(all(feature = "std-fs", feature = "image-formats", target_family = "wasm", target_os = "unknown"))]
pub(crate) use web_time::SystemTime;
