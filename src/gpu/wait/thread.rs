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

/// How wgpu 30 begins a panic where another thread found the queue empty between two looks of this one: it asserts that
/// the number it read before is no older. The submission has finished then.
const OVERTAKEN: &str = "If the queue is empty, the current submission index";

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
    poll_in_slices(device, submission, finished, limit, SLICE.min(limit).max(Duration::from_millis(1)))
}

fn poll_in_slices(
    device: &wgpu::Device,
    submission: &wgpu::SubmissionIndex,
    finished: &AtomicU64,
    limit: Duration,
    slice: Duration,
) -> Outcome {
    let count = || finished.load(Ordering::Relaxed);
    let mut patience = Patience { limit, seen: count(), since: Instant::now() };
    loop {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: Some(slice) };
        // wgpu panics, after it has released its locks, where the driver itself reports a lost device, and where it was
        // overtaken.
        let polled = catch_unwind(AssertUnwindSafe(|| device.poll(wait)));
        match polled {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(wgpu::PollError::Timeout)) if patience.ends(count(), Instant::now()) => {
                return Err(Failure::Timeout);
            }
            Ok(Err(wgpu::PollError::Timeout)) => {}
            Ok(Err(_)) => return Err(Failure::Refused(String::new())),
            Err(panic) => match text(&*panic) {
                overtaken if overtaken.starts_with(OVERTAKEN) && !patience.ends(count(), Instant::now()) => {
                    log::debug!("another thread found the queue empty: looking again");
                }
                reason => return Err(Failure::Refused(reason)),
            },
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

    /// Another thread finds the queue empty while a slice of this one ends.
    #[test]
    fn a_wait_that_is_overtaken_goes_on() {
        let Some(gpu) = crate::testing::gpu_or_skip() else { return };
        let usage = wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: None, size: 16 << 20, usage, mapped_at_creation: false };
        let (buffer, done) = (gpu.device().create_buffer(&descriptor), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while done.load(Ordering::Relaxed) == 0 {
                    let _ = gpu.device().poll(wgpu::PollType::Poll);
                }
            });
            let wait = |_| {
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                encoder.clear_buffer(&buffer, 0, None);
                let index = gpu.queue().submit([encoder.finish()]);
                let (limit, slice) = (Duration::from_secs(60), Duration::from_micros(300));
                poll_in_slices(gpu.device(), &index, &AtomicU64::new(0), limit, slice)
            };
            let failed = (0..600).map(wait).find(Result::is_err);
            done.store(1, Ordering::Relaxed);
            assert_eq!(failed, None);
        });
    }

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
