//! A safetensors file, gzipped or not: read, recognised, its network built; written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use unet_wgpu::Model;
use unet_wgpu::low_level::weights::{SafetensorsFormat, StoredType, WeightFormat, load_bytes};
use unet_wgpu_fuzz::{digest, names, run};

fuzz_target!(|data: &[u8]| run(data, || {
    let path = Path::new("fuzz.safetensors");
    let Some(checkpoint) = names(load_bytes(data, path), path) else { return };
    if let Ok(bytes) = SafetensorsFormat.write(&checkpoint, StoredType::F32, path) {
        let again = load_bytes(&bytes, path).expect("what was written can be read");
        assert!(again.weights.keys().eq(checkpoint.weights.keys()));
    }
    if let Some(model) = names(Model::new("fuzz.safetensors", checkpoint), path) {
        digest(&model);
    }
}));
