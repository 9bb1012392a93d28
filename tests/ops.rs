//! Every registered op case on the GPU against its CPU reference, unchecked as shipped and with every index checked.

use std::collections::HashSet;
use unet_wgpu::gpu::Gpu;
use unet_wgpu::kernel::{Caps, Images};
use unet_wgpu::ops::{OpCase, registry};
use unet_wgpu::testing::{check_case_with, family_caps, gpu_or_skip, lowered, tolerance};

/// What is wrong with a case, if anything.
fn failure(gpu: &Gpu, caps: &Caps, case: &OpCase) -> Option<String> {
    let outcome = tolerance(caps, case).and_then(|t| Ok((t, check_case_with(gpu, caps, case)?)));
    match outcome {
        Ok((tolerance, c)) if c.within(tolerance) => None,
        Ok((_, c)) => Some(format!("{}: error {} of scale {} at {}", case.name, c.max_error, c.scale, c.index)),
        Err(e) => Some(format!("{}: {e}", case.name)),
    }
}

fn check_all(gpu: &Gpu) {
    let failures: Vec<String> = registry().iter().filter_map(|case| failure(gpu, gpu.caps(), case)).collect();
    assert!(failures.is_empty(), "on {}:\n{}", gpu.describe(), failures.join("\n"));
}

/// Convolutions, and the sums of their taps, on every family of kernels, also those that the device would not choose.
fn check_families(gpu: &Gpu) {
    let mut failures = Vec::new();
    let mut seen = HashSet::new();
    for (name, caps) in family_caps(gpu.caps()) {
        for case in registry().iter().filter(|c| ["conv", "tap_sum"].iter().any(|n| c.name.starts_with(n))) {
            // Where a family does not apply, the case would only run once more on what it ran on before.
            let dispatches = lowered(&caps, case).map(|l| format!("{}{:?}{:?}", case.name, caps.images, l.dispatches));
            if dispatches.is_ok_and(|d| !seen.insert(d)) {
                continue;
            }
            failures.extend(failure(gpu, &caps, case).map(|f| format!("{name}: {f}")));
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
        let checked = Gpu::with_checks(gpu.device().clone(), gpu.queue().clone(), true).unwrap();
        check_all(&checked);
    }
}

#[test]
fn ops_match_their_reference_with_tensors_in_images_and_in_buffers() {
    let Some(gpu) = gpu_or_skip() else { return };
    if gpu.caps().images == Images::Never {
        return;
    }
    for images in [Images::Always, Images::Never] {
        let caps = Caps { images, ..gpu.caps().clone() };
        let failures: Vec<String> = registry().iter().filter_map(|case| failure(&gpu, &caps, case)).collect();
        assert!(failures.is_empty(), "{images:?} on {}:\n{}", gpu.describe(), failures.join("\n"));
    }
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
        check_families(&Gpu::with_checks(gpu.device().clone(), gpu.queue().clone(), true).unwrap());
    }
}
