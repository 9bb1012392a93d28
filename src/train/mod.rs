//! Training of networks on pairs of images and masks.
//!
//! [`Dataset`] finds pairs in a folder, [`Examples`] reads them, [`Batcher`] cuts batches on a prefetch thread
//! ([`Prefetch`]). [`unet_weight_map`] has the U-Net paper's pixel weights, [`Rng`] repeatable random numbers,
//! [`Trainer`] steps on the device, [`metrics`] the measures, and [`evaluate`](fn@evaluate) scores a model on a data
//! set.

mod augment;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod batch;
mod checkpoint;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod config;
mod crop;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod dataset;
mod encode;
mod encoded;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub mod evaluate;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod example;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod fit;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod ground_truth;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod host_crop;
pub mod instance_target;
mod loss;
pub mod metrics;
mod network;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod prefetch;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod report;
mod rng;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod run;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod scan;
mod schedule;
mod step;
mod trainer;
mod weight_map;

pub use augment::{Augmentation, AugmentationPreset, Augmented, Augmenter, Elastic, Simard};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use batch::{Batch, Batcher};
pub use checkpoint::{TrainState, load_state, save_model, save_state};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use config::{DataConfig, InstancesConfig, Monitor, OptimiserConfig, OptimiserName, TrainConfig, WeightMapConfig};
pub use crop::{Crop, CropOptions};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use dataset::{Dataset, GroundTruthKind, Pair, Reading, Split};
#[cfg(all(feature = "std-fs", feature = "image-formats", not(target_arch = "wasm32")))]
pub use evaluate::evaluate;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use evaluate::{EvaluateOptions, Evaluation, ImageScores, InstanceTruth, evaluate_async, score};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use example::{DataSummary, Example, ExampleOptions, Examples, Truth};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use ground_truth::GroundTruth;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use host_crop::HostCrops;
pub use loss::{
    CrossEntropyArgs, DiceArgs, EpsArgs, FocalArgs, FocalProbsArgs, FocalSoftmaxArgs, HeadReduction, Heads, HybridArgs,
    InstancesArgs, IouArgs, Loss, LossActivation, LossConfig, MsSsimArgs, NoArgs, PixelTerm, TargetKind, Targets,
    Unet3pArgs,
};
pub use network::{TARGET, WEIGHT, initial, loss_graph};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use prefetch::Prefetch;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use report::Report;
pub use rng::Rng;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use run::{Event, Outcome, Ready, RunFiles, StepTimes, TrainRun};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use scan::{GroundTruthSummary, findings, scan};
pub use schedule::{Plateau, Schedule};
pub use step::{ACCUMULATED, GRADIENT, HYPER, LOSS, StepOptions, moment, step_graph};
pub use trainer::{StepLoss, Trainer};
pub use weight_map::{ClassWeights, WeightMap, class_weights, instance_distances, separate_touching, unet_weight_map};
