//! The device that tests run on, selected by environment variables.

use crate::error::Error;
use crate::gpu::{DeviceChoice, Gpu};

/// The GPU for tests: `UNET_DEVICE`, else the best adapter. `None`, with a message on stderr, only if the machine has
/// none and `UNET_REQUIRE_GPU` is not set (CI sets it).
pub fn gpu_or_skip() -> Option<Gpu> {
    let choice = std::env::var("UNET_DEVICE").unwrap_or_default().parse().unwrap_or_default();
    match Gpu::new(&choice) {
        Ok(gpu) => {
            let expected = std::env::var(EXPECTED_SUBGROUP).ok().and_then(|lanes| lanes.parse().ok());
            assert!(expected.is_none() || gpu.caps().subgroup == expected, "subgroups of {:?}", gpu.caps().subgroup);
            Some(gpu)
        }
        Err(Error::NoAdapter) if choice == DeviceChoice::Auto && std::env::var_os("UNET_REQUIRE_GPU").is_none() => {
            eprintln!("skipped: no GPU adapter on this machine");
            None
        }
        Err(e) => panic!("the GPU for the tests: {e}"),
    }
}

/// Subgroup size that a test binary started by [`again_with_wide_vectors`] must find.
const EXPECTED_SUBGROUP: &str = "UNET_TEST_SUBGROUP";

/// On llvmpipe with subgroups of 8, reruns tests of the calling test binary with vectors of 512 bits, so with subgroups
/// of 16, as the program does on processors that have such vectors (others emulate them in halves).
pub fn again_with_wide_vectors(tests: &[&str]) {
    let Some(gpu) = gpu_or_skip() else { return };
    if !gpu.describe().contains("llvmpipe") || gpu.caps().subgroup != Some(8) {
        return;
    }
    let program = std::env::current_exe().expect("the test binary");
    let mut command = std::process::Command::new(program);
    // A separate folder: Mesa's cache does not distinguish vector widths.
    let cache = std::env::temp_dir().join("unet-wgpu-mesa-512");
    std::fs::create_dir_all(&cache).expect("a folder for temporary files");
    command.arg("--exact").args(tests).env("LP_NATIVE_VECTOR_WIDTH", "512").env("MESA_SHADER_CACHE_DIR", cache);
    command.env(EXPECTED_SUBGROUP, "16");
    let output = command.output().expect("the test binary");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&format!("{} passed", tests.len())), "a test was renamed:\n{text}");
}
