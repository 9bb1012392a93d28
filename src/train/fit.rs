//! How many crops of a batch fit on the device at once.

use super::augment::Augmenter;
use super::config::TrainConfig;
use super::step::{StepOptions, step_graph};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::Graph;
use crate::model::Architecture;
use crate::plan::Plan;
use crate::text::mib;

/// The graph of a batch, or of a part of it that fits on the device.
pub(super) struct Fit {
    /// The network with its loss for [`Fit::crops`] crops.
    pub graph: Graph,
    /// Its augmentation.
    pub augmenter: Augmenter,
    /// Crops per part.
    pub crops: usize,
    /// Parts whose gradients are accumulated for a step.
    pub parts: usize,
}

/// The largest part of the batch whose step fits within the device's limits and `config.memory`. Errors with
/// [`Error::Limit`] if a single crop does not fit.
pub(super) fn fit(
    gpu: &Gpu,
    config: &TrainConfig,
    model: &dyn Architecture,
    options: &StepOptions,
    build: impl Fn(usize) -> Result<(Graph, Augmenter)>,
) -> Result<Fit> {
    let mut reason = None;
    for crops in (1..=config.batch).rev().filter(|c| config.batch.is_multiple_of(*c)) {
        let parts = config.batch / crops * config.accumulate;
        let (graph, augmenter) = build(crops)?;
        let options = StepOptions { accumulate: parts > 1, ..*options };
        let step = step_graph(&graph, &model.dropouts(), &options)?;
        match Plan::new(&step, gpu.target()) {
            Ok(plan) if plan.memory.total() <= config.memory => {
                if crops < config.batch {
                    let total = plan.memory.total() >> 20;
                    log::warn!(
                        "a batch of {} does not fit: {crops} crops at a time, {total} MiB, gradients accumulated",
                        config.batch
                    );
                }
                return Ok(Fit { graph, augmenter, crops, parts });
            }
            Ok(plan) => {
                reason = Some(Error::Limit {
                    what: format!("a training step on {crops} crops of {}x{} pixels", config.crop, config.crop),
                    needed: mib(plan.memory.total()),
                    limit: mib(config.memory),
                });
            }
            Err(e @ Error::Limit { .. }) => reason = Some(e),
            Err(e) => return Err(e),
        }
    }
    Err(reason.unwrap_or_else(|| Error::invalid("batch", "is 0")))
}
