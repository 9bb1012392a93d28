//! Waiting for the device without a runtime.
//!
//! Every future of this crate ends in a promise of the browser, in a [`Submission`] or in a buffer that is mapped. For the
//! last two the device has to be polled. A browser does so itself. Elsewhere there are two ways:
//!
//! - Inside [`block_on`] a future polls the device in the calling thread until its work is done. The blocking calls use it.
//! - Under any other executor a thread that belongs to the [`Gpu`] polls and wakes the task. The first future that needs the
//!   thread starts it; a program that only blocks never has one.

mod oneshot;
#[cfg(not(target_arch = "wasm32"))]
mod thread;

#[cfg(target_arch = "wasm32")]
use oneshot::Receiver;
use oneshot::oneshot;
#[cfg(not(target_arch = "wasm32"))]
pub(super) use thread::Waiter;

use super::Gpu;
#[cfg(target_arch = "wasm32")]
use crate::clock::Instant;
use crate::error::{Error, Result};
use std::sync::atomic::Ordering;
#[cfg(not(target_arch = "wasm32"))]
use std::time::Duration;
#[cfg(not(target_arch = "wasm32"))]
use thread::Failure;

/// Waits that take longer than the work by so much are long, milliseconds.
#[cfg(target_arch = "wasm32")]
const LONG_WAIT: f64 = 4.0;

/// How long the device may finish nothing while it is waited for, milliseconds.
pub(super) const LIMIT_MS: u64 = 600_000;

/// Work submitted to the device.
#[derive(Debug)]
pub struct Submission {
    /// What it does, for messages.
    what: String,
    #[cfg(not(target_arch = "wasm32"))]
    index: wgpu::SubmissionIndex,
    #[cfg(target_arch = "wasm32")]
    done: Receiver<()>,
}

impl Gpu {
    /// Submits commands to the device's queue.
    pub fn submit(&self, commands: impl IntoIterator<Item = wgpu::CommandBuffer>) -> Submission {
        self.submit_named("a submission", commands)
    }

    /// [`Self::submit`] of commands that an error of waiting for them names.
    pub fn submit_named(
        &self,
        what: impl Into<String>,
        commands: impl IntoIterator<Item = wgpu::CommandBuffer>,
    ) -> Submission {
        let (index, finished) = (self.queue().submit(commands), self.inner.finished.clone());
        let count = move || {
            finished.fetch_add(1, Ordering::Relaxed);
        };
        if self.inner.faults.loses_device() {
            self.device().destroy();
        }
        #[cfg(not(target_arch = "wasm32"))]
        {
            self.queue().on_submitted_work_done(count);
            Submission { what: what.into(), index }
        }
        #[cfg(target_arch = "wasm32")]
        {
            // A browser has no index: it reports the end of all work submitted so far.
            let _ = index;
            let (sender, done) = oneshot();
            self.queue().on_submitted_work_done(move || {
                count();
                sender.send(());
            });
            Submission { what: what.into(), done }
        }
    }

    /// Waits until a submission has finished.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        self.wait_for("a submission", submission)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn wait_limit(&self) -> Duration {
        Duration::from_millis(self.inner.wait_limit.load(Ordering::Relaxed))
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn wait_for(&self, what: &str, submission: wgpu::SubmissionIndex) -> Result<()> {
        let outcome = thread::poll(self.device(), &submission, &self.inner.finished, self.wait_limit());
        outcome.map_err(|e| self.failed_wait(what, e))
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn failed_wait(&self, what: &str, failure: Failure) -> Error {
        match failure {
            Failure::Timeout => Error::Timeout { what: what.into(), limit: self.wait_limit() },
            Failure::Refused(reason) => self.lost(&format!("waiting for {what}"), &reason),
        }
    }

    /// Waits until a submission has finished.
    pub async fn wait_async(&self, submission: Submission) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        {
            let Submission { what, index } = submission;
            if BLOCKS.get() {
                return self.wait_for(&what, index);
            }
            let start = || Waiter::start(self.device(), &self.inner.finished);
            let done = self.inner.waiter.get_or_init(start).request(index, self.wait_limit());
            let ended = || Err(Failure::Refused("the thread that waits for the device has ended".into()));
            done.await.unwrap_or_else(ended).map_err(|e| self.failed_wait(&what, e))
        }
        #[cfg(target_arch = "wasm32")]
        {
            let doing = format!("waiting for {}", submission.what);
            submission.done.await.ok_or_else(|| self.lost(&doing, "the browser dropped a submission"))
        }
    }

    /// How much longer than the work a wait takes, milliseconds, if that is long: a browser may look for finished work ten times a
    /// second. Elsewhere a wait ends with the work.
    pub(crate) async fn long_wait(&self) -> Result<Option<f64>> {
        #[cfg(not(target_arch = "wasm32"))]
        return Ok(None);
        #[cfg(target_arch = "wasm32")]
        {
            let mut least = f64::INFINITY;
            for i in 0..3 {
                let start = Instant::now();
                self.wait_async(self.submit_named("nothing", [])).await?;
                // The first ends at any time between two looks, and what was submitted before is part of it.
                if i > 0 {
                    least = least.min(start.elapsed().as_secs_f64() * 1e3);
                }
            }
            Ok((least > LONG_WAIT).then_some(least))
        }
    }

    /// Maps a buffer for reading once `submission`, the last to use it, has finished, and hands its bytes to `read`.
    pub(crate) async fn read_buffer<T>(
        &self,
        doing: &str,
        buffer: &wgpu::Buffer,
        submission: Submission,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        let (sender, mapped) = oneshot();
        let map = || {
            buffer.map_async(wgpu::MapMode::Read, .., move |outcome| sender.send(outcome.map_err(|e| e.to_string())));
            Ok(())
        };
        self.scoped_async(doing, map).await?;
        // A browser resolves the mapping by itself.
        #[cfg(not(target_arch = "wasm32"))]
        self.wait_async(submission).await?;
        #[cfg(target_arch = "wasm32")]
        drop(submission);
        let refused = |reason: String| self.or_lost(doing, Error::Gpu { what: doing.into(), reason });
        let outcome = mapped.await.ok_or_else(|| self.lost(doing, "a buffer was dropped while it was mapped"))?;
        outcome.map_err(refused)?;
        let unmapped = self.scoped_async(doing, || {
            let value = read(&buffer.get_mapped_range(..).map_err(|e| refused(e.to_string()))?);
            buffer.unmap();
            Ok(value)
        });
        unmapped.await
    }
}

#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    /// Whether futures may block this thread.
    static BLOCKS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs a future of this crate to its end in the calling thread, which polls the device meanwhile. Cheaper than another
/// executor, which needs the thread of the [`Gpu`]; but futures that are joined inside run one after another.
#[cfg(not(target_arch = "wasm32"))]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            BLOCKS.set(self.0);
        }
    }
    let _restore = Restore(BLOCKS.replace(true));
    pollster::block_on(future)
}
