//! Environment variables: only the program reads them, never the library.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use unet_wgpu::Result;
use unet_wgpu::low_level::gpu::Gpu;
use unet_wgpu::testing;

/// The device as `UNET_CONV`, `UNET_OPERANDS` and `UNET_CHECKED_SHADERS` configure it, for measurements: a forced family of
/// convolution kernels, a forced operand path of GEMM kernels, shaders with every index checked.
pub(super) fn forced(gpu: &Gpu) -> Result<Gpu> {
    let mut target = gpu.target().clone();
    if let Ok(family) = std::env::var("UNET_CONV") {
        target = target.with_conv(family.parse()?);
    }
    if let Ok(path) = std::env::var("UNET_OPERANDS") {
        target = target.with_operands(path.parse()?);
    }
    let gpu = gpu.with_target(target);
    Ok(if std::env::var_os("UNET_CHECKED_SHADERS").is_some() { gpu.with_checked_shaders() } else { gpu })
}

/// Failures that tests provoke: `UNET_LOSE_AT=5,3` destroys the first device of the program with its fifth submission and the
/// second with its third; `UNET_FAIL_ALLOCATION=7` lets the seventh allocation of each fail for want of memory.
pub(super) fn faults(gpu: &Gpu) {
    static OPENED: AtomicUsize = AtomicUsize::new(0);
    let numbers = |name: &str| -> Vec<u64> {
        let list = std::env::var(name).unwrap_or_default();
        list.split(',').filter_map(|n| n.trim().parse().ok()).collect()
    };
    let device = OPENED.fetch_add(1, Ordering::SeqCst);
    if let Some(&n) = numbers("UNET_LOSE_AT").get(device) {
        testing::lose_at_submission(gpu, n);
    }
    if let Some(&n) = numbers("UNET_FAIL_ALLOCATION").first() {
        testing::fail_allocation(gpu, n);
    }
}

/// This user's cache folder: `UNET_CACHE_DIR`, else the system's default. `None` if there is none, or if `UNET_CACHE_DIR`
/// is set and empty.
pub(super) fn user_cache_dir() -> Option<PathBuf> {
    cache_dir(|name| std::env::var_os(name))
}

fn cache_dir(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(dir) = var("UNET_CACHE_DIR") {
        return Some(dir).filter(|d| !d.is_empty()).map(PathBuf::from);
    }
    // A relative path would depend on the working directory.
    let absolute = |name: &str| var(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let system = if cfg!(target_os = "windows") {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|h| h.join("Library/Caches"))
    } else {
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|h| h.join(".cache")))
    };
    system.map(|s| s.join("unet-wgpu"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        let with = |vars: &'static [(&'static str, &'static str)]| {
            cache_dir(move |name| vars.iter().find(|v| v.0 == name).map(|v| v.1.into()))
        };
        assert_eq!(with(&[("UNET_CACHE_DIR", "/a"), ("HOME", "/h")]), Some("/a".into()));
        assert_eq!(with(&[("UNET_CACHE_DIR", ""), ("HOME", "/h")]), None);
        assert_eq!(with(&[]), None);
        if cfg!(target_os = "linux") {
            assert_eq!(with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Some("/x/unet-wgpu".into()));
            assert_eq!(with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "x")]), Some("/h/.cache/unet-wgpu".into()));
        }
    }
}
