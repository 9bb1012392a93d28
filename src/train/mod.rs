//! Training: a network, pairs of pictures and masks, and what makes one of the other.

mod step;
mod trainer;

pub use step::{ACCUMULATED, GRADIENT, HYPER, LOSS, StepOptions, moment, step_graph};
pub use trainer::{StepLoss, Trainer};
