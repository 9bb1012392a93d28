//! Work on a thread of its own, while the calling thread watches Python's signals and reports progress.
//!
//! The work never needs the GIL, so a slow driver or a large operation cannot delay `KeyboardInterrupt`: after a short grace
//! the exception is raised and the thread ends by itself at its next report of progress.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use unet_wgpu::{Error, Result};

use crate::error::{bug, exception};

/// Time between looks at signals and progress.
const POLL: Duration = Duration::from_millis(50);
/// How long cancelled work may take to end before it is left behind.
const GRACE: Duration = Duration::from_millis(500);
/// The same for training, which finishes its step and saves.
const GRACE_TO_SAVE: Duration = Duration::from_secs(60);
/// How long the end of the interpreter waits for work that was left behind.
const FAREWELL: Duration = Duration::from_secs(5);
/// That of a program's main thread on Linux.
const STACK: usize = 8 << 20;

/// Threads that were cancelled and have not ended.
static STRAGGLERS: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Who is told about progress, in the calling thread. What it raises cancels the work, as Ctrl-C does.
pub(crate) enum Observer<'py> {
    /// Nobody.
    None,
    /// Called with the fraction done, from 0 to 1, at most 20 times a second.
    Fraction(Bound<'py, PyAny>),
    /// Called with every event, a JSON object; work that is cancelled gets time to save.
    Events(Bound<'py, PyAny>),
}

impl<'py> Observer<'py> {
    /// An observer of the fraction, if there is one.
    pub(crate) fn of(fraction: Option<Bound<'py, PyAny>>) -> Self {
        fraction.map_or(Self::None, Self::Fraction)
    }
}

/// What the working and the calling thread share.
#[derive(Default)]
pub(crate) struct Progress {
    fraction: AtomicU64,
    events: Mutex<Vec<String>>,
    cancelled: AtomicBool,
}

impl Progress {
    /// Stores the fraction done; fails with [`Error::Cancelled`] if the caller gave up.
    pub(crate) fn report(&self, fraction: f64) -> Result<()> {
        self.fraction.store(fraction.to_bits(), Ordering::Relaxed);
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Queues an event for the observer.
    pub(crate) fn tell(&self, event: &serde_json::Value) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event.to_string());
    }

    /// Whether the caller gave up.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fraction(&self) -> f64 {
        f64::from_bits(self.fraction.load(Ordering::Relaxed))
    }
}

/// What the calling thread does for the working one: Python's signals and the observer.
struct Watch<'py> {
    py: Python<'py>,
    observer: Observer<'py>,
    reported: Option<f64>,
}

impl Watch<'_> {
    fn look(&mut self, progress: &Progress, fraction: f64) -> PyResult<()> {
        self.py.check_signals()?;
        match &self.observer {
            Observer::Fraction(observer) if self.reported != Some(fraction) => {
                self.reported = Some(fraction);
                observer.call1((fraction,)).map(drop)
            }
            Observer::Events(observer) => {
                progress.events().into_iter().try_for_each(|event| observer.call1((event,)).map(drop))
            }
            _ => Ok(()),
        }
    }

    fn grace(&self) -> Duration {
        if matches!(self.observer, Observer::Events(_)) { GRACE_TO_SAVE } else { GRACE }
    }
}

/// Runs `work` without the GIL.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    observer: Observer<'_>,
    work: impl FnOnce(&Progress) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let progress = Arc::new(Progress::default());
    let (sender, receiver) = channel();
    let shared = progress.clone();
    let body = move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&shared)));
        // Without a receiver the caller has given up.
        let _ = sender.send(result.map_err(|panic| panic_text(&*panic)));
    };
    let thread = Builder::new().name("unet-wgpu".into()).stack_size(STACK).spawn(body);
    let thread = thread.map_err(|e| bug(&format!("no thread could be started: {e}")))?;
    // Shared by reference with the closures that run without the GIL.
    let receiver = Mutex::new(receiver);
    let mut watch = Watch { py, observer, reported: None };
    loop {
        let looked = match py.detach(|| wait(&receiver, POLL)) {
            Ok(Ok(Ok(value))) => {
                watch.look(&progress, 1.0)?;
                return Ok(value);
            }
            Ok(Ok(Err(e))) => return Err(exception(py, &e)),
            Ok(Err(panic)) => return Err(bug(&panic)),
            Err(RecvTimeoutError::Disconnected) => return Err(bug("a thread ended without a result")),
            Err(RecvTimeoutError::Timeout) => watch.look(&progress, progress.fraction()),
        };
        if let Err(e) = looked {
            progress.cancelled.store(true, Ordering::Relaxed);
            let end = Instant::now() + watch.grace();
            // A second Ctrl-C does not wait.
            while Instant::now() < end && py.check_signals().is_ok() {
                match py.detach(|| wait(&receiver, POLL)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return Err(e),
                }
            }
            stragglers().push(thread);
            return Err(e);
        }
    }
}

fn wait<T>(receiver: &Mutex<Receiver<T>>, time: Duration) -> std::result::Result<T, RecvTimeoutError> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(time)
}

fn stragglers() -> std::sync::MutexGuard<'static, Vec<JoinHandle<()>>> {
    STRAGGLERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".into())
}

/// Waits for cancelled work before the interpreter ends: drivers do not expect to be unloaded under it.
#[pyfunction]
pub(crate) fn join_stragglers(py: Python<'_>) {
    py.detach(|| {
        let end = Instant::now() + FAREWELL;
        let mut all = std::mem::take(&mut *stragglers());
        while !all.is_empty() && Instant::now() < end {
            all.retain(|thread| !thread.is_finished());
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}
