//! Runs beside an application that draws on the same device: in parts that take about as long as [`Gpu::with_pace`] says, each
//! waited for before the next, so that what the application submits in between soon has its turn.
//!
//! [`Gpu::with_pace`]: crate::gpu::Gpu::with_pace

use super::{Budget, EncodeProgress, Session};
use crate::clock::Instant;
use crate::error::Result;
use std::time::Duration;

/// What a later run counts for, beside the estimate so far. Times vary with what the application does meanwhile.
const WEIGHT: f64 = 0.25;

impl Session {
    /// Submits a run part by part, and waits for every part. The first run has a dispatch in each, whose times bound the parts
    /// of later runs.
    pub(super) async fn run_paced(
        &mut self,
        pace: Duration,
        mut progress: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<()> {
        let of = self.plan.dispatches.len();
        let budget = Budget::Milliseconds(pace.as_secs_f64() * 1e3);
        if self.paced.len() != of {
            // Not measured yet, so no part has more than one of them.
            self.paced = vec![f64::INFINITY; of];
        }
        let mut done = 0;
        while done < of {
            progress(done, of)?;
            let end = budget.end(EncodeProgress { done, of }, &self.paced);
            let start = Instant::now();
            let submission = self.submit_dispatches(done..end, done == 0).await?;
            self.gpu.wait_async(submission).await.inspect_err(|e| self.note_loss(e))?;
            let ms = start.elapsed().as_secs_f64() * 1e3;
            let part = self.paced.get_mut(done..end).unwrap_or_default();
            let estimate: f64 = part.iter().sum();
            let factor = 1.0 + WEIGHT * (ms / estimate.max(1e-3) - 1.0);
            part.iter_mut().for_each(|time| *time = if time.is_finite() { *time * factor } else { ms });
            done = end;
        }
        Ok(())
    }
}
