//! The thread that polls the device for futures under an executor that cannot.

use super::oneshot::{Receiver, Sender, oneshot};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Why a wait failed.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// The device finished nothing for as long as the limit.
    Timeout,
    /// The device is lost, with the reason.
    Refused(String),
}

/// How a wait ended.
type Outcome = Result<(), Failure>;

/// How long one call of the driver waits, before progress is looked at.
const SLICE: Duration = Duration::from_millis(500);

/// Measures how long the device has finished nothing: slow work in many submissions is no timeout.
struct Patience {
    limit: Duration,
    seen: u64,
    since: Instant,
}

impl Patience {
    /// Whether it is exhausted now that `finished` submissions have finished.
    fn ends(&mut self, finished: u64, now: Instant) -> bool {
        if finished != self.seen {
            (self.seen, self.since) = (finished, now);
        }
        now.duration_since(self.since) >= self.limit
    }
}

/// Polls the device until a submission has finished.
pub(super) fn poll(
    device: &wgpu::Device,
    submission: &wgpu::SubmissionIndex,
    finished: &AtomicU64,
    limit: Duration,
) -> Outcome {
    let count = || finished.load(Ordering::Relaxed);
    let mut patience = Patience { limit, seen: count(), since: Instant::now() };
    loop {
        let wait = wgpu::PollType::Wait {
            submission_index: Some(submission.clone()),
            timeout: Some(SLICE.min(limit).max(Duration::from_millis(1))),
        };
        // wgpu panics, after it has released its locks, where the driver itself reports a lost device.
        let polled = catch_unwind(AssertUnwindSafe(|| device.poll(wait)));
        match polled {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(wgpu::PollError::Timeout)) if patience.ends(count(), Instant::now()) => {
                return Err(Failure::Timeout);
            }
            Ok(Err(wgpu::PollError::Timeout)) => {}
            Ok(Err(_)) => return Err(Failure::Refused(String::new())),
            Err(panic) => return Err(Failure::Refused(text(&*panic))),
        }
    }
}

/// What a panic said, in one line.
fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    super::super::one_line(text.unwrap_or("the driver reports a lost device"))
}

struct Request {
    submission: wgpu::SubmissionIndex,
    limit: Duration,
    done: Sender<Outcome>,
}

/// Hands submissions to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(in super::super) struct Waiter {
    requests: mpsc::Sender<Request>,
}

impl Waiter {
    pub(crate) fn start(device: &wgpu::Device, finished: &Arc<AtomicU64>) -> Self {
        let (requests, received) = mpsc::channel::<Request>();
        let (device, finished) = (device.clone(), finished.clone());
        let work = move || {
            for Request { submission, limit, done } in received {
                done.send(poll(&device, &submission, &finished, limit));
            }
        };
        // Without a thread the requests are dropped, and their waits fail.
        if let Err(e) = std::thread::Builder::new().name("unet-wgpu".into()).spawn(work) {
            log::error!("cannot start the thread that waits for the device: {e}");
        }
        Self { requests }
    }

    pub(super) fn request(&self, submission: wgpu::SubmissionIndex, limit: Duration) -> Receiver<Outcome> {
        let (done, receiver) = oneshot();
        // A request that cannot be sent is dropped, which ends the wait.
        let _ = self.requests.send(Request { submission, limit, done });
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_renews_patience() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut patience = Patience { limit: Duration::from_secs(10), seen: 3, since: start };
        assert!(!patience.ends(3, at(9)));
        assert!(!patience.ends(4, at(18)), "one has finished");
        assert!(!patience.ends(4, at(27)));
        assert!(!patience.ends(5, at(36)), "another has");
        assert!(patience.ends(5, at(46)), "none in ten seconds");
    }
}
