//! Every registered op case on the GPU against its CPU reference, with unchecked shaders as shipped and with bounds
//! checks.

use std::collections::HashSet;
use unet_wgpu::low_level::gpu::{Gpu, PrecisionChoice};
use unet_wgpu::low_level::kernel::{AdapterClass, Target, TensorStorage};
use unet_wgpu::low_level::ops::{OpCase, registry};
use unet_wgpu::testing::{
    again_with_wide_vectors, check_case_with, family_caps, gpu_or_skip, lowered, matrix_caps, tile_caps, tolerance,
};

/// The failure of a case, if any.
fn failure(gpu: &Gpu, target: &Target, case: &OpCase) -> Option<String> {
    let outcome = tolerance(target, case).and_then(|t| Ok((t, check_case_with(gpu, target, case)?)));
    match outcome {
        Ok((tolerance, c)) if c.within(tolerance) => None,
        Ok((_, c)) => Some(format!("{}: error {} of scale {} at {}", case.name, c.max_error, c.scale, c.index)),
        Err(e) => Some(format!("{}: {e}", case.name)),
    }
}

/// The device with f16 storage; `None`, with a message, if its shaders have no f16.
fn halves(gpu: Gpu) -> Option<Gpu> {
    if !gpu.caps().f16 {
        eprintln!("skipped: {} has no f16 in shaders", gpu.describe());
        return None;
    }
    Some(gpu.with_precision(PrecisionChoice::F16).unwrap())
}

fn check_all(gpu: &Gpu) {
    let failures: Vec<String> = registry().iter().filter_map(|case| failure(gpu, gpu.target(), case)).collect();
    assert!(failures.is_empty(), "on {}:\n{}", gpu.describe(), failures.join("\n"));
}

/// Convolutions and tap sums on every kernel family, including those that the device would not choose.
fn check_families(gpu: &Gpu) {
    check_forced(gpu, family_caps(gpu.target()), |name| ["conv", "tap_sum"].iter().any(|n| name.starts_with(n)));
}

/// Every GEMM tile of hardware GPUs: several and partial tiles in both directions, full and partial K blocks, several
/// sources.
fn check_tiles(gpu: &Gpu) {
    let edges = [
        "conv2d/two tiles of every kernel, batch 2",
        "conv2d/3x3 valid, two sources, one cropped, batch 2",
        "conv2d/3x3, three sources of odd channels",
        "conv2d/more columns than any tile",
        "conv_transpose2d/2x2 stride 2, two tiles",
    ];
    let known = registry().iter().filter(|c| edges.contains(&c.name.as_str())).count();
    assert_eq!(known, edges.len(), "a case was renamed");
    check_forced(gpu, tile_caps(gpu.target()), |name| edges.contains(&name));
}

fn check_forced(gpu: &Gpu, all: Vec<(String, Target)>, of_interest: impl Fn(&str) -> bool) {
    let mut failures = Vec::new();
    let mut seen = HashSet::new();
    for (name, target) in all {
        for case in registry().iter().filter(|c| of_interest(&c.name)) {
            // A family that does not apply would only repeat an earlier run.
            let dispatches =
                lowered(&target, case).map(|l| format!("{}{:?}{:?}", case.name, target.options.storage, l.dispatches));
            if dispatches.is_ok_and(|d| !seen.insert(d)) {
                continue;
            }
            failures.extend(failure(gpu, &target, case).map(|f| format!("{name}: {f}")));
        }
    }
    assert!(failures.is_empty(), "on {}:\n{}", gpu.describe(), failures.join("\n"));
}

#[test]
fn ops_match_their_reference() {
    if let Some(gpu) = gpu_or_skip() {
        check_all(&gpu);
    }
}

#[test]
fn ops_match_their_reference_with_every_index_checked() {
    if let Some(gpu) = gpu_or_skip() {
        let checked = gpu.with_checked_shaders();
        check_all(&checked);
    }
}

