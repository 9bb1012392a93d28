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
use crate::error::{Error, Result};

/// Work submitted to the device.
#[derive(Debug)]
pub struct Submission {
    #[cfg(not(target_arch = "wasm32"))]
    index: wgpu::SubmissionIndex,
    #[cfg(target_arch = "wasm32")]
    done: Receiver<()>,
}

impl Gpu {
    /// Submits commands to the device's queue.
    pub fn submit(&self, commands: impl IntoIterator<Item = wgpu::CommandBuffer>) -> Submission {
        let index = self.queue().submit(commands);
        #[cfg(not(target_arch = "wasm32"))]
        return Submission { index };
        #[cfg(target_arch = "wasm32")]
        {
            // A browser has no index: it reports the end of all work submitted so far.
            let _ = index;
            let (sender, done) = oneshot();
            self.queue().on_submitted_work_done(move || sender.send(()));
            Submission { done }
        }
    }

    /// Waits until a submission has finished.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        thread::poll(self.device(), submission).map_err(|e| self.lost_or(&e))
    }

    /// Waits until a submission has finished.
    pub async fn wait_async(&self, submission: Submission) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        {
            if BLOCKS.get() {
                return self.wait(submission.index);
            }
            let done = self.inner.waiter.get_or_init(|| Waiter::start(self.device())).request(submission.index);
            let outcome = done.await.unwrap_or_else(|| Err("the thread that waits for the device has ended".into()));
            outcome.map_err(|e| self.lost_or(&e))
        }
        #[cfg(target_arch = "wasm32")]
        {
            submission.done.await.ok_or_else(|| self.lost_or("the browser dropped a submission"))
        }
    }

    /// Maps a buffer for reading once `submission`, the last to use it, has finished.
    pub(crate) async fn map_async(&self, what: &str, buffer: &wgpu::Buffer, submission: Submission) -> Result<()> {
        let (sender, mapped) = oneshot();
        buffer.map_async(wgpu::MapMode::Read, .., move |outcome| sender.send(outcome.map_err(|e| e.to_string())));
        // A browser resolves the mapping by itself.
        #[cfg(not(target_arch = "wasm32"))]
        self.wait_async(submission).await?;
        #[cfg(target_arch = "wasm32")]
        drop(submission);
        let outcome = mapped.await.ok_or_else(|| self.lost_or("a buffer was dropped while it was mapped"))?;
        outcome.map_err(|reason| Error::Gpu { what: what.into(), reason })
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
