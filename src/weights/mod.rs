//! Checkpoints: named host tensors and what they say about themselves.

pub mod builtin;
mod collection;
mod format;
mod gzip;
mod kinds;
mod metadata;
mod planes;
mod replace;
mod safetensors;
mod steps;
mod torch;
mod zip_file;

pub use collection::Weights;
pub use format::{
    Checkpoint, FORMATS, Ignored, MAX_BYTES, StoredType, WeightFormat, load, load_bytes, open, open_state, save,
};
pub(crate) use kinds::{LFS_POINTER, looks_like};
pub use metadata::{ModelMetadata, Normalisation};
pub(crate) use replace::{open_temporary, replace_file, temporary_file};
pub use safetensors::{METADATA_KEY, SafetensorsFormat};
pub use steps::PixelStep;
pub use torch::TorchFormat;
pub(crate) use zip_file::open_zip;
