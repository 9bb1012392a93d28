//! Environment variables for Mesa, set before any driver is loaded. Variables that the user has set are left alone.

mod llvmpipe;

use super::environment::user_cache_dir;
use std::ffi::OsStr;
use std::path::Path;

/// Sets the variables. Call it before any other thread exists.
pub(super) fn prepare() {
    if cfg!(target_os = "linux") {
        quiet();
        widen();
    }
}

/// Mesa's device-select layer complains on stderr where no desktop runs (`error: XDG_RUNTIME_DIR is invalid or not set`),
/// which looks like a failure of ours. The layer only puts the desktop's GPU first, so without a desktop it is disabled,
/// unless the user configures it.
fn quiet() {
    if !is_set("XDG_RUNTIME_DIR") && !is_set("MESA_VK_DEVICE_SELECT") {
        set("NODEVICE_SELECT", "1");
    }
}

/// llvmpipe uses 256-bit vectors by default, also on processors with 512 bits. Up to Mesa 22, 512 bits are faster; Mesa 25
/// and 26 take 3.3 to 3.8 times as long with them, so newer or unknown versions keep their default. Compiled kernels go to a
/// separate folder, since Mesa's cache does not distinguish widths. On a machine with a GPU nothing is set: llvmpipe's speed
/// does not matter there, and the GPU driver's cache must not move.
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
    // SAFETY: no other thread exists yet: this is the first thing the program does.
    unsafe { std::env::set_var(name, value) };
}
