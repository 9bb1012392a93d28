//! Runs that are not waited for at once, so that the device always has work: training reads each loss a step late.

use super::{Session, transfer};
use crate::error::{Error, Result};

/// A run under way, and the output that will be read of it.
#[derive(Debug)]
pub struct Pending {
    name: String,
    staging: wgpu::Buffer,
    len: usize,
    index: wgpu::SubmissionIndex,
}

impl Session {
    /// Starts a run and a copy of one output, without waiting. Inputs may be written for the next run at once: the device
    /// takes writes and runs in the order they are given. Every run that is started must be finished, in that order.
    pub fn start(&mut self, output: &str) -> Result<Pending> {
        if self.poisoned {
            return Err(Error::DeviceLost("this session's device failed before; make a new session".into()));
        }
        let port = self.port(output)?;
        let (bytes, len) = (self.plan.ports[port].bytes(), self.plan.ports[port].desc.shape.len());
        let gpu = self.gpu.clone();
        for (i, steps) in self.submissions.iter().enumerate() {
            gpu.scoped(&self.plan.steps[steps.start].label, || {
                let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                if i == 0 {
                    self.clear_overflow(&mut encoder);
                }
                self.encode_steps(&mut encoder, steps.clone(), None);
                gpu.queue().submit([encoder.finish()]);
                Ok(())
            })?;
        }
        let free = self.spare.iter().position(|b| b.size() == bytes).map(|i| self.spare.swap_remove(i));
        let staging = free.unwrap_or_else(|| transfer::staging(&gpu, bytes));
        let source = (&self.ports[port].buffer, self.ports[port].offset);
        let index = transfer::copy(&gpu, output, source, &staging, bytes)?;
        Ok(Pending { name: output.into(), staging, len, index })
    }

    /// Waits for a run and gives the output it was started for.
    pub fn finish(&mut self, pending: Pending) -> Result<Vec<f32>> {
        let Pending { name, staging, len, index } = pending;
        let read = transfer::read(&self.gpu, &name, &staging, index);
        let mut data = read.inspect_err(|_| self.poisoned = true)?;
        self.spare.push(staging);
        data.truncate(len);
        Ok(data)
    }
}
