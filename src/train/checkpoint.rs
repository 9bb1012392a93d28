//! The files of a training run that it can be continued from, and the models it leaves.
//!
//! A state is a safetensors file: parameters, running statistics and the optimiser's tensors, as 32-bit floats without
//! rounding; the model's description under the metadata key `unet`, as in any model, so that a state can be opened as
//! one; the rest as JSON under `unet_training`; and a checksum of all of it under `unet_crc32`.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use ::safetensors::SafeTensors;
use flate2::Crc;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::trainer::is_optimiser_state;
use crate::error::{Error, Result};
use crate::io::{Input, Nature, Output};
use crate::tensor::HostTensor;
use crate::weights::{
    self, Checkpoint, MAX_BYTES, METADATA_KEY, ModelMetadata, SafetensorsFormat, StoredType, WeightFormat,
};

/// The metadata key of [`Training`].
const TRAINING_KEY: &str = "unet_training";
/// The metadata key of the checksum.
const CHECKSUM_KEY: &str = "unet_crc32";
/// The version of [`Training`] there is.
const FORMAT: u32 = 1;
/// Elements that are converted at a time.
const CHUNK: usize = 1 << 14;

/// Where a training run stands, apart from the model's description: all that continuing it to the last bit takes.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    /// Steps done.
    pub step: u64,
    /// Best score so far on the validation data; finite.
    pub best: Option<f64>,
    /// What else the loop keeps: the schedule's and early stop's memory. Numbers keep every bit.
    pub extra: Value,
    /// By name: parameters, running statistics, `moment1/..`, `moment2/..` and `accumulated/..`.
    pub tensors: BTreeMap<String, HostTensor>,
}

/// The JSON under [`TRAINING_KEY`].
#[derive(Serialize, Deserialize)]
struct Training {
    format: u32,
    step: u64,
    best: Option<f64>,
    extra: Value,
}

/// Writes a state. The file appears whole and on the disk; when anything fails, an earlier one stays as it was.
pub fn save_state(output: impl Into<Output>, state: &TrainState, metadata: &ModelMetadata) -> Result<()> {
    let output = output.into();
    let path = output.name();
    let bad = |e: &dyn std::fmt::Display| Error::file(path, e.to_string());
    if let Some(best) = state.best.filter(|b| !b.is_finite()) {
        return Err(bad(&format!("a best score of {best} cannot be kept")));
    }
    if state.tensors.contains_key("__metadata__") {
        return Err(bad(&"a tensor cannot be called `__metadata__` in this format"));
    }
    let training = Training { format: FORMAT, step: state.step, best: state.best, extra: state.extra.clone() };
    let training = serde_json::to_string(&training).map_err(|e| bad(&e))?;
    let header = header(&state.tensors, &metadata.to_json().map_err(|e| bad(&e))?, &training);
    output.replace(|w| write(w, &header, &state.tensors))
}

/// Reads a state and the description of its model. Fails on a file that is cut off or damaged, or is no state.
pub fn load_state(input: impl Into<Input>) -> Result<(TrainState, ModelMetadata)> {
    let input = input.into();
    let path = input.name();
    let bytes = read(&input)?;
    let Checkpoint { metadata, weights, .. } = SafetensorsFormat.read(&bytes, path, None)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| Error::file(path, e.to_string()))?;
    let none = HashMap::new();
    let texts = header.metadata().as_ref().unwrap_or(&none);
    let (Some(training), Some(unet), Some(metadata)) = (texts.get(TRAINING_KEY), texts.get(METADATA_KEY), metadata)
    else {
        let what = if texts.contains_key(METADATA_KEY) { "a model" } else { "weights" };
        return Err(Error::file(path, format!("holds {what}, not the state of a training run")));
    };
    let tensors: BTreeMap<String, HostTensor> = weights.into_iter().collect();
    if texts.get(CHECKSUM_KEY) != Some(&checksum(&tensors, unet, training)) {
        return Err(Error::file(path, "damaged: the checksum does not fit the contents"));
    }
    let wrong = |why: String| Error::file(path, format!("metadata `{TRAINING_KEY}`: {why}"));
    // Looked at first: a later format may differ in everything else.
    let value: Value = serde_json::from_str(training).map_err(|e| wrong(e.to_string()))?;
    if value["format"] != FORMAT {
        let reason = format!("format {} is not supported, this version reads format {FORMAT}", value["format"]);
        return Err(wrong(reason));
    }
    let Training { step, best, extra, .. } = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
    Ok((TrainState { step, best, extra, tensors }, metadata))
}

