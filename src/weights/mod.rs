//! Checkpoints: named host tensors and what they say about themselves.

mod metadata;

pub use metadata::{ModelMetadata, Normalisation};
