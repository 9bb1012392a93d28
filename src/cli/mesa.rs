//! Environment variables for Mesa, set before any driver is loaded. Variables that the user has set are left alone.

mod llvmpipe;

use super::environment::user_cache_dir;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The width of llvmpipe's vectors in bits.
pub(super) const WIDTH: &str = "LP_NATIVE_VECTOR_WIDTH";
const CACHE: &str = "MESA_SHADER_CACHE_DIR";

/// Names of the variables that this program has set.
static SET: Mutex<Vec<&str>> = Mutex::new(Vec::new());
static VECTORS: OnceLock<Vectors> = OnceLock::new();

/// How wide llvmpipe's vectors are, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vectors {
    /// What is asked for; `None` leaves the driver's default.
    bits: Option<String>,
    reason: String,
}

impl fmt::Display for Vectors {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.bits {
            Some(bits) => write!(f, "{bits} bits: {}", self.reason),
            None => write!(f, "the driver's default: {}", self.reason),
        }
    }
}

/// The width that [`prepare`] decided on.
pub(super) fn vectors() -> Vectors {
    VECTORS.get().cloned().unwrap_or(Vectors { bits: None, reason: "this program sets widths on Linux only".into() })
}

/// Whether this program has set a variable itself.
pub(super) fn set_by_us(name: &str) -> bool {
    SET.lock().unwrap_or_else(PoisonError::into_inner).contains(&name)
}

/// The processor's name, on Linux.
pub(super) fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find_map(|l| l.strip_prefix("model name")?.trim_start().strip_prefix(':'))?;
    Some(name.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Sets the variables. Call it before any other thread exists.
pub(super) fn prepare() {
    if cfg!(target_os = "linux") {
        quiet();
        let _ = VECTORS.set(widen());
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
fn widen() -> Vectors {
    let default = |reason: &str| Vectors { bits: None, reason: reason.into() };
    if let Some(bits) = std::env::var_os(WIDTH) {
        return Vectors { bits: Some(bits.to_string_lossy().into()), reason: format!("{WIDTH} is set") };
    }
    if has_gpu() {
        return default("this machine has a GPU");
    }
    if !has_avx512() {
        return default("the processor has no AVX-512");
    }
    if !llvmpipe::gains_from_512_bits() {
        return default("versions of Mesa after 22, and unknown ones, are slower with 512 bits");
    }
    set(WIDTH, "512");
    let vectors =
        Vectors { bits: Some("512".into()), reason: "faster up to Mesa 22, on a processor with AVX-512".into() };
    if is_set(CACHE) || is_set("MESA_GLSL_CACHE_DIR") {
        return vectors;
    }
    if let Some(folder) = user_cache_dir().map(|d| d.join("mesa-512"))
        && std::fs::create_dir_all(&folder).is_ok()
    {
        set(CACHE, folder);
    }
    vectors
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

fn set(name: &'static str, value: impl AsRef<OsStr>) {
    // SAFETY: no other thread exists yet: this is the first thing the program does.
    unsafe { std::env::set_var(name, value) };
    SET.lock().unwrap_or_else(PoisonError::into_inner).push(name);
}
