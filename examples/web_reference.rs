//! What scripts/test_web.sh compares a browser's results with: `web_reference FOLDER` writes the model, the image, and what
//! this machine computes of them.

#[path = "../tests/web/src/cases.rs"]
mod cases;

use std::path::Path;

use unet_wgpu::low_level::gpu::block_on;
use unet_wgpu::low_level::weights::builtin;
use unet_wgpu::{Backend, Error, Image, Model, Result};

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or_else(|| Error::invalid("web_reference", "takes a folder"))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = Path::new(&folder).join(name);
        std::fs::write(&path, bytes).map_err(|e| Error::io(path, e))
    };
    let model = builtin::find("nuclei").ok_or_else(|| Error::invalid("nuclei", "is no built-in model"))?.file()?;
    let image = include_bytes!("../assets/images/nuclei_u2os.png");
    let backend = Backend::open("auto")?;
    println!("native: {}", backend.describe());
    let (ids, probabilities) =
        block_on(cases::segment(backend.clone(), Model::from_bytes("nuclei", &model)?, &Image::from_bytes(image)?))?;
    write("nuclei.safetensors", &model)?;
    write("image.png", image)?;
    write("ids.u8", &ids)?;
    write("probabilities.f32", &probabilities.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())?;
    if let Backend::Gpu(gpu) = &backend {
        let losses = block_on(cases::losses(gpu))?;
        write("losses.f32", &losses.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())?;
    }
    Ok(())
}
