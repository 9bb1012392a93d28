//! A cache on disk of pipelines as the driver compiled them.
//!
//! There is one file per adapter, driver, backend and version of this crate. It begins with a hash of that identity and of
//! the rest: a file that is damaged, truncated or from another machine is a miss, not an error.

use super::{file_name, identity};
use crate::io::{fs, temporary};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// First bytes of a cache file; its hash follows.
const MAGIC: &[u8; 8] = b"unet-c1\n";
const HASH: usize = 32;
/// Maximum file size, bytes. No driver stores as much for our kernels, so a larger file is not ours.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Writes a file atomically; creates its folder.
pub(crate) fn write_whole(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = temporary::private(folder)?;
    parts.iter().try_for_each(|p| file.write_all(p))?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

fn hash(identity: &str, data: &[u8]) -> [u8; HASH] {
    let mut h = Sha256::new();
    h.update((identity.len() as u64).to_le_bytes());
    h.update(identity.as_bytes());
    h.update(data);
    h.finalize().into()
}

/// The data that a file holds for `identity`; `None` is a miss.
fn load(path: &Path, identity: &str) -> Option<Vec<u8>> {
    if fs::metadata(path).ok()?.len() > MAX_FILE_BYTES {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    let (stored, data) = bytes.strip_prefix(MAGIC)?.split_at_checked(HASH)?;
    let valid = stored == hash(identity, data);
    if !valid {
        log::info!("{}: damaged, or of another adapter, driver or version; ignored", path.display());
    }
    valid.then(|| data.to_vec())
}

fn store(path: &Path, identity: &str, data: &[u8]) -> std::io::Result<()> {
    write_whole(path, &[MAGIC, &hash(identity, data), data])
}

/// The cache on disk of a device's pipelines.
#[derive(Debug)]
pub(in crate::low_level::gpu) struct DiskCache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    identity: String,
    /// Number of pipelines when it was last stored.
    stored: AtomicUsize,
}

impl DiskCache {
    /// `None` if the backend cannot cache pipelines.
    pub(crate) fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo, folder: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let identity = identity(info);
        let path = folder.join(file_name("pipelines", &identity, "bin"));
        let data = load(&path, &identity);
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("unet"), data: data.as_deref(), fallback: true };
        // SAFETY: the hash shows that the data came from `get_data` for this adapter and driver. wgpu also checks its own
        // header, and starts empty if that does not match.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(Self { cache, path, identity, stored: AtomicUsize::new(0) })
    }

    /// The cache to create pipelines with.
    pub(crate) fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Stores the cache if there are more pipelines than last time. If the disk is full or write-protected, the next start
    /// compiles again.
    pub(crate) fn save(&self, pipelines: usize) {
        if self.stored.swap(pipelines, Ordering::Relaxed) >= pipelines {
            return;
        }
        let Some(data) = self.cache.get_data() else { return };
        if load(&self.path, &self.identity).is_some_and(|old| old == data) {
            return;
        }
        if let Err(e) = store(&self.path, &self.identity, &data) {
            log::info!("{}: pipelines are not cached: {e}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_file_of_the_same_adapter_is_a_hit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/cache.bin");
        assert_eq!(load(&path, "a"), None);
        store(&path, "a", b"pipelines").unwrap();
        assert_eq!(load(&path, "a").as_deref(), Some(&b"pipelines"[..]));
        assert_eq!(load(&path, "b"), None, "of another adapter");
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(load(&path, "a"), None, "byte {at} is wrong");
            std::fs::write(&path, &good[..at]).unwrap();
            assert_eq!(load(&path, "a"), None, "cut off at {at}");
        }
        let files = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "no temporary file is left");
    }
}
