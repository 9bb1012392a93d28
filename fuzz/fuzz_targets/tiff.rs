//! A TIFF file: described, pages counted, windows read from several of them and of levels, statistics gathered; labels.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unet_wgpu::low_level::infer::{
    Image, LabelMap, OpenOptions, calibration_of, describe_image, normalise, open_image, page_count,
};
use unet_wgpu::low_level::weights::Normalisation;
use unet_wgpu_fuzz::{file, names, run};

/// Pixels that are read as a whole.
const WHOLE: u64 = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let path = file("fuzz.tif", data);
    run(data, || {
        let pages = names(page_count(&path), &path).unwrap_or(1);
        let _ = names(describe_image(&path), &path);
        for (page, level) in [(0, 0), (1, 0), (pages.saturating_sub(1), 0), (0, 1)] {
            let options = OpenOptions { page, level, ..OpenOptions::default() };
            let _ = names(calibration_of(&path, &options, None), &path).map(|c| c.cropped(1, 1).oriented(6, [3, 2]));
            let Some(mut source) = names(open_image(&path, &options), &path) else { continue };
            let info = source.info();
            let _ = (source.rows_at_once(), source.held_bytes(), source.cache_bytes(64));
            source.set_cache(1 << 20);
            // The corners and the middle, as tiles of a segmentation lie.
            let (w, h) = (info.width.min(48), info.height.min(48));
            for (x, y) in [(0, 0), (info.width - w, info.height - h), ((info.width - w) / 2, (info.height - h) / 2)] {
                if let Some(window) = names(source.read(x, y, w, h), &path) {
                    assert_eq!([window.width(), window.height(), window.channels()], [w, h, info.channels]);
                    let _ = normalise(&window, &Normalisation::Percentile { low: 1.0, high: 99.8, clamp: None });
                }
            }
        }
        let _ = names(Image::open_limited(&path, WHOLE), &path);
        let _ = LabelMap::open(&path);
    });
});
