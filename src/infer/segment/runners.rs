//! The networks of a segmenter on its device: several kinds of tile stay ready and share their weights, and a lost device is
//! replaced.

use super::Segmenter;
use crate::error::{Error, Result};
use crate::gpu::PrecisionChoice;
use crate::infer::tiling::plan::{TileKind, TilePlan};
use crate::infer::tiling::runner::TileRunner;
use crate::session::{Backend, PlannedGraph, Recovery, WeightPool};
use crate::tensor::Precision;

/// Networks that are ready for a kind of tile.
#[derive(Debug)]
struct Ready {
    kind: TileKind,
    runner: TileRunner,
    /// Planned bytes without shared weights; on the CPU they are the host's, and nothing is shared.
    planned: u64,
}

/// Planned bytes of networks, without what they share.
fn planned(plans: &[PlannedGraph]) -> u64 {
    plans.iter().map(|p| p.memory.total() - p.plan().map_or(0, |_| p.memory.weights)).sum()
}

/// Runners of some kinds of tile, the one used last at the end.
#[derive(Debug, Default)]
pub(super) struct Runners {
    ready: Vec<Ready>,
    /// The weights of each model, which all runners share.
    pools: Vec<WeightPool>,
}

impl Runners {
    fn weight_bytes(&self) -> u64 {
        self.pools.iter().map(WeightPool::device_bytes).sum()
    }

    pub(super) fn device_bytes(&self) -> u64 {
        self.weight_bytes() + self.ready.iter().map(|r| r.runner.bytes_without_weights()).sum::<u64>()
    }

    /// Bytes of memory of all.
    fn bytes(&self) -> u64 {
        self.weight_bytes() + self.ready.iter().map(|r| r.runner.bytes_without_weights().max(r.planned)).sum::<u64>()
    }

    /// Bytes that new networks need, besides the weights that are there.
    fn needed(&self, plans: &[PlannedGraph]) -> u64 {
        // Each model has as many.
        let each = (plans.len() / self.pools.len().max(1)).max(1);
        let missing =
            |(plans, pool): (&[PlannedGraph], &WeightPool)| pool.missing(plans.iter().filter_map(PlannedGraph::plan));
        planned(plans) + plans.chunks(each).zip(&self.pools).map(missing).sum::<u64>()
    }

    /// Frees everything.
    fn clear(&mut self) {
        self.ready.clear();
        self.release();
    }

    /// Frees weights that no runner uses.
    fn release(&self) {
        self.pools.iter().for_each(WeightPool::release);
    }

    /// The runner of a kind of tile, from now on the one used last.
    fn find(&mut self, kind: &TileKind) -> Option<&mut TileRunner> {
        let at = self.ready.iter().position(|r| r.kind == *kind)?;
        let found = self.ready.remove(at);
        self.ready.push(found);
        self.ready.last_mut().map(|r| &mut r.runner)
    }

    /// Drops those that were used longest ago until all take at most `bytes`, but never the one used last.
    fn shrink(&mut self, bytes: u64) {
        while self.ready.len() > 1 && self.bytes() > bytes {
            self.ready.remove(0);
        }
        if self.bytes() > bytes {
            self.release();
        }
    }

    /// The same until networks of these plans fit too. Weights without a runner are freed last, as the new networks need most of
    /// them.
    fn fit(&mut self, plans: &[PlannedGraph], bytes: u64) {
        while !self.ready.is_empty() && self.bytes() + self.needed(plans) > bytes {
            self.ready.remove(0);
        }
        if self.bytes() + self.needed(plans) > bytes {
            self.release();
        }
    }
}

impl Segmenter {
    /// Lets the segmenter go on by itself when its device is lost: `open` opens one like it, with the same choice of adapter and
    /// the same options. The tile at hand is run again, and the result is that of an undisturbed run. Three losses in a row
    /// without a tile in between are an error. Each loss is logged as a warning.
    #[must_use]
    pub fn with_recovery(self, open: impl FnMut() -> Result<Backend> + Send + 'static) -> Self {
        Self { recovery: Recovery::new(open), ..self }
    }

    /// Goes on with another device after [`Error::DeviceLost`], from the next image. What is on the old one is dropped.
    pub fn recover(&mut self, backend: Backend) {
        self.backend = backend;
        self.runners = Runners::default();
        self.planner.forget();
    }

    /// Replaces the device if it was lost and there is a way to open another; otherwise returns the error.
    pub(super) fn reopen(&mut self, e: Error) -> Result<()> {
        let backend = self.recovery.reopen(e)?;
        self.recover(backend);
        Ok(())
    }

    /// After the device ran out of memory: what is ready is dropped, and tiles become smaller if that was done before for this
    /// image, or nothing was ready.
    pub(super) fn make_room(&mut self, e: &Error, first: bool) {
        let held = !self.runners.ready.is_empty();
        self.runners.clear();
        if first && held {
            log::info!("{e}: dropping what was ready");
            return;
        }
        let limit = self.planner.lower_limit();
        log::warn!("{e}: going on with tiles that need at most {}", crate::text::mib(limit));
    }

    /// The runner for the tiles of an image: one that is ready, or a new one.
    pub(super) async fn runner(&mut self, plan: &TilePlan) -> Result<&mut TileRunner> {
        let kind = plan.kind;
        if self.runners.find(&kind).is_some() {
            self.planner.take_planned(&kind);
            self.runners.shrink(plan.memory);
        } else {
            let backend = self.backend_of(&kind)?;
            let plans = self.planner.plans(&backend, &kind)?;
            let (ensemble, pools) = (&self.planner.ensemble, &mut self.runners.pools);
            pools.resize_with(ensemble.models().count(), WeightPool::default);
            // Old buffers are freed before new ones are allocated.
            self.runners.fit(&plans, plan.memory);
            let planned = planned(&plans);
            let runner = TileRunner::of_kind(&backend, ensemble, &kind, plans, &self.runners.pools).await?;
            self.runners.ready.push(Ready { kind, runner, planned });
        }
        self.runners.find(&kind).ok_or_else(|| Error::invalid("segmenter", "is not ready"))
    }

    /// The device as a kind of tile was planned for it.
    fn backend_of(&self, kind: &TileKind) -> Result<Backend> {
        let backend = if kind.exact { self.backend.with_deterministic_tiling() } else { self.backend.clone() };
        match kind.precision {
            precision if precision == backend.precision() => Ok(backend),
            Precision::F32 => backend.with_precision(PrecisionChoice::F32),
            Precision::F16 => backend.with_precision(PrecisionChoice::F16),
        }
    }
}
