//! Training: a network, pairs of images and masks, and what makes one of the other.
//!
//! Pairs in a folder ([`Dataset`]), read ([`Examples`]), cut into batches ([`Batcher`]) by a thread that works ahead
//! ([`Prefetch`]); the U-Net paper's pixel weights ([`unet_weight_map`]); repeatable random numbers ([`Rng`]); steps on
//! the device ([`Trainer`]); measures ([`metrics`]) and a model's scores on a data set ([`evaluate`](fn@evaluate)).

mod augment;
mod batch;
mod checkpoint;
mod config;
mod dataset;
pub mod evaluate;
mod example;
mod fit;
mod ground_truth;
mod loss;
pub mod metrics;
mod network;
mod prefetch;
mod report;
mod rng;
mod run;
mod scan;
mod schedule;
mod step;
mod trainer;
mod weight_map;

pub use augment::{Augmentation, Augmented, Augmenter, Elastic, Simard};
pub use batch::{Batch, Batcher, Crop, CropOptions};
pub use checkpoint::{TrainState, load_state, save_model, save_state};
pub use config::{DataConfig, OptimiserConfig, TrainConfig, WeightMapConfig};
pub use dataset::{Dataset, GroundTruthKind, Pair, Reading, Split};
#[cfg(not(target_arch = "wasm32"))]
pub use evaluate::evaluate;
pub use evaluate::{EvaluateOptions, Evaluation, ImageScores, InstanceTruth, evaluate_async, score};
pub use example::{DataSummary, Example, ExampleOptions, Examples};
pub use ground_truth::GroundTruth;
pub use loss::{
    CrossEntropyArgs, DiceArgs, EpsArgs, FocalArgs, FocalProbsArgs, FocalSoftmaxArgs, HeadReduction, Heads, HybridArgs,
    IouArgs, Loss, LossActivation, LossConfig, MsSsimArgs, NoArgs, PixelTerm, TargetKind, Targets, Unet3pArgs,
};
pub use network::{TARGET, WEIGHT, initial, loss_graph};
pub use prefetch::Prefetch;
pub use report::Report;
pub use rng::Rng;
pub use run::{Event, Outcome, Ready, RunFiles, TrainRun};
pub use scan::{GroundTruthSummary, findings, scan};
pub use schedule::{Plateau, Schedule};
pub use step::{ACCUMULATED, GRADIENT, HYPER, LOSS, StepOptions, moment, step_graph};
pub use trainer::{StepLoss, Trainer};
pub use weight_map::{ClassWeights, WeightMap, class_weights, instance_distances, separate_touching, unet_weight_map};
