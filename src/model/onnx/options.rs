//! What a caller says about an ONNX file.

use super::axes::Layout;
use super::ending::Ending;
use super::tensor::MAX_DIM;
use crate::error::{Error, Hint, Result};
use crate::weights::Normalisation;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a file leaves open, and what may be wanted otherwise than assumed. What is absent is found out as said.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnnxOptions {
    /// The output that segmentation uses. Of those with rows and columns the first of the largest, if absent; if that is
    /// ArgMax's, what ArgMax reads.
    pub output: Option<String>,
    /// What makes probabilities of that output. If absent it is worked out from the bounds of the file's own arithmetic:
    /// nothing where the output is a probability, else a sigmoid for one channel and a softmax for several.
    pub activation: Option<Ending>,
    /// Takes a file with fixed rows and columns for one that would do with any: exact where all its layers do.
    pub free_size: bool,
    /// The only rows and columns that it is run with.
    pub size: Option<Size>,
    /// In what order the file has the axes of its input; found out from its layers if absent.
    pub layout: Option<Layout>,
    /// And of its outputs.
    pub output_layout: Option<Layout>,
    /// Channels of the input, where the file does not say.
    pub in_channels: Option<usize>,
    /// What becomes of pixels; whole numbers divided by the largest of their type if absent.
    pub normalisation: Option<Normalisation>,
}

/// Rows and columns, written `480x640`.
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
    /// From `key=value` settings of the command line or of a program.
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
