//! What tasks report.

use super::{Event, Failure, Work};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use unet_wgpu::{Error, Result};
use web_time::Instant;

/// Time between two reports of progress.
const BETWEEN: Duration = Duration::from_millis(400);

/// Reports events of a task.
#[derive(Clone)]
pub(super) struct Reporter {
    send: Arc<dyn Fn(Event) + Send + Sync>,
    stop: Arc<AtomicBool>,
    of: Work,
    /// When progress was reported last.
    told: Cell<Option<Instant>>,
}

impl Reporter {
    /// Calls `report` with every event.
    pub(super) fn new(report: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { send: Arc::new(report), stop: Arc::default(), of: Work::Files, told: Cell::default() }
    }

    /// The same for a task, which `stop` stops.
    pub(super) fn for_task(&self, of: Work, stop: Arc<AtomicBool>) -> Self {
        Self { stop, of, ..self.clone() }
    }

    /// Begins a request: what stopped the one before does not stop it.
    pub(super) fn begin(&self) {
        self.stop.store(false, Ordering::Relaxed);
    }

    pub(super) fn send(&self, event: Event) {
        (self.send)(event);
    }

    pub(super) fn outcome(&self, what: impl Into<String>, outcome: Result<Event>) {
        self.send(outcome.unwrap_or_else(|e| {
            let cancelled = matches!(e, Error::Cancelled);
            Event::Failed(Failure { what: what.into(), error: e.to_string(), cancelled, of: self.of })
        }));
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether the user has not stopped the work yet, to be asked on any thread.
    pub(super) fn going(&self) -> impl Fn() -> bool + Sync + use<> {
        let stop = self.stop.clone();
        move || !stop.load(Ordering::Relaxed)
    }

    /// For callbacks: how far the work is; an error once the user has cancelled.
    pub(super) fn progress(&self, fraction: f64) -> Result<()> {
        // Every report draws the window, which takes its time from the network.
        if self.told.get().is_none_or(|told| told.elapsed() > BETWEEN) {
            self.told.set(Some(Instant::now()));
            self.send(Event::Progress(fraction));
        }
        if self.stopped() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
