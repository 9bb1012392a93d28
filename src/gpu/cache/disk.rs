//! What is kept on disk between runs of a program: pipelines as the driver compiled them.
//!
//! A file of its own for each adapter, driver, backend and version of this crate. It begins with a hash of all the rest,
//! and of what it is for: a file that is damaged, cut off or of another machine is no error, it is not there.

use super::{file_name, identity};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// First bytes of a cache file; its hash follows.
const MAGIC: &[u8; 8] = b"unet-c1\n";
const HASH: usize = 32;
/// More than any driver keeps for our kernels: a larger file is not ours.
const LARGEST: u64 = 256 << 20;

/// Writes a file whole or not at all, making its folder.
pub(crate) fn write_whole(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
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

/// What a file holds for `identity`; `None` is a miss.
fn load(path: &Path, identity: &str) -> Option<Vec<u8>> {
    if std::fs::metadata(path).ok()?.len() > LARGEST {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    let (kept, data) = bytes.strip_prefix(MAGIC)?.split_at_checked(HASH)?;
    let fits = kept == hash(identity, data);
    if !fits {
        log::info!("{}: not a cache of this adapter and version, or damaged; starting anew", path.display());
    }
    fits.then(|| data.to_vec())
}

fn store(path: &Path, identity: &str, data: &[u8]) -> std::io::Result<()> {
    write_whole(path, &[MAGIC, &hash(identity, data), data])
}

/// The pipelines of a device on disk.
#[derive(Debug)]
pub(in crate::gpu) struct DiskCache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    identity: String,
    /// Pipelines that were there when it was last stored.
    stored: AtomicUsize,
}

impl DiskCache {
    /// `None` where the backend keeps no pipelines.
    pub fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo, folder: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let identity = identity(info);
        let path = folder.join(file_name("pipelines", &identity, "bin"));
        let data = load(&path, &identity);
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("unet"), data: data.as_deref(), fallback: true };
        // SAFETY: the data is what `get_data` gave for this adapter and driver: the hash says so. wgpu checks its own
        // header too, and starts empty where that does not fit.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(Self { cache, path, identity, stored: AtomicUsize::new(0) })
    }

    /// What pipelines are made with.
    pub fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Stores the cache if there are more pipelines than the last time. A disk that is full or write-protected costs
    /// only time at the next start.
    pub fn save(&self, pipelines: usize) {
        if self.stored.swap(pipelines, Ordering::Relaxed) >= pipelines {
            return;
        }
        let Some(data) = self.cache.get_data() else { return };
        if load(&self.path, &self.identity).is_some_and(|old| old == data) {
            return;
        }
        if let Err(e) = store(&self.path, &self.identity, &data) {
            log::info!("{}: pipelines are not kept: {e}", self.path.display());
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
