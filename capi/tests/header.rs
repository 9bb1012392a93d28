//! The header says what the sources say. `UNET_UPDATE_HEADER=1 cargo test` writes it anew.

use std::path::Path;

#[test]
fn the_header_is_up_to_date() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let mut text = Vec::new();
    cbindgen::generate_with_config(here, config).unwrap().write(&mut text);
    let header = here.join("include/unet_wgpu.h");
    if std::env::var_os("UNET_UPDATE_HEADER").is_some() {
        std::fs::write(&header, &text).unwrap();
    }
    let found = std::fs::read_to_string(&header).unwrap();
    assert!(
        found == String::from_utf8(text).unwrap(),
        "include/unet_wgpu.h is old: run UNET_UPDATE_HEADER=1 cargo test"
    );
}
