//! The kept results of `unet tune`. (Compiled pipelines are a blob of the driver's behind a hash; only the hash is ours.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use unet_wgpu::low_level::tune;
use unet_wgpu_fuzz::run;

fuzz_target!(|data: &[u8]| run(data, || {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(tuning) = tune::parse(text, "fuzz") {
        let again = tune::parse(&tune::write(&tuning, "fuzz".into()), "fuzz");
        assert_eq!(again, Some(tuning), "what was written is read again");
    }
}));
