//! Bytes between host and device, and the states of a session.

use super::Session;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::tensor::HostTensor;
use std::sync::{Arc, Mutex};

/// A buffer that results are copied to, to be read.
pub(super) fn staging(gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("read back"),
        size: bytes,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// Submits a copy of `bytes` of `source` into `staging`.
pub(super) fn copy(
    gpu: &Gpu,
    what: &str,
    source: (&wgpu::Buffer, u64),
    staging: &wgpu::Buffer,
    bytes: u64,
) -> Result<wgpu::SubmissionIndex> {
    gpu.scoped(what, || {
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(source.0, source.1, staging, 0, bytes);
        Ok(gpu.queue().submit([encoder.finish()]))
    })
}

/// Waits for a submission and reads what it left in `staging`.
pub(super) fn read(gpu: &Gpu, what: &str, staging: &wgpu::Buffer, index: wgpu::SubmissionIndex) -> Result<Vec<f32>> {
    let failed = Arc::new(Mutex::new(None));
    let slot = failed.clone();
    staging.map_async(wgpu::MapMode::Read, .., move |r| {
        if let (Err(e), Ok(mut s)) = (r, slot.lock()) {
            *s = Some(e.to_string());
        }
    });
    gpu.wait(index)?;
    let fail = |reason: String| Error::Gpu { what: format!("reading `{what}`"), reason };
    if let Some(reason) = failed.lock().ok().and_then(|mut f| f.take()) {
        return Err(fail(reason));
    }
    let data = {
        let view = staging.get_mapped_range(..).map_err(|e| fail(e.to_string()))?;
        // Bytes may lie unaligned for f32.
        bytemuck::pod_collect_to_vec::<u8, f32>(&view)
    };
    staging.unmap();
    Ok(data)
}

impl Session {
    fn state(&self, name: &str) -> Result<usize> {
        let unknown = || Error::invalid(format!("state `{name}`"), "the plan has none of that name");
        self.plan.states.iter().position(|s| s.name == name).ok_or_else(unknown)
    }

    /// Reads a state, in its own dimensions.
    pub fn read_state(&self, name: &str) -> Result<HostTensor> {
        let i = self.state(name)?;
        let state = &self.plan.states[i];
        let staging = staging(&self.gpu, state.bytes);
        let index = copy(&self.gpu, name, (&self.states[i], 0), &staging, state.bytes)?;
        let mut data = read(&self.gpu, name, &staging, index)?;
        data.truncate(state.dims.iter().product());
        HostTensor::new(&state.dims[..], data)
    }

    /// Sets a state.
    pub fn write_state(&self, name: &str, value: &HostTensor) -> Result<()> {
        let i = self.state(name)?;
        let dims = &self.plan.states[i].dims;
        if value.dims() != &dims[..] {
            return Err(Error::invalid(format!("state `{name}`"), format!("is {dims:?}, got {:?}", value.dims())));
        }
        self.gpu.queue().write_buffer(&self.states[i], 0, bytemuck::cast_slice(value.data()));
        Ok(())
    }
}