/// Writes a model as [`Model::open`](crate::Model::open) reads it, from parameters and running statistics in 32-bit
/// floats; the optimiser's tensors are left out. The ending says the format. The file appears whole and on the disk;
/// when anything fails, an earlier one stays as it was.
pub fn save_model(
    output: impl Into<Output>,
    tensors: &BTreeMap<String, HostTensor>,
    metadata: &ModelMetadata,
) -> Result<()> {
    let network = tensors.iter().filter(|(name, _)| !is_optimiser_state(name));
    let weights = network.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    weights::save(
        output,
        &Checkpoint { metadata: Some(metadata.clone()), weights, ..Checkpoint::default() },
        StoredType::F32,
    )
}

/// The bytes of a file of bounded size.
fn read(input: &Input) -> Result<Vec<u8>> {
    let (path, nature) = (input.name(), input.open()?.0.get_ref().nature());
    if !matches!(nature.map_err(|e| Error::io(path, e))?, Nature::File | Nature::Memory) {
        return Err(Error::file(path, "is not a file"));
    }
    input.read_all(MAX_BYTES)
}

/// What stands before the data: the length of the JSON, and the JSON, filled up so that the data is aligned. Written
/// here and not by the crate, whose metadata has no fixed order: the same state shall give the same bytes.
fn header(tensors: &BTreeMap<String, HostTensor>, unet: &str, training: &str) -> Vec<u8> {
    let mut entries = Map::new();
    let mut at = 0;
    for (name, tensor) in tensors {
        let end = at + 4 * tensor.data().len();
        entries.insert(name.clone(), json!({"dtype": "F32", "shape": tensor.dims(), "data_offsets": [at, end]}));
        at = end;
    }
    let checksum = checksum(tensors, unet, training);
    let texts = json!({METADATA_KEY: unet, TRAINING_KEY: training, CHECKSUM_KEY: checksum});
    entries.insert("__metadata__".into(), texts);
    let mut text = Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

/// The checksum of everything: both texts, and names, dimensions and elements of the tensors.
fn checksum(tensors: &BTreeMap<String, HostTensor>, unet: &str, training: &str) -> String {
    let mut crc = Crc::new();
    // Lengths go first, so that nothing can move from one part to the next.
    let mut part = |bytes: &[u8]| {
        crc.update(&(bytes.len() as u64).to_le_bytes());
        crc.update(bytes);
    };
    part(unet.as_bytes());
    part(training.as_bytes());
    for (name, tensor) in tensors {
        part(name.as_bytes());
        part(format!("{:?}", tensor.dims()).as_bytes());
        chunks(tensor).for_each(|bytes| part(&bytes));
    }
    format!("{:08x}", crc.sum())
}

fn write(out: &mut dyn Write, header: &[u8], tensors: &BTreeMap<String, HostTensor>) -> io::Result<()> {
    out.write_all(header)?;
    tensors.values().flat_map(chunks).try_for_each(|bytes| out.write_all(&bytes))
}

/// The elements as bytes, a bounded number at a time.
fn chunks(tensor: &HostTensor) -> impl Iterator<Item = Vec<u8>> {
    tensor.data().chunks(CHUNK).map(|part| part.iter().flat_map(|v| v.to_le_bytes()).collect())
}

#[cfg(test)]
mod tests;
