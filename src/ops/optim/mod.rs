//! Parameter updates: optimiser steps, gradient accumulation, clipping by the gradient norm.

mod accumulate;
mod norm;
mod step;

pub use accumulate::Accumulate;
pub use norm::{ClipFactor, SquaredNorm};
pub use step::{Hyper, OptimiserKind, OptimiserStep};

use super::OpCase;

pub(super) fn cases() -> Vec<OpCase> {
    [accumulate::cases(), norm::cases(), step::cases()].into_iter().flatten().collect()
}
