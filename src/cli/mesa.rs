//! Environment variables for Mesa, set before any driver is loaded. Variables that the user has set are left alone.

mod llvmpipe;
mod measure;
mod memory;
mod width;

pub(super) use measure::{COMMAND, document};
pub(super) use width::Vectors;

use super::environment::user_cache_dir;
use memory::Remembered;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use width::{Facts, Rule};

/// The width of llvmpipe's vectors in bits.
pub(super) const WIDTH: &str = "LP_NATIVE_VECTOR_WIDTH";
const CACHE: &str = "MESA_SHADER_CACHE_DIR";
const LOG: &str = "unet_wgpu::vectors";

/// Names of the variables that this program has set.
static SET: Mutex<Vec<&str>> = Mutex::new(Vec::new());
static VECTORS: OnceLock<Vectors> = OnceLock::new();

/// Whether the width of vectors may be measured, where either may be the faster one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measuring {
    /// No, and measurements on disk are not used.
    Off,
    /// Measurements on disk are used, and nothing is measured: no device will be opened.
    Stored,
    /// Measured where the rule is open and there is no measurement yet.
    Missing,
    /// Measured now, also where the rule sees no chance.
    Always,
}

/// Sets the variables. Call it before any other thread exists.
pub(super) fn prepare(measuring: Measuring, note: impl Fn(&str)) {
    if cfg!(target_os = "linux") {
        quiet();
        let _ = VECTORS.set(widen(measuring, note));
    }
}

/// The width that [`prepare`] decided on.
pub(super) fn vectors() -> Vectors {
    VECTORS.get().cloned().unwrap_or_else(|| Vectors::default_for("widths are set on Linux only"))
}

/// Whether this program has set a variable itself.
pub(super) fn set_by_us(name: &str) -> bool {
    SET.lock().unwrap_or_else(PoisonError::into_inner).contains(&name)
}

/// The processor's name, on Linux.
pub(super) fn processor() -> Option<String> {
    let lines = processor_lines(&["model name"])?;
    (!lines.is_empty()).then_some(lines)
}

/// What `/proc/cpuinfo` says of the first processor under some names.
fn processor_lines(names: &[&str]) -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let value = |name: &&str| text.lines().find_map(|l| l.strip_prefix(*name)?.trim_start().strip_prefix(':'));
    let values: Vec<&str> = names.iter().filter_map(value).flat_map(str::split_whitespace).collect();
    Some(values.join(" "))
}

/// Mesa's device-select layer complains on stderr where no desktop runs (`error: XDG_RUNTIME_DIR is invalid or not set`),
/// which looks like a failure of ours. The layer only puts the desktop's GPU first, so without a desktop it is disabled,
/// unless the user configures it.
fn quiet() {
    if !is_set("XDG_RUNTIME_DIR") && !is_set("MESA_VK_DEVICE_SELECT") {
        set_variable("NODEVICE_SELECT", "1");
    }
}

/// Chooses between llvmpipe's default of 256-bit vectors and 512 bits. Up to Mesa 22, 512 bits are faster on some processors
/// and slower on others, so both are timed, once for each driver and processor; newer versions take several times as long with
/// 512. Kernels compiled for 512 bits go to a separate folder, since Mesa's cache does not distinguish widths. On a machine with a
/// GPU nothing is set: llvmpipe's speed does not matter there, and the GPU driver's cache must not move.
fn widen(measuring: Measuring, note: impl Fn(&str)) -> Vectors {
    let set = std::env::var_os(WIDTH).map(|bits| bits.to_string_lossy().into_owned());
    // Drivers are read only where their version matters: each has some 10 MB.
    let chance = set.is_none() && !has_gpu() && has_avx512();
    let drivers = if chance { llvmpipe::drivers() } else { Vec::new() };
    let folder = if chance { folder_for_wide() } else { None };
    let facts = Facts {
        set,
        has_gpu: has_gpu(),
        has_avx512: has_avx512(),
        versions: drivers.iter().map(|d| d.version).collect(),
        has_folder: folder.is_some(),
    };
    let (vectors, open) = match width::rule(&facts) {
        Rule::Fixed(vectors) => return vectors,
        Rule::Open(vectors) => (vectors, true),
        Rule::Unlikely(vectors) => (vectors, false),
    };
    let Some((store, wide)) = folder else { return vectors };
    let processor =
        processor_lines(&["vendor_id", "cpu family", "model", "stepping", "model name"]).unwrap_or_default();
    let identities: Vec<String> = drivers.into_iter().map(|d| d.identity).collect();
    let machine = memory::identity(&identities, &processor);
    let chosen = match measured(measuring, open, &store, &wide, &machine, note) {
        Some(times) => width::faster(times),
        None => vectors,
    };
    if let Some(bits) = &chosen.bits {
        set_variable(WIDTH, bits);
        set_variable(CACHE, wide);
    }
    chosen
}

/// The times of both widths, from disk or measured; `None` leaves the choice to the rule.
fn measured(
    measuring: Measuring,
    open: bool,
    store: &Path,
    wide: &Path,
    machine: &str,
    note: impl Fn(&str),
) -> Remembered {
    let stored = if measuring == Measuring::Off { None } else { memory::load(store, machine) };
    match (measuring, stored) {
        (Measuring::Stored | Measuring::Missing, Some(remembered)) => return remembered,
        (Measuring::Off | Measuring::Stored, _) => return None,
        (Measuring::Missing, None) if !open => return None,
        (Measuring::Missing, None) | (Measuring::Always, _) => {}
    }
    let Some(_held) = memory::lock(store) else {
        log::debug!(target: LOG, "{} is not writable, or another process measures", store.display());
        return None;
    };
    note("measuring whether this driver is faster with vectors of 256 or of 512 bits, once");
    let times = measure::times(wide);
    let remembered = match &times {
        Ok(times) => Some(*times),
        Err(why) => {
            log::debug!(target: LOG, "measuring failed: {why}");
            None
        }
    };
    if let Err(e) = memory::store(store, machine, remembered) {
        log::debug!(target: LOG, "{}: {e}", store.display());
    }
    remembered
}

/// The folder for measurements, and that for kernels compiled for 512 bits; `None` if the user has chosen another folder for
/// kernels, or if there is none.
fn folder_for_wide() -> Option<(PathBuf, PathBuf)> {
    if is_set(CACHE) || is_set("MESA_GLSL_CACHE_DIR") {
        return None;
    }
    let store = user_cache_dir()?;
    let wide = store.join("mesa-512");
    std::fs::create_dir_all(&wide).ok()?;
    Some((store, wide))
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

fn set_variable(name: &'static str, value: impl AsRef<OsStr>) {
    // SAFETY: no other thread exists yet: this is the first thing the program does.
    unsafe { std::env::set_var(name, value) };
    SET.lock().unwrap_or_else(PoisonError::into_inner).push(name);
}
