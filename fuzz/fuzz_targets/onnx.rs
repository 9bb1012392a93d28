//! An ONNX file: decoded, folded, translated at its own size and at others, its network planned.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use std::sync::Arc;
use unet_wgpu::Model;
use unet_wgpu::low_level::model::onnx::{self, OnnxOptions};
use unet_wgpu_fuzz::{digest, file, names, run};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    unet_wgpu_fuzz::onnx::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    // Other files lie beside it.
    file("beside.bin", &[0x3c; 4096]);
    let path = file("fuzz.onnx", data);
    run(data, || {
        for free_size in [false, true] {
            let options = OnnxOptions { free_size, ..OnnxOptions::default() };
            let Some((network, metadata, weights)) = names(onnx::parse(data, &path, &options), &path) else { return };
            let fixed = onnx::is_onnx(data, &path)
                && unet_wgpu::low_level::model::Architecture::fixed_size(&network) == [None; 2];
            let name = path.display().to_string();
            if let Some(model) = names(Model::with_architecture(name, Arc::new(network), metadata, weights), &path) {
                digest(&model);
            }
            if fixed && !free_size {
                return;
            }
        }
    });
});
