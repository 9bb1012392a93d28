//! Opening a model that the user named, with the options that its file may leave open.

use super::{Common, hints};
use clap::Args;
use serde_json::{Map, Value};
use std::path::Path;
use unet_wgpu::error::{Error, Result};
use unet_wgpu::model::{Model, onnx};

/// Options of another program's checkpoint.
#[derive(Args, Clone, Debug, Default)]
pub struct SetArgs {
    /// What a PyTorch checkpoint does not say, in place of what is assumed: an option of the network such as
    /// `align_corners=false`, `normalisation=z_score` or `classes=background,cell`; `state=ema` reads that state dict of a file
    /// with several. Of any U-Net++: `level=2` prunes it to L2, `deep_supervision=false` takes its last head alone in place of
    /// the mean of all. Of an ONNX file: `activation=sigmoid` (or softmax, after_sigmoid, after_softmax, after_sigmoid_255,
    /// after_softmax_255, after_log_sigmoid, after_log_softmax) says what its output is, `output=NAME` which one is meant,
    /// `size=480x640` (rows x columns), `layout=NHWC`, `free_size=true`, `in_channels=3`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// `KEY=VALUE` as a config holds it.
pub fn option(pair: &str) -> Result<(String, Value)> {
    let Some((key, value)) = pair.split_once('=') else {
        return Err(Error::invalid(format!("--set {pair}"), "must be KEY=VALUE"));
    };
    // What is not JSON is a word: up=bilinear.
    Ok((key.to_string(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
}

impl SetArgs {
    /// All of them.
    pub fn options(&self) -> Result<Map<String, Value>> {
        self.set.iter().map(|pair| option(pair)).collect()
    }

    /// Opens a model, and says on stderr what was assumed of it.
    pub fn open(&self, name: &str, common: &Common) -> Result<Model> {
        let model = Model::open_with(name, &self.options()?)?;
        say_assumptions(&model, common);
        Ok(model)
    }

    /// The same, of ONNX files those only that this program wrote: with the architecture they are of.
    pub fn open_checkpoint(&self, name: &str, common: &Common) -> Result<Model> {
        let path = Path::new(name);
        if !is_onnx(path) {
            return self.open(name, common);
        }
        if let Some(key) = self.options()?.keys().next() {
            return Err(Error::invalid(format!("--set {key}"), "an ONNX file leaves nothing open"));
        }
        Model::new(name, onnx::export::read_back(path)?)
    }
}

/// Whether the name ends in `.onnx`.
pub fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
}

/// Says on stderr what the file does not say and was assumed.
pub fn say_assumptions(model: &Model, common: &Common) {
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
