//! Options of the import of an ONNX file.

use super::axes::Layout;
use super::ending::Ending;
use super::tensor::MAX_DIM;
use crate::error::{Error, Hint, Result};
use crate::weights::Normalisation;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Options for what a file leaves open, or to override what is inferred. Absent ones are inferred.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnnxOptions {
    /// The output that segmentation uses. If absent: in a file that this program wrote, the output that the exported
    /// network segments with; else the first of those with the most pixels; if ArgMax produces it, the input of ArgMax.
    pub output: Option<String>,
    /// How that output is converted to probabilities. If absent, it follows from the bounds of the file's own
    /// arithmetic: unchanged if the output is a probability, else a sigmoid for one channel and a softmax for several.
    pub activation: Option<Ending>,
    /// Ignores fixed rows and columns of the file. Results are exact if all its layers work with any size.
    pub free_size: bool,
    /// The only rows and columns that the network is run with.
    pub size: Option<Size>,
    /// Axis order of the file's input; inferred from its layers if absent.
    pub layout: Option<Layout>,
    /// Axis order of the file's outputs; inferred if absent.
    pub output_layout: Option<Layout>,
    /// Channels of the input, if the file does not say.
    pub in_channels: Option<usize>,
    /// Normalisation of images; if absent, integers are divided by the maximum of their type.
    pub normalisation: Option<Normalisation>,
}

/// Rows and columns in pixels, written `480x640`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub [usize; 2]);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let side = |t: &str| t.trim().parse::<usize>().ok().filter(|n| (1..=MAX_DIM as usize).contains(n));
        let sides = text.split_once(['x', 'X']).and_then(|(h, w)| Some([side(h)?, side(w)?]));
        sides.map(Self).ok_or_else(|| format!("size `{text}` is not ROWSxCOLUMNS, such as 480x640"))
    }
}

impl OnnxOptions {
    /// Reads `key=value` settings of the command line or of a program.
    pub fn from_settings(set: &Map<String, Value>) -> Result<Self> {
        let mut set = set.clone();
        let normalisation = set.remove("normalisation").map(|v| Normalisation::from_setting(&v)).transpose()?;
        let options = Self::deserialize(&Value::Object(set)).map_err(|e| {
            let activations = Ending::SETTINGS;
            let known = format!(
                "output, activation ({activations}), free_size, size (ROWSxCOLUMNS), layout and output_layout (NHWC ..), \
                 in_channels, normalisation"
            );
            Error::invalid(Hint::SetModelOptions, format!("{e}; an ONNX file takes: {known}"))
        })?;
        Ok(Self { normalisation, ..options })
    }
}
