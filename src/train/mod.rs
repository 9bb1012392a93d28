//! Training: the data, and the measures of a result.
//!
//! Pairs of pictures and masks in a folder ([`Dataset`]), the U-Net paper's pixel weights ([`unet_weight_map`]),
//! repeatable random numbers ([`Rng`]), measures ([`metrics`]) and a model's scores on a data set
//! ([`evaluate`](fn@evaluate)).

mod batch;
mod dataset;
pub mod evaluate;
mod example;
pub mod metrics;
mod prefetch;
mod rng;
mod weight_map;

pub use batch::{Batch, Batcher, Crop, CropOptions};
pub use dataset::{Dataset, Pair, Split};
pub use evaluate::{EvaluateOptions, Evaluation, ObjectTruth, PictureScores, evaluate, score};
pub use example::{DataSummary, Example, ExampleOptions, Examples, Truth};
pub use prefetch::Prefetch;
pub use rng::Rng;
pub use weight_map::{ClassWeights, WeightMap, class_weights, instance_distances, separate_touching, unet_weight_map};
