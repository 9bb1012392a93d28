//! Opening models: built-in ones, checkpoints, ONNX files and packages.

#[cfg(feature = "bioimage")]
use super::bioimage;
use super::loaded::{Model, split_state};
use super::onnx::{self, OnnxOptions};
use crate::error::Result;
use crate::io::Input;
use crate::weights;
use serde_json::{Map, Value};
use std::io::Read;

impl Model {
    /// Opens a built-in model by name, or a checkpoint or an ONNX file by path.
    pub fn open(name_or_path: &str) -> Result<Self> {
        Self::open_with(name_or_path, &Map::new())
    }

    /// Like [`Self::open`], with options. For other programs' checkpoints they replace what would be assumed, see
    /// [`understand`](crate::model::dialect::understand); for ONNX files see [`OnnxOptions`]; for native ones see
    /// [`choices`](crate::model::Architecture::choices).
    pub fn open_with(name_or_path: &str, set: &Map<String, Value>) -> Result<Self> {
        #[cfg(feature = "std-fs")]
        if let Some(model) = Self::self_described(&name_or_path.into(), set)? {
            return Ok(model);
        }
        let (state, set) = split_state(set)?;
        Self::new_with(name_or_path, weights::open_state(name_or_path, state.as_deref())?, &set)
    }

    /// Reads a checkpoint, an ONNX file or a package from memory. Errors call it `name`.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        Self::read(Input::bytes(name, bytes), &Map::new())
    }

    /// Reads a checkpoint, an ONNX file or a package, with options as in [`Self::open_with`].
    pub fn read(input: impl Into<Input>, set: &Map<String, Value>) -> Result<Self> {
        let input = input.into();
        if let Some(model) = Self::self_described(&input, set)? {
            return Ok(model);
        }
        let (state, set) = split_state(set)?;
        let name = input.name().display().to_string();
        Self::new_with(name, weights::load_state(input, state.as_deref())?, &set)
    }

    /// Reads a package or an ONNX file; `None` if it is neither.
    fn self_described(input: &Input, set: &Map<String, Value>) -> Result<Option<Self>> {
        #[cfg(feature = "bioimage")]
        if bioimage::is_package(input) {
            return Ok(Some(bioimage::open(input.clone(), set)?.0));
        }
        if !is_onnx_file(input) {
            return Ok(None);
        }
        let network = onnx::open(input.clone(), &OnnxOptions::from_settings(set)?)?;
        Self::of_onnx(&input.name().display().to_string(), network, set).map(Some)
    }
}

/// Whether the input is readable and begins like an ONNX file.
fn is_onnx_file(input: &Input) -> bool {
    let mut head = Vec::new();
    // If it cannot be read, the checkpoint reader reports why.
    let read = input.open().is_ok_and(|(f, _)| f.take(16).read_to_end(&mut head).is_ok());
    read && onnx::is_onnx(&head, input.name())
}
