//! Runs beside an application that draws on the same device: in parts that take about as long as [`Gpu::with_pace`] says, each
//! waited for before the next, so that what the application submits in between soon has its turn.
//!
//! [`Gpu::with_pace`]: crate::gpu::Gpu::with_pace

use super::{Budget, EncodeProgress, Session};
use crate::clock::Instant;
use crate::error::Result;
use std::ops::Range;
use std::time::Duration;

/// What a later run counts for, beside the estimate so far. Times vary with what the application does meanwhile.
const WEIGHT: f64 = 0.25;

/// The least length of a part where waits are long, in waits: the device idles for a third of the time at most.
const WAITS: f64 = 2.0;

/// A time that no dispatch goes below, milliseconds.
const LEAST: f64 = 1e-3;

/// How long dispatches take, and waits.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// Of each dispatch, milliseconds; infinite until it is measured.
    dispatches: Vec<f64>,
    /// From the end of work to that of a wait for it, milliseconds; 0 where that is short.
    wait: f64,
    /// Of a part, milliseconds.
    part: f64,
    /// Dispatches of the next part that is not measured yet.
    next: usize,
}

impl Times {
    /// Of `of` dispatches that are not measured yet. Where waits are long, so are parts.
    fn new(of: usize, pace: f64, long_wait: Option<f64>) -> Self {
        let wait = long_wait.unwrap_or(0.0);
        Self { dispatches: vec![f64::INFINITY; of], wait, part: pace.max(WAITS * wait), next: 1 }
    }

    /// Where the part from dispatch `done` ends.
    fn end(&self, done: usize) -> usize {
        let of = self.dispatches.len();
        match self.dispatches.get(done) {
            Some(time) if time.is_infinite() => (done + self.next).min(of),
            _ => Budget::Milliseconds(self.part).end(EncodeProgress { done, of }, &self.dispatches),
        }
    }

    /// Notes that a part took so many milliseconds, the wait included.
    fn took(&mut self, part: Range<usize>, ms: f64) {
        let work = (ms - self.wait).max(0.0);
        let each = (work / part.len().max(1) as f64).max(LEAST);
        let times = self.dispatches.get_mut(part).unwrap_or_default();
        let new = times.first().is_some_and(|time| time.is_infinite());
        let estimate: f64 = times.iter().sum();
        let factor = 1.0 + WEIGHT * (work / estimate.max(LEAST) - 1.0);
        times.iter_mut().for_each(|time| *time = if time.is_finite() { *time * factor } else { each });
        // Where waits are short, each dispatch is measured.
        if self.wait > 0.0 && new {
            self.next = if work < self.part / 2.0 { self.next * 2 } else { (self.next / 2).max(1) };
        }
    }
}

impl Session {
    /// Submits a run part by part, and waits for every part. The times of the first run bound the parts of later ones.
    pub(super) async fn run_paced(
        &mut self,
        pace: Duration,
        mut progress: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<()> {
        let of = self.plan.dispatches.len();
        if self.times.dispatches.len() != of {
            let long_wait = self.gpu.long_wait().await.inspect_err(|e| self.note_loss(e))?;
            self.times = Times::new(of, pace.as_secs_f64() * 1e3, long_wait);
        }
        let mut done = 0;
        while done < of {
            progress(done, of)?;
            let end = self.times.end(done);
            let start = Instant::now();
            let submission = self.submit_dispatches(done..end, done == 0).await?;
            self.gpu.wait_async(submission).await.inspect_err(|e| self.note_loss(e))?;
            self.times.took(done..end, start.elapsed().as_secs_f64() * 1e3);
            done = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs dispatches of so many milliseconds, where a wait takes `wait`. The parts.
    fn run(times: &mut Times, dispatches: &[f64], wait: f64) -> Vec<Range<usize>> {
        let (mut parts, mut done) = (Vec::new(), 0);
        while done < dispatches.len() {
            let end = times.end(done);
            assert!(end > done && end <= dispatches.len());
            times.took(done..end, wait + dispatches[done..end].iter().sum::<f64>());
            parts.push(done..end);
            done = end;
        }
        parts
    }

    #[test]
    fn with_short_waits_each_dispatch_is_measured_and_parts_are_as_long_as_the_pace() {
        let dispatches: Vec<f64> = (0..90).map(|i| if i == 40 { 30.0 } else { 0.5 + (i % 3) as f64 }).collect();
        let mut times = Times::new(90, 8.0, None);
        assert_eq!(run(&mut times, &dispatches, 0.0).len(), 90);
        let parts = run(&mut times, &dispatches, 0.0);
        let ms = |part: &Range<usize>| dispatches[part.clone()].iter().sum::<f64>();
        assert!(parts.iter().all(|part| ms(part) <= 8.0 || part.len() == 1), "{parts:?}");
        assert!(parts.len() < 25, "{parts:?}");
    }

    #[test]
    fn with_long_waits_there_are_few() {
        // 450 dispatches of a training step; a browser that looks every 100 ms.
        let dispatches: Vec<f64> = (0..450).map(|i| 0.2 + (i % 7) as f64 / 2.0).collect();
        let all: f64 = dispatches.iter().sum();
        let mut times = Times::new(450, 8.0, Some(100.0));
        let first = run(&mut times, &dispatches, 100.0);
        assert!(first.len() < 20, "{first:?}");
        for _ in 0..10 {
            let parts = run(&mut times, &dispatches, 100.0);
            assert!(parts.len() as f64 <= all / 200.0 + 2.0, "{} parts of {all} ms", parts.len());
        }
    }

    #[test]
    fn short_runs_may_be_many() {
        let mut times = Times::new(5, 8.0, Some(100.0));
        assert_eq!(run(&mut times, &[0.1; 5], 100.0), [0..1, 1..3, 3..5]);
        (0..200).for_each(|_| assert_eq!(run(&mut times, &[0.1; 5], 100.0).len(), 1));
    }

    #[test]
    fn what_seemed_to_take_no_time_is_corrected() {
        let mut times = Times::new(100, 8.0, Some(100.0));
        // The wait alone: the work fell between two looks.
        run(&mut times, &[0.0; 100], 100.0);
        assert_eq!(run(&mut times, &[10.0; 100], 100.0).len(), 1);
        let parts = (0..20).map(|_| run(&mut times, &[10.0; 100], 100.0).len()).last();
        assert!((5..=6).contains(&parts.unwrap()), "{parts:?}");
    }
}
