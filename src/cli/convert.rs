//! `unet convert`

use super::models::{SetArgs, is_onnx};
use super::{Common, output, values};
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use unet_wgpu::low_level::infer::{check_writable, write_atomically};
use unet_wgpu::low_level::model::onnx_export;
use unet_wgpu::low_level::weights::{self, Checkpoint, ModelMetadata, StoredType};
use unet_wgpu::{Error, Result};

/// Write a model in another format: PyTorch checkpoints to native ones, models to ONNX
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet convert unet_carvana.pth cars.safetensors
  unet convert brain.pth brain.safetensors --set classes=background,tumour
  unet convert nuclei nuclei.onnx             with free batch and image size
  unet convert nuclei.onnx again.safetensors
  unet convert cells.safetensors small.safetensors --f16
  unet convert cells.safetensors sized.safetensors --diameter 20.5
                                              states the diameter of its instances

IN is a built-in model, .safetensors, .pt, .pth, .ckpt, or an .onnx written by this command. OUT is .safetensors (or
.safetensors.gz, compressed) or .onnx (opset 17). Settings that a checkpoint lacks are assumed from its source and printed;
--set overrides them.")]
pub(super) struct Convert {
    /// The model
    #[arg(value_name = "IN")]
    input: String,
    /// The file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    set: SetArgs,
    /// Store convolution weights as 16-bit floats (.safetensors only)
    #[arg(long)]
    f16: bool,
    /// State the median diameter in pixels of the instances that the model was trained on
    #[arg(long, value_name = "PIXELS", value_parser = values::positive)]
    diameter: Option<f64>,
    /// State the pixel size in micrometres that the model was trained on
    #[arg(long, value_name = "UM", value_parser = values::positive)]
    pixel_size: Option<f64>,
}

impl Convert {
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        let to_onnx = is_onnx(&self.output);
        if self.f16 && to_onnx {
            return Err(Error::invalid("--f16", "ONNX files are written with 32-bit floats"));
        }
        check_writable(&self.output)?;
        if matches!((std::fs::canonicalize(&self.input), self.output.canonicalize()), (Ok(a), Ok(b)) if a == b) {
            return Err(Error::file(&self.output, "the output would overwrite the input"));
        }
        let model = self.set.open_checkpoint(&self.input, common)?;
        if model.package().is_some_and(|p| !p.post.is_empty()) {
            common.note("  note: the package's postprocessing is not converted");
        }
        let mut model = model.unpackaged();
        if self.diameter.is_some() || self.pixel_size.is_some() {
            let mut scale = model.metadata.scale.unwrap_or_default();
            scale.diameter = self.diameter.or(scale.diameter);
            scale.pixel_size = self.pixel_size.or(scale.pixel_size);
            model.metadata.scale = Some(scale);
        }
        if !to_onnx && model.architecture.id() == "onnx" {
            let reason = "holds an ONNX network of another program; only the three architectures have native files";
            return Err(Error::file(&self.input, reason));
        }
        if to_onnx {
            let bytes = onnx_export::export(&model)?;
            write_atomically(&self.output, |file| file.write_all(&bytes))?;
        } else {
            let (arch, config) = (model.architecture.id().to_string(), model.architecture.config());
            let metadata = Some(ModelMetadata { arch, config, ..model.metadata.clone() });
            let weights = model.weights().clone();
            let stored = if self.f16 { StoredType::F16 } else { StoredType::F32 };
            weights::save(&self.output, &Checkpoint { metadata, weights, ..Checkpoint::default() }, stored)?;
        }
        let bytes = std::fs::metadata(&self.output).map_err(|e| Error::io(&self.output, e))?.len();
        if common.json {
            output::json(&json!({
                "input": self.input,
                "output": self.output,
                "bytes": bytes,
                "arch": model.architecture.id(),
                "config": model.architecture.config(),
                "normalisation": model.metadata.normalisation,
                "dialect": model.import().map(|r| r.dialect),
                "assumed": model.import().map(|r| r.assumed()),
            }))?;
        } else {
            let (name, n) = (model.architecture.name(), model.weights().len());
            output::line(&format!("{}: {name}, {n} tensors, {}", self.output.display(), output::bytes(bytes)))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
