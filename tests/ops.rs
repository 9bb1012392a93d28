//! Every registered op case on the GPU against its CPU reference, unchecked as shipped and with every index checked.

use unet_wgpu::gpu::Gpu;
use unet_wgpu::ops::registry;
use unet_wgpu::testing::{OP_TOLERANCE, check_case, gpu_or_skip};

fn check_all(gpu: &Gpu) {
    let mut failures = Vec::new();
    for case in registry() {
        match check_case(gpu, &case) {
            Ok(c) if c.within(OP_TOLERANCE) => {}
            Ok(c) => failures.push(format!("{}: error {} of scale {} at {}", case.name, c.max_error, c.scale, c.index)),
            Err(e) => failures.push(format!("{}: {e}", case.name)),
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
