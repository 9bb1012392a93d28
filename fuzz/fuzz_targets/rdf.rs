//! A package of bioimage.io: the zip, its description, the weights in it, its test tensors.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::Map;
use unet_wgpu::low_level::model::bioimage;
use unet_wgpu_fuzz::{archive, digest, file, names, run};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    archive::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let path = file("fuzz.zip", data);
    run(data, || {
        let _ = bioimage::is_package(&(&path).into());
        let Some((model, package)) = names(bioimage::open(&path, &Map::new()), &path) else { return };
        digest(&model);
        if let Some(folder) = path.parent() {
            names(package.extract_test(folder), &path);
        }
    });
});
