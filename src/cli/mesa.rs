//! What Mesa must be told by the environment, before any driver is loaded. Whatever the user has set stays.

mod llvmpipe;

use super::environment::user_cache_dir;
use std::ffi::OsStr;
use std::path::Path;

/// Sets the variables. To be called before there is any other thread.
pub fn prepare() {
    if cfg!(target_os = "linux") {
        quiet();
        widen();
    }
}

/// Mesa's device-select layer complains on stderr where no desktop runs (`error: XDG_RUNTIME_DIR is invalid or not set`),
/// which looks like a failure of ours. It only puts the desktop's GPU first, so it is switched off there, unless the
/// user gives it orders.
fn quiet() {
    if !is_set("XDG_RUNTIME_DIR") && !is_set("MESA_VK_DEVICE_SELECT") {
        set("NODEVICE_SELECT", "1");
    }
}

/// llvmpipe computes 256 bits at a time unless it is told to use all 512 of a processor that has them. Up to Mesa 22 that is
/// faster; Mesa 25 and 26 take 3.3 to 3.8 times as long with it, so a version that is newer or not found keeps its own width.
/// Compiled kernels are kept in a folder of their own: Mesa's cache does not tell widths apart. Where there is a GPU, nobody
/// waits for llvmpipe, and the GPU's driver keeps its cache where it was.
fn widen() {
    const WIDTH: &str = "LP_NATIVE_VECTOR_WIDTH";
    const CACHE: &str = "MESA_SHADER_CACHE_DIR";
    if is_set(WIDTH) || has_gpu() || !has_avx512() || !llvmpipe::gains_from_512_bits() {
        return;
    }
    set(WIDTH, "512");
    if is_set(CACHE) || is_set("MESA_GLSL_CACHE_DIR") {
        return;
    }
    if let Some(folder) = user_cache_dir().map(|d| d.join("mesa-512"))
        && std::fs::create_dir_all(&folder).is_ok()
    {
        set(CACHE, folder);
    }
}

fn has_gpu() -> bool {
    let mut nodes = Path::new("/dev/dri").read_dir().into_iter().flatten().flatten();
    nodes.any(|node| node.file_name().to_string_lossy().starts_with("renderD"))
}

fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

fn set(name: &str, value: impl AsRef<OsStr>) {
    // SAFETY: no other thread exists yet, this is the first thing the program does.
    unsafe { std::env::set_var(name, value) };
}
