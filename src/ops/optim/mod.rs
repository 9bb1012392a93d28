//! What changes parameters: optimiser steps, accumulation of gradients, clipping by their norm.

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
