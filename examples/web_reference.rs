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
    let write_floats = |name: &str, values: &[f32]| write(name, bytemuck::cast_slice(values));
    let model = builtin::find("nuclei").ok_or_else(|| Error::invalid("nuclei", "is no built-in model"))?.file()?;
    let image = include_bytes!("../assets/images/nuclei_u2os.png");
    let backend = Backend::open("auto")?;
    println!("native: {}", backend.describe());
    let (ids, probabilities) =
        block_on(cases::segment(backend.clone(), Model::from_bytes("nuclei", &model)?, &Image::from_bytes(image)?))?;
    write("nuclei.safetensors", &model)?;
    write("image.png", image)?;
    write("ids.u8", &ids)?;
    write_floats("probabilities.f32", &probabilities)?;
    if let Backend::Gpu(gpu) = &backend {
        let losses = block_on(cases::losses(gpu))?;
        write_floats("losses.f32", &losses)?;
        let project = Path::new(&folder).join("project");
        // What an earlier call left.
        let _ = std::fs::remove_dir_all(&project);
        let trained = block_on(cases::train(gpu, &project))?;
        write_floats("run_losses.f32", &trained.losses)?;
        write_floats("run_probabilities.f32", &trained.probabilities)?;
        write("run_files.txt", trained.files.as_bytes())?;
    }
    Ok(())
}
