//! Data of a device that is cached between runs of a program, and the identity of devices.

#[cfg(feature = "std-fs")]
mod disk;

#[cfg(feature = "std-fs")]
pub(super) use disk::DiskCache;
#[cfg(feature = "std-fs")]
pub(crate) use disk::write_whole;

#[cfg(feature = "std-fs")]
use sha2::{Digest, Sha256};

/// A cache of compiled pipelines.
#[derive(Debug)]
pub(super) enum Cache {
    #[cfg(feature = "std-fs")]
    Disk(DiskCache),
    /// The application's, which stores it.
    Host(wgpu::PipelineCache),
}

impl Cache {
    pub(super) fn cache(&self) -> &wgpu::PipelineCache {
        match self {
            #[cfg(feature = "std-fs")]
            Self::Disk(disk) => disk.cache(),
            Self::Host(cache) => cache,
        }
    }

    /// Stores what is ours to store, if there are more pipelines than last time.
    pub(super) fn save(&self, pipelines: usize) {
        match self {
            #[cfg(feature = "std-fs")]
            Self::Disk(disk) => disk.save(pipelines),
            Self::Host(_) => _ = pipelines,
        }
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
