//! Data of a device that is cached between runs of a program, and the identity of devices.

#[cfg(feature = "std-fs")]
mod disk;

#[cfg(feature = "std-fs")]
pub(super) use disk::DiskCache;
#[cfg(feature = "std-fs")]
pub(crate) use disk::write_whole;

#[cfg(feature = "std-fs")]
use sha2::{Digest, Sha256};

/// Never exists, since there are no files.
#[cfg(not(feature = "std-fs"))]
#[derive(Debug)]
pub(super) enum DiskCache {}

#[cfg(not(feature = "std-fs"))]
impl DiskCache {
    pub(super) fn cache(&self) -> &wgpu::PipelineCache {
        match *self {}
    }

    pub(super) fn save(&self, _pipelines: usize) {
        match *self {}
    }
}

/// Everything that decides whether cached data of an adapter is valid: name, ids, driver, backend, version of this crate.
/// One line.
pub(super) fn identity(info: &wgpu::AdapterInfo) -> String {
    let wgpu::AdapterInfo { name, vendor, device, driver, driver_info, backend, .. } = info;
    let version = env!("CARGO_PKG_VERSION");
    format!("{name}; {vendor:04x}:{device:04x}; {driver}; {driver_info}; {backend:?}; unet-wgpu {version}")
}

/// `KIND-<hash of the identity>.EXTENSION`.
#[cfg(feature = "std-fs")]
pub(super) fn file_name(kind: &str, identity: &str, extension: &str) -> String {
    let hash: String = Sha256::digest(identity.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("{kind}-{hash}.{extension}")
}
