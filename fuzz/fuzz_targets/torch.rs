//! A PyTorch file, zip or older: read, its dialect recognised, its network built.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use unet_wgpu::Model;
use unet_wgpu::low_level::weights::load;
use unet_wgpu_fuzz::{archive, digest, file, names, run};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    archive::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let path = file("fuzz.pth", data);
    run(data, || {
        let Some(checkpoint) = names(load(&path), &path) else { return };
        if let Some(model) = names(Model::new(path.display().to_string(), checkpoint), &path) {
            digest(&model);
        }
    });
});
