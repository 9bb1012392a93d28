//! Checkpoints of a run.
use crate::error::{Error, Result};
use crate::tensor::HostTensor;
use crate::weights::{Checkpoint, ModelMetadata, StoredType, save};
use std::collections::BTreeMap;
use std::path::Path;
/// State of a run.
pub struct TrainState {
    /// Steps done.
    pub step: u64,
    /// Best score.
    pub best: Option<f64>,
    /// Whatever the loop keeps.
    pub extra: serde_json::Value,
    /// Tensors.
    pub tensors: BTreeMap<String, HostTensor>,
}
/// Saves.
pub fn save_state(path: &Path, state: &TrainState, metadata: &ModelMetadata) -> Result<()> {
    save_model(path, &state.tensors, metadata)
}
/// Loads.
pub fn load_state(path: &Path) -> Result<(TrainState, ModelMetadata)> {
    Err(Error::file(path, "not yet"))
}
/// Saves a model.
pub fn save_model(path: &Path, weights: &BTreeMap<String, HostTensor>, metadata: &ModelMetadata) -> Result<()> {
    let c = Checkpoint { metadata: Some(metadata.clone()), weights: weights.clone().into_iter().collect() };
    save(path, &c, StoredType::F32)
}
