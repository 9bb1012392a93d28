//! Runs the examples that users copy from.

use unet_wgpu::testing::gpu_or_skip;

#[path = "../../examples/custom_architecture.rs"]
mod custom_architecture;
#[path = "../../examples/embed.rs"]
mod embed;

#[test]
fn embed_runs() {
    if gpu_or_skip().is_some() {
        embed::main().unwrap();
    }
}

#[test]
fn custom_architecture_runs() {
    if gpu_or_skip().is_some() {
        custom_architecture::run().unwrap();
    }
}

/// Without an adapter an example must fail with one line that says how to get one.
#[test]
fn the_error_without_an_adapter_helps() {
    let text = unet_wgpu::Error::NoAdapter.to_string();
    assert!(text.contains("apt-get install mesa-vulkan-drivers") && !text.contains('\n'), "{text}");
}
