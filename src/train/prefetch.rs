//! Items that are made ahead, where there are threads.

#[cfg(any(test, target_arch = "wasm32"))]
#[cfg_attr(not(target_arch = "wasm32"), allow(unreachable_pub, reason = "public in a browser"))]
mod on_demand;
#[cfg(not(target_arch = "wasm32"))]
mod threaded;

#[cfg(target_arch = "wasm32")]
pub use on_demand::Prefetch;
#[cfg(not(target_arch = "wasm32"))]
pub use threaded::Prefetch;
