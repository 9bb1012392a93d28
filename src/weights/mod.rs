//! Checkpoints: named host tensors and their metadata.

pub mod builtin;
mod checkpoint;
mod collection;
mod format;
mod gzip;
mod instance_target;
mod instances;
mod kinds;
mod metadata;
mod open;
mod planes;
mod safetensors;
mod scale;
mod steps;
#[cfg(feature = "pytorch")]
mod torch;
#[cfg(any(feature = "pytorch", feature = "bioimage"))]
mod zip_file;

pub use checkpoint::{Checkpoint, Ignored, MAX_BYTES, StoredType, WeightFormat};
pub use collection::Weights;
pub use format::{FORMATS, load, load_bytes, load_state, save};
pub use instance_target::{InstanceTarget, OFFSET_UNIT};
pub use instances::{Connectivity, InstanceMethod, InstanceSettings, MAX_GAP, MAX_JUMPS, MAX_OFFSET, MAX_SMOOTHING};
pub(crate) use kinds::{LFS_POINTER, looks_like};
pub use metadata::{ModelMetadata, Normalisation};
pub use open::{open, open_state};
pub use safetensors::{METADATA_KEY, SafetensorsFormat};
pub use scale::TrainedScale;
pub use steps::PixelStep;
#[cfg(feature = "pytorch")]
pub use torch::TorchFormat;
#[cfg(feature = "bioimage")]
pub(crate) use zip_file::open_zip;
