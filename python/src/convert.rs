//! Writing models in other formats, as `unet convert` does.

use std::io::Write;
use std::path::Path;

use unet_wgpu::low_level::infer::write_atomically;
use unet_wgpu::low_level::model::onnx_export;
use unet_wgpu::low_level::weights::{self, Checkpoint, ModelMetadata, StoredType};
use unet_wgpu::{Error, Model, Result};

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

/// The model with its own architecture, if this project wrote the ONNX file that it was opened from.
fn native(model: &Model) -> Result<Model> {
    let model = model.unpackaged();
    if model.architecture.id() != "onnx" {
        return Ok(model);
    }
    let path = Path::new(&model.name);
    if has_extension(path, "onnx") {
        return Model::new(&*model.name, onnx_export::read_back(path)?);
    }
    let reason = "holds an ONNX network of another program; only the three architectures have native files";
    Err(Error::invalid(format!("model {}", model.name), reason))
}

/// Writes a model; returns the bytes of the file.
pub(crate) fn convert(model: &Model, path: &Path, f16: bool) -> Result<u64> {
    if let (Ok(a), Ok(b)) = (std::fs::canonicalize(&model.name), path.canonicalize())
        && a == b
    {
        return Err(Error::file(path, "the file would replace the one that the model was opened from"));
    }
    if has_extension(path, "onnx") {
        if f16 {
            return Err(Error::invalid("f16", "ONNX files are written with 32-bit floats"));
        }
        let bytes = onnx_export::export(&native(model).unwrap_or_else(|_| model.unpackaged()))?;
        write_atomically(path, |file| file.write_all(&bytes))?;
    } else {
        let model = native(model)?;
        let (arch, config) = (model.architecture.id().to_string(), model.architecture.config());
        let metadata = Some(ModelMetadata { arch, config, ..model.metadata.clone() });
        let weights = model.weights().clone();
        let stored = if f16 { StoredType::F16 } else { StoredType::F32 };
        weights::save(path, &Checkpoint { metadata, weights, ..Checkpoint::default() }, stored)?;
    }
    Ok(std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len())
}