#[test]
fn ops_match_their_reference_with_tensors_in_textures_and_in_buffers() {
    let Some(gpu) = gpu_or_skip() else { return };
    if gpu.target().options.storage == TensorStorage::Buffers {
        return;
    }
    for storage in [TensorStorage::AlwaysTextures, TensorStorage::Textures, TensorStorage::Buffers] {
        let target = gpu.target().clone().with_storage(storage);
        let failures: Vec<String> = registry().iter().filter_map(|case| failure(&gpu, &target, case)).collect();
        assert!(failures.is_empty(), "{storage:?} on {}:\n{}", gpu.describe(), failures.join("\n"));
    }
}

/// The other tests then run with aliased textures, as the program does.
#[test]
fn llvmpipe_writes_textures_as_buffers() {
    let Some(gpu) = gpu_or_skip() else { return };
    if cfg!(target_os = "linux") && gpu.describe().contains("llvmpipe") {
        assert_eq!(gpu.target().options.storage, TensorStorage::Aliased);
    }
}

/// Passes and sums over maps divide their work as on hardware GPUs.
#[test]
fn ops_match_with_the_areas_of_real_gpus() {
    let Some(gpu) = gpu_or_skip() else { return };
    let own = gpu.target();
    let mut target = own.clone();
    target.caps.class = AdapterClass::Other;
    let differs = |case: &OpCase| {
        let dispatches = |t| lowered(t, case).map(|l| format!("{:?}", l.dispatches)).ok();
        !case.name.starts_with("conv") && dispatches(own) != dispatches(&target)
    };
    let mut others = registry();
    others.retain(differs);
    for op in ["batch_norm2d_grad", "import_nchw", "mask_out", "max_pool2d", "optimiser", "sum"] {
        assert!(others.iter().any(|case| case.name.starts_with(op)), "no case of {op} differs");
    }
    let failures: Vec<String> = others.iter().filter_map(|case| failure(&gpu, &target, case)).collect();
    assert!(failures.is_empty(), "on {}:\n{}", gpu.describe(), failures.join("\n"));
}

#[test]
fn convolutions_match_on_every_kernel_family() {
    if let Some(gpu) = gpu_or_skip() {
        check_families(&gpu);
    }
}

#[test]
fn convolutions_match_on_every_kernel_family_with_every_index_checked() {
    if let Some(gpu) = gpu_or_skip() {
        check_families(&gpu.with_checked_shaders());
    }
}

#[test]
fn ops_match_their_reference_in_f16() {
    if let Some(gpu) = gpu_or_skip().and_then(halves) {
        check_all(&gpu);
    }
}

#[test]
fn ops_match_their_reference_in_f16_with_every_index_checked() {
    if let Some(gpu) = gpu_or_skip() {
        let checked = gpu.with_checked_shaders();
        halves(checked).iter().for_each(check_all);
    }
}

#[test]
fn convolutions_match_on_every_kernel_family_in_f16() {
    if let Some(gpu) = gpu_or_skip().and_then(halves) {
        check_families(&gpu);
    }
}

#[test]
fn convolutions_match_with_every_tile_of_real_gpus() {
    if let Some(gpu) = gpu_or_skip() {
        check_tiles(&gpu);
    }
}

#[test]
fn convolutions_match_with_every_tile_of_real_gpus_and_every_index_checked() {
    if let Some(gpu) = gpu_or_skip() {
        check_tiles(&gpu.with_checked_shaders());
    }
}

/// lavapipe has 8x8 matrices in Mesa 26 and none in Mesa 22.
#[test]
fn convolutions_match_on_cooperative_matrices() {
    let Some(gpu) = gpu_or_skip() else { return };
    let Some(gpu) = gpu.with_matrices() else {
        eprintln!("skipped: {} lists no usable matrices", gpu.describe());
        return;
    };
    check_forced(&gpu, matrix_caps(gpu.target()), |name| name.starts_with("conv"));
}

#[test]
fn ops_and_convolutions_match_with_wide_vectors() {
    again_with_wide_vectors(&["ops::ops_match_their_reference", "ops::convolutions_match_on_every_kernel_family"]);
}
