//! Networks at work: whole images, the visible region, training, scores.
//!
//! The window sends [`Request`]s and takes [`Event`]s; both are plain data. What takes long runs in three tasks, for files, images and
//! training: on the desktop in threads, on the window's device; in a browser in a worker with a device of its own, so that the page
//! stays alive.
//!
//! | file | responsibility |
//! |---|---|
//! | `channels` | channels of an image for a network |
//! | `files` | images for the canvas and the gallery |
//! | `model` | models, and what is known about them |
//! | `segment`, `replay` | whole images; instances by other settings without the network |
//! | `train`, `score` | training, scores |
//! | `tasks` | the tasks, which take requests |
//! | `reporter` | their events |
//! | `local` | the tasks in threads |
//! | `wire`, `remote`, `worker` | the tasks in a browser's worker: messages, the page's end, the worker's end |
//! | `live` | the visible region, in the frames of the window |

mod channels;
mod files;
pub mod live;
#[cfg(not(target_family = "wasm"))]
mod local;
mod model;
#[cfg(target_family = "wasm")]
mod remote;
mod replay;
mod reporter;
mod score;
mod segment;
mod tasks;
mod train;
#[cfg(any(test, target_family = "wasm"))]
mod wire;
#[cfg(target_family = "wasm")]
mod worker;

pub use channels::{SelectedChannels, file_channel};
pub use files::{ImageFile, Thumbnail, is_image};
#[cfg(not(target_family = "wasm"))]
pub use local::Engine;
pub use model::{ModelCard, ModelFile};
#[cfg(target_family = "wasm")]
pub use remote::Engine;
pub use score::{ImageScore, Scores};
pub use segment::{Row, SegmentJob, Segmented};
pub use train::{TrainJob, Trained};
#[cfg(target_family = "wasm")]
pub(crate) use wire::FileChange;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use unet_wgpu::low_level::infer::InstanceSettings;

/// What the engine is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Decode an image, for the canvas.
    Load(PathBuf),
    /// A small copy of an image, for the gallery.
    Thumbnail(PathBuf),
    /// Open a model: a built-in name or a file.
    Open(String),
    /// Segment a whole image.
    Segment(SegmentJob),
    /// Find the instances of a segmented image ([`Segmented::id`]) by other settings: without the network, if what it said is still
    /// kept.
    Decode(u64, SegmentJob),
    /// Write results of a whole image as `unet segment --save` does: names of kinds, and the folder.
    Export(SegmentJob, Vec<String>, PathBuf),
    /// Compare a model's instances with the labels of a data set, whose images' channels these are.
    Score(ModelFile, #[serde(with = "wire_settings")] InstanceSettings, PathBuf, SelectedChannels),
    /// Train.
    Train(Box<TrainJob>),
}

/// What the engine reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// An image is decoded.
    Loaded(Box<ImageFile>),
    /// A small copy of an image.
    Thumbnail(Thumbnail),
    /// A model is open.
    Opened(Box<ModelCard>),
    /// An image is segmented, or its instances were found again.
    Segmented(Arc<Segmented>),
    /// Results are written.
    Exported(Vec<PathBuf>),
    /// Scores of a model on labelled images.
    Scored(Box<Scores>),
    /// Training is about to take its first step; what it trains on, in lines.
    Training(Vec<String>),
    /// The loss of a step.
    Step {
        /// Steps done.
        step: u64,
        /// Steps in all.
        of: u64,
        /// The loss.
        loss: f32,
    },
    /// Scores of the network in training by name.
    Evaluated {
        /// Steps done.
        step: u64,
        /// Measures by name.
        scores: Vec<(String, f64)>,
        /// The network as it is, for a preview.
        file: PathBuf,
    },
    /// Training has ended.
    Trained(Box<Trained>),
    /// How far the work on images is, from 0 to 1.
    Progress(f64),
    /// A request failed.
    Failed(Failure),
}

/// A request that failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done.
    pub what: String,
    /// Why it failed.
    pub error: String,
    /// Whether the user has cancelled it.
    pub cancelled: bool,
    /// The task it was of.
    pub of: Work,
}

/// The kinds of work that the engine does side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Decoding images, opening models.
    Files,
    /// Segmentation, results, scores.
    Images,
    /// Training.
    Training,
}

impl Request {
    /// The task that it is for.
    pub fn work(&self) -> Work {
        match self {
            Self::Load(_) | Self::Thumbnail(_) | Self::Open(_) => Work::Files,
            Self::Segment(_) | Self::Decode(..) | Self::Export(..) | Self::Score(..) => Work::Images,
            Self::Train(_) => Work::Training,
        }
    }
}

/// Settings of instances in messages, whose format has no maps of anything.
mod wire_settings {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use unet_wgpu::low_level::infer::InstanceSettings;

    pub(super) fn serialize<S: Serializer>(settings: &InstanceSettings, to: S) -> Result<S::Ok, S::Error> {
        serde_json::to_string(settings).map_err(ser::Error::custom)?.serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<InstanceSettings, D::Error> {
        serde_json::from_str(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}
