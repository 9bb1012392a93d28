//! An image file in any other format, and arrays of numpy: decoded, normalised; labels.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unet_wgpu::infer::{LabelMap, Image, normalise, page_count};
use unet_wgpu::weights::Normalisation;
use unet_wgpu_fuzz::{file, names, run};

/// Pixels that are decoded.
const WHOLE: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    // TIFF has a target of its own.
    if data.starts_with(b"II") || data.starts_with(b"MM") {
        return;
    }
    let path = file("fuzz.picture", data);
    run(data, || {
        let _ = names(page_count(&path), &path);
        if let Some(image) = names(Image::open_limited(&path, WHOLE), &path) {
            for rule in [Normalisation::Unit, Normalisation::ZScore, Normalisation::MinMax] {
                let _ = normalise(&image, &rule);
            }
        }
        let _ = LabelMap::open(&path);
    });
});
