//! The device that tests run on, chosen by the environment of `cargo test`.

use crate::error::Error;
use crate::gpu::{DeviceChoice, Gpu};

/// The GPU tests run on: the one `UNET_DEVICE` names, else the best. `None` (after saying so on stderr) only when the
/// machine has none and `UNET_REQUIRE_GPU` is not set, as it is in CI.
pub fn gpu_or_skip() -> Option<Gpu> {
    let choice = std::env::var("UNET_DEVICE").unwrap_or_default().parse().unwrap_or_default();
    match Gpu::new(&choice) {
        Ok(gpu) => {
            let requested = std::env::var(WANTED_SUBGROUP).ok().and_then(|lanes| lanes.parse().ok());
            assert!(requested.is_none() || gpu.caps().subgroup == requested, "subgroups of {:?}", gpu.caps().subgroup);
            Some(gpu)
        }
        Err(Error::NoAdapter) if choice == DeviceChoice::Auto && std::env::var_os("UNET_REQUIRE_GPU").is_none() => {
            eprintln!("skipped: no GPU adapter on this machine");
            None
        }
        Err(e) => panic!("the GPU for the tests: {e}"),
    }
}

/// The subgroup size that a test binary run by another one must find.
const WANTED_SUBGROUP: &str = "UNET_TEST_SUBGROUP";

/// On llvmpipe with subgroups of 8, runs tests of the calling test binary once more with vectors of 512 bits, so with
/// subgroups of 16, as the program does where the processor has them (others compute them in halves).
pub fn again_with_wide_vectors(tests: &[&str]) {
    let Some(gpu) = gpu_or_skip() else { return };
    if !gpu.describe().contains("llvmpipe") || gpu.caps().subgroup != Some(8) {
        return;
    }
    let program = std::env::current_exe().expect("the test binary");
    let mut command = std::process::Command::new(program);
    // A folder of its own: Mesa's cache does not tell widths apart.
    let cache = std::env::temp_dir().join("unet-wgpu-mesa-512");
    std::fs::create_dir_all(&cache).expect("a folder for temporary files");
    command.arg("--exact").args(tests).env("LP_NATIVE_VECTOR_WIDTH", "512").env("MESA_SHADER_CACHE_DIR", cache);
    command.env(WANTED_SUBGROUP, "16");
    let output = command.output().expect("the test binary");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&format!("{} passed", tests.len())), "a test was renamed:\n{text}");
}
