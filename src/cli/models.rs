//! Opening the model that the user names, with options for what its file does not specify.

use super::{Common, hints};
use clap::Args;
use serde_json::{Map, Value};
use std::path::Path;
use unet_wgpu::low_level::model::{Model, onnx_export};
use unet_wgpu::{Error, Result};

/// Options of another program's checkpoint.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SetArgs {
    /// A setting that a PyTorch checkpoint does not contain, instead of the assumed one: an option of the network such as
    /// `align_corners=false`, `normalisation=z_score` or `classes=background,cell`; `state=ema` reads that state dict of a file
    /// with several. For any U-Net++: `level=2` prunes it to L2, `deep_supervision=false` uses its last head instead of the
    /// mean of all. For an ONNX file: `activation=sigmoid` (or softmax, after_sigmoid, after_softmax, after_sigmoid_255,
    /// after_softmax_255, after_log_sigmoid, after_log_softmax) states what its output is, `output=NAME` which output to use,
    /// `size=480x640` (rows x columns), `layout=NHWC`, `free_size=true`, `in_channels=3`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// `KEY=VALUE` as an entry of a config.
pub(super) fn option(pair: &str) -> Result<(String, Value)> {
    let Some((key, value)) = pair.split_once('=') else {
        return Err(Error::invalid(format!("--set {pair}"), "must be KEY=VALUE"));
    };
    // A value that is not JSON is a string: up=bilinear.
    Ok((key.to_string(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
}

impl SetArgs {
    /// The options as a config.
    pub(super) fn options(&self) -> Result<Map<String, Value>> {
        self.set.iter().map(|pair| option(pair)).collect()
    }

    /// Opens a model and reports assumed settings on stderr.
    pub(super) fn open(&self, name: &str, common: &Common) -> Result<Model> {
        let model = Model::open_with(name, &self.options()?)?;
        say_assumptions(&model, common);
        Ok(model)
    }

    /// The same, but reads ONNX files only if this program wrote them, as the architecture they were written from.
    pub(super) fn open_checkpoint(&self, name: &str, common: &Common) -> Result<Model> {
        let path = Path::new(name);
        if !is_onnx(path) {
            return self.open(name, common);
        }
        if let Some(key) = self.options()?.keys().next() {
            return Err(Error::invalid(format!("--set {key}"), "does not apply to an ONNX file"));
        }
        Model::new(name, onnx_export::read_back(path)?)
    }
}

/// Whether the name ends in `.onnx`.
pub(super) fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
}

/// Reports on stderr what was assumed because the file does not specify it.
pub(super) fn say_assumptions(model: &Model, common: &Common) {
    for note in model.package().iter().flat_map(|p| &p.notes) {
        common.note(&format!("{}: {note}", model.name));
    }
    let Some(report) = model.import() else { return };
    common.note(&format!("{}: {}, {}", model.name, report.heading(), model.architecture.name()));
    for assumed in report.assumed() {
        common.note(&format!("  assumed {assumed}"));
    }
    for note in &report.notes {
        common.note(&format!("  note: {}", hints::text(note)));
    }
}
