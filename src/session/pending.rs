//! Queued runs, so that the device always has work: training reads each loss a step late.

use super::{Session, transfer};
use crate::error::Result;
use crate::gpu::Submission;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;

/// A run in flight, and the output to be read from it.
#[derive(Debug)]
pub struct Pending {
    name: String,
    staging: wgpu::Buffer,
    len: usize,
    submission: Submission,
}

impl Session {
    /// Starts a run and a copy of one output, without waiting. Inputs of the next run may be written at once: the device
    /// executes writes and runs in the order of submission. Every run that is started must be finished, in that order.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn start(&mut self, output: &str) -> Result<Pending> {
        block_on(self.start_async(output))
    }

    /// [`Self::start`] as a future. It waits for the device to accept the work, not for its
    /// completion; with a pace, for all but the copy.
    pub async fn start_async(&mut self, output: &str) -> Result<Pending> {
        self.check_alive()?;
        let io_binding = self.io_binding(output)?;
        let (bytes, len) = (self.plan.io[io_binding].bytes(), self.plan.io[io_binding].desc.shape.len());
        let gpu = self.gpu.clone();
        match gpu.pace() {
            Some(pace) => self.run_paced(pace, |_, _| Ok(())).await?,
            None => {
                for (i, dispatches) in self.submissions.iter().enumerate() {
                    self.submit_dispatches(dispatches.clone(), i == 0).await?;
                }
            }
        }
        let free = self.spare.iter().position(|b| b.size() == bytes).map(|i| self.spare.swap_remove(i));
        let staging = match free {
            Some(staging) => staging,
            None => transfer::staging(&gpu, bytes)?,
        };
        let source = (&self.io[io_binding].buffer, self.io[io_binding].offset);
        let submission = transfer::copy(&gpu, output, source, &staging, bytes).await?;
        Ok(Pending { name: output.into(), staging, len, submission })
    }

    /// Waits for a run and returns the output it was started for.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn finish(&mut self, pending: Pending) -> Result<Vec<f32>> {
        block_on(self.finish_async(pending))
    }

    /// [`Self::finish`] as a future.
    pub async fn finish_async(&mut self, pending: Pending) -> Result<Vec<f32>> {
        let Pending { name, staging, len, submission } = pending;
        let read = transfer::read(&self.gpu, &name, &staging, submission).await;
        let mut data = read.inspect_err(|e| self.note_loss(e))?;
        self.spare.push(staging);
        data.truncate(len);
        Ok(data)
    }
}
