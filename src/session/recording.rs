//! A run that is recorded part by part into the encoders of an application, with its inputs and one output.

use super::{Budget, EncodeProgress, Session};
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A run that is being recorded.
#[derive(Debug)]
pub struct Recording {
    /// The inputs, one after another.
    upload: wgpu::Buffer,
    /// I/O binding, offset in `upload`, bytes.
    copies: Vec<(usize, u64, u64)>,
    /// I/O binding of the output that is read back.
    output: usize,
    readback: Option<Readback>,
    done: usize,
    /// Dispatches in all, which change when some are divided.
    of: usize,
}

/// An output on its way to the host. It is there once the commands were submitted and the device was polled.
#[derive(Debug)]
pub struct Readback {
    name: String,
    staging: wgpu::Buffer,
    len: usize,
    state: Arc<AtomicU8>,
}

const WAITING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

impl Session {
    /// Begins a run: takes the inputs, NCHW, and names the output to read back. Nothing is recorded yet. The inputs lie in a
    /// buffer of their own, so a run may begin while an earlier one waits for its submission.
    pub fn begin(&mut self, inputs: &[(&str, &[f32])], output: &str) -> Result<Recording> {
        self.check_alive()?;
        let output = self.io_binding(output)?;
        let mut copies = Vec::with_capacity(inputs.len());
        let mut end = 0;
        for (name, data) in inputs {
            let io_binding = self.io_binding(name)?;
            self.check_input(io_binding, name, data.len())?;
            let bytes = 4 * data.len() as u64;
            copies.push((io_binding, end, bytes));
            end += bytes;
        }
        // What is not given would be that of an earlier run.
        let given = |name: &String| inputs.iter().any(|i| i.0 == name);
        if let Some(p) = self.plan.io.iter().find(|p| p.is_input && !p.names.iter().any(given)) {
            return Err(Error::invalid(format!("input `{}`", p.names[0]), "is missing"));
        }
        let (label, usage) = ("inputs of a run", wgpu::BufferUsages::COPY_SRC);
        let upload = self.gpu.mapped_buffer(label, end.max(4), usage, |view| {
            for ((_, data), &(_, offset, bytes)) in inputs.iter().zip(&copies) {
                let range = offset as usize..(offset + bytes) as usize;
                view.slice(range).copy_from_slice(bytemuck::cast_slice(data));
            }
        })?;
        Ok(Recording { upload, copies, output, readback: None, done: 0, of: self.plan.dispatches.len() })
    }

    /// Records the next part of a run that [`Self::begin`] began. Parts may go into encoders of different submissions, in order.
    /// `times` are the milliseconds of each dispatch, for [`Budget::Milliseconds`].
    pub fn encode_some(
        &mut self,
        recording: &mut Recording,
        encoder: &mut wgpu::CommandEncoder,
        budget: Budget,
        times: &[f64],
    ) -> Result<EncodeProgress> {
        self.check_alive()?;
        let progress = EncodeProgress { done: recording.done, of: self.plan.dispatches.len() };
        if progress.of != recording.of {
            return Err(Error::invalid("run", "began before dispatches were divided; begin it anew"));
        }
        if progress.finished() {
            return Ok(progress);
        }
        if progress.done == 0 {
            for &(io_binding, offset, bytes) in &recording.copies {
                let to = &self.io[io_binding];
                encoder.copy_buffer_to_buffer(&recording.upload, offset, &to.buffer, to.offset, bytes);
            }
            self.begin_run(encoder);
        }
        let end = budget.end(progress, times);
        self.encode_dispatches(encoder, progress.done..end, None);
        recording.done = end;
        if end == progress.of {
            recording.readback = Some(self.encode_readback(recording.output, encoder)?);
        }
        Ok(EncodeProgress { done: end, of: progress.of })
    }

    /// Records the copy of an output, which is mapped when the commands are submitted.
    fn encode_readback(&mut self, output: usize, encoder: &mut wgpu::CommandEncoder) -> Result<Readback> {
        let (planned, from) = (&self.plan.io[output], &self.io[output]);
        let (bytes, len, name) = (planned.bytes(), planned.desc.shape.len(), planned.names[0].clone());
        let free = self.spare.iter().position(|b| b.size() == bytes).map(|i| self.spare.swap_remove(i));
        let staging = match free {
            Some(staging) => staging,
            None => super::transfer::staging(&self.gpu, bytes)?,
        };
        encoder.copy_buffer_to_buffer(&from.buffer, from.offset, &staging, 0, bytes);
        let state = Arc::new(AtomicU8::new(WAITING));
        let mapped = state.clone();
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| {
            mapped.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
        });
        Ok(Readback { name, staging, len, state })
    }

    /// The output of a run that was recorded whole; `None` until its commands are done. Never waits: the application polls its
    /// device, or submits.
    pub fn try_read(&mut self, readback: &mut Option<Readback>) -> Result<Option<Vec<f32>>> {
        let Some(waiting) = readback.take_if(|r| r.state.load(Ordering::Acquire) != WAITING) else { return Ok(None) };
        let what = format!("reading `{}`", waiting.name);
        if waiting.state.load(Ordering::Acquire) == FAILED {
            self.lost = true;
            return Err(self.gpu.lost(&what, ""));
        }
        let mut data = self.gpu.guarded(&what, || {
            let view = waiting.staging.get_mapped_range(..);
            let view = view.map_err(|e| Error::Gpu { what: what.clone(), reason: e.to_string() })?;
            // The bytes may not be aligned for f32.
            let data = bytemuck::pod_collect_to_vec::<u8, f32>(&view);
            drop(view);
            waiting.staging.unmap();
            Ok(data)
        })?;
        data.truncate(waiting.len);
        self.spare.push(waiting.staging);
        Ok(Some(data))
    }
}

impl Recording {
    /// Dispatches recorded.
    pub const fn done(&self) -> usize {
        self.done
    }

    /// The output, once the run is recorded whole.
    pub fn into_readback(self) -> Option<Readback> {
        self.readback
    }
}
