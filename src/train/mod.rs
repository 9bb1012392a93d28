//! Training: the data, and the measures of a result.
//!
//! Pairs of pictures and masks in a folder ([`Dataset`]), the U-Net paper's pixel weights ([`unet_weight_map`]),
//! repeatable random numbers ([`Rng`]), measures ([`metrics`]) and a model's scores on a data set
//! ([`evaluate`](fn@evaluate)).

pub mod metrics;
mod rng;
mod weight_map;

pub use rng::Rng;
pub use weight_map::{ClassWeights, WeightMap, class_weights, instance_distances, separate_touching, unet_weight_map};
